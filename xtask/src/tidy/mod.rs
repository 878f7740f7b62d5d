//! The rules of the house that neither the compiler nor clippy checks.
//!
//! Each check takes what was read of the workspace and answers with what is wrong. `cargo xtask tidy` prints it
//! all; the tests of this crate run each check on the workspace, and on small workspaces that break it.

mod crates;
mod dependencies;
mod prose;
mod rust;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use self::tree::Tree;
use crate::cargo::Metadata;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the workspace.
    pub path: String,
    /// The line, counted from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// What the checks look at.
pub struct Workspace {
    tree: Tree,
    metadata: Metadata,
}

/// A rule: its name and how it is checked.
type Check = (&'static str, fn(&Workspace) -> Vec<Problem>);

/// Every rule.
const CHECKS: &[Check] = &[
    ("crates import only what ARCHITECTURE.md lets them", dependencies::check),
    ("one place knows the storage layout, one the SQL", rust::knowledge),
    ("the index shows no types of its SQL library", rust::public_sql),
    ("files are short", rust::length),
    ("nothing is imported by a glob", rust::globs),
    ("no lint is switched off for good", rust::allowed_lints),
    (
        "each crate describes itself and has one integration test",
        crates::manifests,
    ),
    ("every dependency of the workspace is used", crates::unused),
    ("no file names a place on somebody's machine", prose::machine_paths),
    ("every path that a document names exists", prose::links),
    ("the changelog speaks of this version", prose::changelog),
];

impl Workspace {
    /// Reads the workspace in `root`.
    ///
    /// # Errors
    ///
    /// Git or cargo fail.
    pub fn read(root: &Path) -> Result<Self> {
        Ok(Self {
            tree: Tree::read(root)?,
            metadata: Metadata::read(root)?,
        })
    }
}

/// Checks everything and prints what is wrong.
///
/// # Errors
///
/// Something is wrong.
pub fn run() -> Result<()> {
    let workspace = Workspace::read(&crate::root()?)?;
    let mut total = 0;
    for (rule, check) in CHECKS {
        let problems = check(&workspace);
        let verdict = if problems.is_empty() { "ok  " } else { "FAIL" };
        crate::say(&format!("{verdict} {rule}\n"));
        for problem in &problems {
            crate::say(&format!("     {problem}\n"));
        }
        total += problems.len();
    }
    match total {
        0 => Ok(()),
        1 => bail!("one rule is broken in one place"),
        _ => bail!("rules are broken in {total} places"),
    }
}
