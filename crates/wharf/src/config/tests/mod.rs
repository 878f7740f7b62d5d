mod env;
mod files;
mod outputs;
mod places;
mod properties;
mod refusals;
mod s3;
mod values;

use super::{Config, Error, Loaded, Problem, Warning, load_str};

/// The least that a file needs.
const LEAST: &str = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\n";

fn variables(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn loaded(yaml: &str, env: &[(&str, &str)]) -> Loaded {
    match load_str(yaml, &variables(env)) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{yaml}\n{env:?}\n{error}"),
    }
}

fn config(yaml: &str, env: &[(&str, &str)]) -> Config {
    loaded(yaml, env).config
}

/// Warnings without the one about an open registry, which nearly every file here would have.
fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings
        .iter()
        .map(ToString::to_string)
        .filter(|text| !text.starts_with(OPEN))
        .collect()
}

const OPEN: &str = "nobody has to sign in: whoever reaches this registry can pull, push and delete; add an `auth` \
                    section, or `access: {accounts: true}` for built-in accounts";

fn warnings(yaml: &str, env: &[(&str, &str)]) -> Vec<String> {
    texts(&loaded(yaml, env).warnings)
}

fn problems(yaml: &str, env: &[(&str, &str)]) -> Vec<Problem> {
    match load_str(yaml, &variables(env)) {
        Err(Error::Invalid { problems, .. }) => problems,
        Err(other) => panic!("{other}"),
        Ok(loaded) => panic!("{yaml}\n{env:?}\nis accepted: {:?}", loaded.config),
    }
}

/// The whole text of the only problem.
fn problem(yaml: &str, env: &[(&str, &str)]) -> String {
    let problems = problems(yaml, env);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].to_string()
}

/// The least file with more in it.
fn with(more: &str) -> String {
    format!("{LEAST}{more}")
}
