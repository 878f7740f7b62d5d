//! What the commands print.

use serde_json::Value;

use super::{LEAST, loaded, variables, with};
use crate::cli::config::{ConfigCommand, Output, run};
use crate::config::{Format, json_schema, load_str, reference};

/// The table of the reference page stands between these.
const BEGIN: &str = "<!-- keys: begin -->";
const END: &str = "<!-- keys: end -->";

#[test]
fn print_shows_each_value_with_its_source_and_hides_secrets() {
    let file = with(
        "http:\n  secret: hunter2\nlog: {fields: {token: abc, service: reg}}\nredis: {password: hunter2, addr: a}\n\
         health: {http: [{uri: 'http://h/', headers: {Authorization: [hunter2]}}]}\n",
    );
    let loaded = loaded(
        &file,
        &[("REGISTRY_LOG_LEVEL", "debug"), ("WHARF_ADMIN_PASSWORD", "hunter2")],
    );
    let yaml = loaded.print(Format::Yaml);
    for line in [
        "  level: \"debug\"  # environment variable REGISTRY_LOG_LEVEL",
        "  formatter: \"text\"  # default",
        "  secret: \"(hidden)\"  # config.yml:4:11",
        "    rootdirectory: \"/data\"  # config.yml:2:39",
        "    - uri: \"http://h/\"  # config.yml:7:23",
        "  password: \"(hidden)\"  # config.yml:6:19",
    ] {
        assert!(yaml.lines().any(|have| have == line), "{line}\n{yaml}");
    }
    let json = loaded.print(Format::Json);
    assert!(!yaml.contains("hunter2") && !json.contains("hunter2"), "{yaml}{json}");
    assert!(
        !format!("{:?}", loaded.config).contains("hunter2"),
        "the configuration may be logged"
    );
    let json: Vec<Value> = serde_json::from_str(&json).unwrap();
    let level = json.iter().find(|entry| entry["path"] == "log.level").unwrap();
    assert_eq!(level["source"], "env");
    assert_eq!(level["variable"], "REGISTRY_LOG_LEVEL");
    assert_eq!(level["value"], "debug");
}

#[test]
fn what_print_writes_is_itself_a_configuration() {
    let file =
        with("http: {headers: {X-A: [b]}}\nhealth: {tcp: [{addr: 'a:1'}, {addr: 'b:2'}]}\ngc: {grace_period: 90m}\n");
    let first = loaded(&file, &[]);
    let printed = first.print(Format::Yaml);
    let second = load_str(&printed, &[]).unwrap_or_else(|error| panic!("{printed}\n{error}"));
    assert_eq!(first.config, second.config);
}

#[test]
fn the_schema_describes_every_key() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["version", "storage"]));
    assert_eq!(schema["additionalProperties"], false);
    let http = &schema["properties"]["http"]["properties"];
    assert_eq!(http["addr"]["default"], ":5000");
    let nets = http["net"]["enum"].as_array().unwrap();
    assert!(
        ["tcp", "unix", "TCP"]
            .iter()
            .all(|net| nets.contains(&serde_json::json!(net)))
    );
    let check = &schema["properties"]["health"]["properties"]["tcp"]["items"];
    assert_eq!(check["required"], serde_json::json!(["addr"]));
    assert_eq!(schema["properties"]["proxy"]["deprecated"], true);
}

#[test]
fn the_reference_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    let mut page = std::fs::read_to_string(path).expect("the page is there");
    if std::env::var_os("WHARF_WRITE_REFERENCE").is_some() {
        let (before, rest) = page.split_once(BEGIN).expect("the page has the first mark");
        let (_, after) = rest.split_once(END).expect("the page has the second mark");
        page = format!("{before}{BEGIN}\n{}\n{END}{after}", reference());
        std::fs::write(path, &page).expect("the page can be written");
    }
    let (_, rest) = page.split_once(BEGIN).expect("the page has the first mark");
    let (table, _) = rest.split_once(END).expect("the page has the second mark");
    let wanted = reference();
    let (have, want) = (table.trim(), wanted.trim());
    let differs = have.lines().zip(want.lines()).find(|(have, want)| have != want);
    assert!(
        have == want,
        "write the new table with `WHARF_WRITE_REFERENCE=1 cargo test -p wharf reference_page`: {differs:?}"
    );
}

#[test]
fn check_says_what_it_found_by_exit_code_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    let check = || {
        run(
            &ConfigCommand::Check {
                file: Some(file.clone()),
            },
            &variables(&[("REGISTRY_NO", "x")]),
        )
    };
    std::fs::write(&file, LEAST).unwrap();
    let good = check();
    assert_eq!(good.code, 0);
    assert_eq!(good.stdout, format!("{} can be started\n", file.display()));
    let ignored = "environment variable REGISTRY_NO: this variable sets nothing and is ignored";
    assert_eq!(good.stderr, format!("warning: {ignored}\nwarning: {}\n", super::OPEN));
    std::fs::write(&file, "version: 0.1\nstorage: inmemory\nhttp: {adr: x}\n").unwrap();
    let bad = check();
    assert_eq!((bad.code, bad.stdout.as_str()), (1, ""));
    assert!(bad.stderr.contains(&format!(
        "error: unknown key `adr` in `http`\n  --> {}:3:8",
        file.display()
    )));
    assert!(bad.stderr.ends_with("\n1 error\n"), "{}", bad.stderr);
    std::fs::remove_file(&file).unwrap();
    let missing = check();
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.starts_with("error: cannot find the configuration file"));
    let print = run(
        &ConfigCommand::Print {
            file: Some(file),
            output: Output::Json,
        },
        &[],
    );
    assert_eq!(print.code, 1);
}

#[test]
fn every_command_can_be_given_and_has_an_example() {
    use clap::{CommandFactory, Parser};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: crate::cli::config::ConfigArgs,
    }
    Program::command().debug_assert();
    for arguments in [
        &["wharf", "check"][..],
        &["wharf", "check", "f"],
        &["wharf", "print", "--output", "json"],
    ] {
        assert!(Program::try_parse_from(arguments).is_ok(), "{arguments:?}");
    }
    for command in Program::command().get_subcommands() {
        assert!(
            command
                .get_after_help()
                .is_some_and(|help| help.to_string().contains("Example:"))
        );
    }
    let schema = run(&ConfigCommand::Schema, &[]);
    assert_eq!((schema.code, schema.stdout), (0, json_schema()));
}
