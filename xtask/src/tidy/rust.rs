//! Rules about Rust files.

use super::{Problem, Workspace};

/// Files longer than this hold more than one thing.
const MOST_LINES: usize = 600;
/// The file that knows the storage layout.
const LAYOUT: &str = "crates/storage/src/paths.rs";
/// Looks at folders as another registry would, without the code that it tests.
const FIXTURES: &str = "crates/test-support/";
/// The crate that holds the SQL.
const INDEX: &str = "crates/metadata/";
/// The parts of the layout that nobody else may spell.
const LAYOUT_PARTS: [&str; 4] = ["docker/registry/v2", "_manifests", "_layers", "_uploads"];
/// How statements begin.
const STATEMENTS: [&str; 7] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "UPDATE ",
    "CREATE TABLE ",
    "PRAGMA ",
];

/// The layout's names and SQL in other places than their own. Comments may speak of both.
pub(super) fn knowledge(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in sources(workspace) {
        for (number, line) in code(text) {
            let part = LAYOUT_PARTS.iter().find(|part| is_spelt(line, part));
            if let (Some(part), false) = (part, path == LAYOUT || path.starts_with(FIXTURES)) {
                problems.push(Problem::new(path, number, format!("only {LAYOUT} knows of {part}")));
            }
            let statement = STATEMENTS
                .iter()
                .find(|statement| line.contains(&format!("\"{statement}")));
            if let (Some(_), false) = (statement, path.starts_with(INDEX)) {
                problems.push(Problem::new(path, number, format!("SQL lives in {INDEX}")));
            }
        }
    }
    problems
}

/// Whether a literal of the line holds the part of a path.
fn is_spelt(line: &str, part: &str) -> bool {
    ["\"", "/"]
        .iter()
        .any(|before| line.contains(&format!("{before}{part}")))
}

/// Public items of the index that show types of its SQL library.
pub(super) fn public_sql(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in sources(workspace).filter(|(path, _)| path.starts_with(INDEX)) {
        let types = imported_types(text);
        for (number, line) in code(text) {
            let declares = line.trim_start().starts_with("pub ");
            let shows = line.contains("rusqlite") || types.iter().any(|name| has_word(line, name));
            if declares && shows {
                problems.push(Problem::new(
                    path,
                    number,
                    "a public item shows a type of the SQL library",
                ));
            }
        }
    }
    problems
}

/// The names that a file imports from the SQL library.
fn imported_types(text: &str) -> Vec<&str> {
    let imports = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("use rusqlite::"));
    let words = imports.flat_map(|names| names.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words
        .filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|found| found == word)
}

/// Files that are too long, their tests not counted. Functions are clippy's business.
pub(super) fn length(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in sources(workspace) {
        let lines = without_tests(text).lines().count();
        if lines >= MOST_LINES {
            problems.push(Problem::new(
                path,
                0,
                format!("{lines} lines: divide what is {MOST_LINES} lines or longer"),
            ));
        }
    }
    problems
}

/// Imports of everything. Tests may take the module that they test, and proptest's prelude.
pub(super) fn globs(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in workspace.tree.ending(".rs") {
        for (number, line) in code(text) {
            let line = line.trim();
            let is_import = line.starts_with("use ") || line.starts_with("pub use ");
            let is_usual = line == "use super::*;" || line == "use proptest::prelude::*;";
            if is_import && line.contains('*') && !is_usual {
                problems.push(Problem::new(path, number, "name what is imported"));
            }
        }
    }
    problems
}

/// `#[allow]` stays when its reason has gone; `#[expect]` tells.
pub(super) fn allowed_lints(workspace: &Workspace) -> Vec<Problem> {
    let attributes = ["#[allow(", "#![allow("];
    let mut problems = Vec::new();
    for (path, text) in workspace.tree.ending(".rs") {
        for (number, line) in code(text) {
            if attributes
                .iter()
                .any(|attribute| line.trim_start().starts_with(attribute))
            {
                problems.push(Problem::new(path, number, "use #[expect(…, reason = \"…\")]"));
            }
        }
    }
    problems
}

/// The Rust files of the product and of this program, without their tests.
fn sources(workspace: &Workspace) -> impl Iterator<Item = (&str, &str)> {
    let is_source = |path: &str| {
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/test_tools.rs");
        path.contains("/src/") && !is_test && !path.starts_with("fuzz/") && !path.starts_with("xtask/src/tidy/")
    };
    workspace.tree.ending(".rs").filter(move |(path, _)| is_source(path))
}

/// The text before a module of tests that is written out in the file.
fn without_tests(text: &str) -> &str {
    const MARK: &str = "#[cfg(test)]\nmod tests {";
    text.find(MARK).map_or(text, |begin| text.get(..begin).unwrap_or(text))
}

/// The numbered lines that are no comments, tests left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = without_tests(text)
        .lines()
        .enumerate()
        .map(|(position, line)| (position + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}
