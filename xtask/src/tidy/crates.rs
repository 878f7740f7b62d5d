//! What every crate has.

use std::collections::BTreeSet;

use super::dependencies::{directory, manifest};
use super::{Problem, Workspace};
use crate::cargo::Package;

/// Names, descriptions, lints and integration tests.
pub(super) fn manifests(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in workspace.metadata.members() {
        let folder = directory(&package.name);
        let path = manifest(folder);
        let Some(text) = workspace.tree.text(&path) else {
            problems.push(Problem::new(
                &path,
                0,
                format!("package {} does not lie here", package.name),
            ));
            continue;
        };
        let is_prefixed = package.name.starts_with("wharf-") || ["wharf", "xtask"].contains(&folder);
        let rules = [
            (is_prefixed, "packages are called wharf-<folder>"),
            (
                is_one_sentence(package.description.as_deref()),
                "the description is one sentence with a full stop",
            ),
            (
                text.contains("[lints]\nworkspace = true"),
                "the crate takes the lints of the workspace",
            ),
            (
                text.contains("publish.workspace = true"),
                "the crate is not for a package registry",
            ),
        ];
        let broken = rules.iter().filter(|(holds, _)| !holds);
        problems.extend(broken.map(|(_, rule)| Problem::new(&path, 0, *rule)));
        problems.extend(integration_tests(&path, package));
    }
    problems
}

/// One integration binary per crate, called `it`: each further one links the whole crate again.
fn integration_tests(path: &str, package: &Package) -> Option<Problem> {
    let tests = package
        .targets
        .iter()
        .filter(|target| target.kind.iter().any(|kind| kind == "test"));
    let others: Vec<&str> = tests
        .map(|target| target.name.as_str())
        .filter(|name| *name != "it")
        .collect();
    let message = format!(
        "integration tests are modules of tests/it/main.rs, not files of their own: {}",
        others.join(", ")
    );
    (!others.is_empty()).then(|| Problem::new(path, 0, message))
}

fn is_one_sentence(description: Option<&str>) -> bool {
    let Some(text) = description else { return false };
    let starts = text.starts_with(|first: char| first.is_uppercase() || first.is_ascii_digit());
    starts && text.ends_with('.') && !text.contains(". ") && !text.contains('\n')
}

/// Dependencies that the workspace names for nobody.
pub(super) fn unused(workspace: &Workspace) -> Vec<Problem> {
    const PATH: &str = "Cargo.toml";
    let text = workspace.tree.text(PATH).unwrap_or_default();
    let used: BTreeSet<&str> = workspace
        .metadata
        .members()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    let named = workspace_dependencies(text);
    let unused = named
        .into_iter()
        .filter(|(_, name)| !used.contains(name) && !name.starts_with("wharf"));
    let problem = |(line, name)| Problem::new(PATH, line, format!("no crate uses {name}: remove it"));
    unused.map(problem).collect()
}

/// The keys of `[workspace.dependencies]` with their lines.
fn workspace_dependencies(text: &str) -> Vec<(usize, &str)> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for (position, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            is_inside = line == "[workspace.dependencies]";
        } else if let (true, Some((name, _))) = (is_inside, line.split_once(" = ")) {
            found.push((position + 1, name));
        }
    }
    found
}
