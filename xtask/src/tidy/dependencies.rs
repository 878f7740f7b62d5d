//! Who may import whom: the table in ARCHITECTURE.md is the law.

use std::collections::BTreeSet;

use super::{Problem, Workspace};
use crate::cargo::{Metadata, Package};

/// Where the law stands.
const LAW: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- dependencies: begin -->";
const END: &str = "<!-- dependencies: end -->";

/// One row: a crate, whom it may import, what it must not reach even through others, and what it must not name
/// itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    name: String,
    may_import: BTreeSet<String>,
    never_reaches: BTreeSet<String>,
    never_names: BTreeSet<String>,
}

pub(super) fn check(workspace: &Workspace) -> Vec<Problem> {
    let text = workspace.tree.text(LAW).unwrap_or_default();
    let rows = table(text);
    if rows.is_empty() {
        return vec![Problem::new(
            LAW,
            0,
            format!("there is no table of dependencies between {BEGIN} and {END}"),
        )];
    }
    let mut problems = Vec::new();
    for package in workspace.metadata.members() {
        let name = directory(&package.name);
        match rows.iter().find(|row| row.name == name) {
            Some(row) => problems.extend(broken(row, package, &workspace.metadata)),
            None => problems.push(Problem::new(
                LAW,
                0,
                format!("crate {name} is missing in the table of dependencies"),
            )),
        }
    }
    for row in &rows {
        if !workspace
            .metadata
            .members()
            .any(|package| directory(&package.name) == row.name)
        {
            problems.push(Problem::new(
                LAW,
                0,
                format!("the table of dependencies has {}, which is no crate", row.name),
            ));
        }
    }
    problems
}

/// What one crate does that its row forbids.
fn broken(row: &Row, package: &Package, metadata: &Metadata) -> Vec<Problem> {
    let members: BTreeSet<&str> = metadata.members().map(|member| member.name.as_str()).collect();
    let manifest = manifest(&row.name);
    let mut problems = Vec::new();
    for dependency in package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.is_none())
    {
        let imported = directory(&dependency.name);
        if members.contains(dependency.name.as_str()) && !row.may_import.contains(imported) {
            problems.push(Problem::new(
                &manifest,
                0,
                format!("{} must not import {imported} ({LAW})", row.name),
            ));
        }
        if row.never_names.contains(imported) {
            problems.push(Problem::new(
                &manifest,
                0,
                format!("{} must not name {imported} ({LAW})", row.name),
            ));
        }
    }
    let reachable = metadata.reachable(&package.id, false);
    for reached in metadata
        .packages
        .iter()
        .filter(|other| reachable.contains(other.id.as_str()))
    {
        let reached = directory(&reached.name);
        if reached != row.name && row.never_reaches.contains(reached) {
            let message = format!(
                "{} must not depend on {reached}, not even through others ({LAW})",
                row.name
            );
            problems.push(Problem::new(&manifest, 0, message));
        }
    }
    problems
}

/// The rows between the marks.
pub(super) fn table(text: &str) -> Vec<Row> {
    let between = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let (table, _) = between.unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.trim_matches('|').split('|');
    let name = quoted(cells.next()?).pop_first()?;
    Some(Row {
        name,
        may_import: quoted(cells.next()?),
        never_reaches: quoted(cells.next()?),
        never_names: quoted(cells.next()?),
    })
}

/// The words in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A package's folder: ours are called `wharf-<folder>`.
pub(super) fn directory(package: &str) -> &str {
    package.strip_prefix("wharf-").unwrap_or(package)
}

/// The manifest of the crate in this folder.
pub(super) fn manifest(folder: &str) -> String {
    match folder {
        "xtask" => "xtask/Cargo.toml".to_owned(),
        folder => format!("crates/{folder}/Cargo.toml"),
    }
}
