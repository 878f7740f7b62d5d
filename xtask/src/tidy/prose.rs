//! Rules about documents, and about text in any file.

use super::{Problem, Workspace};

/// Folders that exist on one machine only. Cut in two, so that this file does not break the rule itself.
const MACHINE: [(&str, &str); 5] = [
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("/ro", "ot/"),
    ("/wo", "rk/"),
    ("/tmp/ba", "sh"),
];
/// Programs on every machine may name root's home; these files are about such machines.
const ABOUT_MACHINES: [&str; 2] = ["e2e/", "docs/operations/"];

/// Places on the machine of whoever wrote it.
pub(super) fn machine_paths(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in workspace.tree.texts() {
        if ABOUT_MACHINES.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        for (position, line) in text.lines().enumerate() {
            let found = MACHINE
                .iter()
                .map(|(a, b)| format!("{a}{b}"))
                .find(|folder| begins_path(line, folder));
            if let Some(folder) = found {
                problems.push(Problem::new(
                    path,
                    position + 1,
                    format!("names {folder}, a folder of one machine"),
                ));
            }
        }
    }
    problems
}

/// Whether the line holds the folder where an absolute path begins.
fn begins_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && !"/._-}>$*".contains(before))
    })
}

/// Links, and paths in backticks that begin with a folder or file of the workspace.
pub(super) fn links(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in workspace.tree.ending(".md") {
        let mut is_block = false;
        for (position, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                is_block = !is_block;
            }
            if is_block {
                continue;
            }
            let linked = link_targets(line).filter_map(|target| resolve(path, target));
            let named = line
                .split('`')
                .skip(1)
                .step_by(2)
                .filter_map(|code| own_path(workspace, code));
            for target in linked.chain(named) {
                if !workspace.tree.has(&target) {
                    problems.push(Problem::new(path, position + 1, format!("{target} does not exist")));
                }
            }
        }
    }
    problems
}

/// What stands in the parentheses of `[text](target)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// A relative link as a path of the workspace; `None` for what lies elsewhere.
fn resolve(document: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A path in backticks, when it begins like one of the workspace's. Patterns and examples are not checked.
fn own_path(workspace: &Workspace, code: &str) -> Option<String> {
    let (first, rest) = code.split_once('/')?;
    let is_pattern = code.contains(|c: char| " *<>{}$…".contains(c));
    let is_generated = code.starts_with("target/") || code.starts_with("dist/");
    let is_own = !is_pattern && !is_generated && !first.is_empty() && !rest.is_empty() && workspace.tree.has(first);
    // `path.rs:12` and `path.rs::function` point into the file
    is_own.then(|| code.split(':').next().unwrap_or(code).to_owned())
}

/// The changelog has a section for what is not released, or for the version in Cargo.toml.
pub(super) fn changelog(workspace: &Workspace) -> Vec<Problem> {
    const PATH: &str = "CHANGELOG.md";
    let version = workspace
        .metadata
        .members()
        .next()
        .map_or("", |package| package.version.as_str());
    let text = workspace.tree.text(PATH).unwrap_or_default();
    let mut titles = text.lines().filter_map(|line| line.strip_prefix("## "));
    let is_current = |title: &str| {
        let title = title.trim_start_matches('[');
        let named = title.split([']', ' ']).next().unwrap_or_default();
        named == "Unreleased" || named == version
    };
    if titles.any(is_current) {
        return Vec::new();
    }
    vec![Problem::new(
        PATH,
        0,
        format!("there is no section ## Unreleased and none for {version}"),
    )]
}
