//! No text and no environment makes the loader panic.

use proptest::prelude::*;

use crate::config::keys::all;
use crate::config::overlay::known_names;
use crate::config::{Format, load_str};

fn load(yaml: &str, env: &[(String, String)]) {
    match load_str(yaml, env) {
        Ok(loaded) => {
            let printed = loaded.print(Format::Yaml);
            assert!(!printed.is_empty());
            assert!(!loaded.print(Format::Json).is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("true".to_owned()),
        Just("1h30m".to_owned()),
        Just(":5000".to_owned()),
        Just("*a".to_owned()),
        Just("&a x".to_owned()),
        Just("[a, b".to_owned()),
        Just("{a: b}".to_owned()),
        Just("0755".to_owned()),
        Just("inmemory".to_owned()),
        "[-+._0-9a-zA-Z:/ #'\"{}\\[\\],|>~!%&*]{0,24}",
        "\\PC{0,12}",
    ]
}

/// A path of the table as nested YAML with a value.
fn line() -> impl Strategy<Value = String> {
    let paths: Vec<&'static str> = all().map(|key| key.path).collect();
    (proptest::sample::select(paths), scalar()).prop_map(|(path, value)| {
        let mut text = String::new();
        let mut indent = String::new();
        for part in path.split('.') {
            text.push_str(&format!("{indent}{}:\n", part.trim_end_matches("[]")));
            indent.push_str("  ");
            if part.ends_with("[]") {
                text.push_str(&format!("{indent}-\n"));
                indent.push_str("  ");
            }
        }
        text.truncate(text.trim_end().len());
        format!("{text} {value}\n")
    })
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let names: Vec<String> = known_names(false).into_iter().chain(known_names(true)).collect();
    let name = prop_oneof![
        proptest::sample::select(names.clone()),
        (proptest::sample::select(names), "[_A-Z0-9]{0,6}").prop_map(|(name, more)| format!("{name}_{more}")),
        "(REGISTRY|WHARF|OTEL)_[A-Za-z0-9_-]{0,20}",
    ];
    (name, scalar())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        load(&text, &[]);
    }

    #[test]
    fn no_bytes_of_yaml_make_the_loader_panic(text in "[-:#&*{}\\[\\]|>'\"%@` \n\ta-c0-1,?!<]{0,120}") {
        load(&text, &[]);
    }

    #[test]
    fn no_value_of_a_known_key_makes_the_loader_panic(lines in proptest::collection::vec(line(), 0..4)) {
        load(&format!("version: 0.1\n{}", lines.concat()), &[]);
    }

    #[test]
    fn no_environment_makes_the_loader_panic(env in proptest::collection::vec(variable(), 0..6)) {
        load("version: 0.1\nstorage: {filesystem: {rootdirectory: /d}}\nhealth: {tcp: [{addr: 'a:1'}]}\n", &env);
    }
}
