//! The command line as people read it: its help, and the page that is made from it.

use clap::{Command, CommandFactory as _};
use wharf::cli::Cli;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
const BEGIN: &str = "<!-- commands: begin -->";
const END: &str = "<!-- commands: end -->";
/// The width of the help on the page, whatever terminal the test runs in.
const WIDTH: usize = 100;

/// Every command with its full name, parents first.
fn commands() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    collect("wharf", &root, &mut found);
    found
}

fn collect(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
    found.push((name.to_owned(), command.clone()));
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        collect(&format!("{name} {}", child.get_name()), child, found);
    }
}

/// What `--help` prints.
fn help(command: &Command) -> String {
    if command.get_name() == "htpasswd" {
        return wharf::cli::htpasswd::HELP.to_owned();
    }
    command.clone().term_width(WIDTH).render_long_help().to_string()
}

#[test]
fn the_help_of_every_command_has_an_example_that_names_it() {
    let commands = commands();
    assert!(commands.len() > 8, "the tree was not walked");
    for (name, command) in &commands {
        let help = help(command);
        let example = help.split_once("Example").map(|(_, examples)| examples);
        let called = name.strip_prefix("wharf ").unwrap_or(name);
        let named = example.is_some_and(|examples| examples.contains(called));
        assert!(named, "`{name} --help` shows no example of it:\n{help}");
    }
}

#[test]
fn the_help_of_every_command_says_what_it_does_and_takes() {
    for (name, command) in commands() {
        assert!(command.get_about().is_some(), "{name} does not say what it does");
        let described = |argument: &&clap::Arg| argument.get_help().is_none() && !argument.is_hide_set();
        let silent: Vec<_> = command
            .get_arguments()
            .filter(described)
            .map(clap::Arg::get_id)
            .collect();
        assert!(silent.is_empty(), "{name} does not say what these are: {silent:?}");
    }
}

#[test]
fn the_command_line_reference_page_is_current() {
    let mut wanted = String::new();
    for (name, command) in commands() {
        let help = help(&command);
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        wanted.push_str(&format!(
            "## `{name}`\n\n```text\n{}\n```\n\n",
            lines.join("\n").trim_end()
        ));
    }
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has the first mark");
    let (have, after) = rest.split_once(END).expect("the page has the second mark");
    if std::env::var_os("WHARF_WRITE_REFERENCE").is_some() {
        let page = format!("{before}{BEGIN}\n\n{wanted}{END}{after}");
        std::fs::write(PAGE, page).expect("the page can be written");
        return;
    }
    let differs = have
        .trim()
        .lines()
        .zip(wanted.trim().lines())
        .find(|(have, want)| have != want);
    assert!(
        have.trim() == wanted.trim(),
        "write the page again with `cargo xtask docs`: {differs:?}"
    );
}

#[test]
fn every_metric_is_on_the_reference_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let text = wharf::metrics::Metrics::new("0").text(None).text;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 10, "{text}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    for name in &names {
        assert!(
            documented.contains(name),
            "docs/reference/metrics.md does not name {name}"
        );
    }
    for name in documented {
        assert!(
            names.contains(&name),
            "docs/reference/metrics.md names {name}, which is not there"
        );
    }
}
