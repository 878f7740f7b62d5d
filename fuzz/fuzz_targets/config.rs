//! A configuration file and an environment: the file ends at a NUL, after it each line is `NAME=value`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf::config::{Format, load_str};

fuzz_target!(|text: &str| {
    let (yaml, lines) = text.split_once('\0').unwrap_or((text, ""));
    let variables: Vec<(String, String)> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match load_str(yaml, &variables) {
        Ok(loaded) => {
            let printed = loaded.print(Format::Yaml);
            assert!(!printed.is_empty() && !loaded.print(Format::Json).is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
