//! The files of the repository, as text.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Every file that git knows or would add, by its path relative to the workspace. Files that are no text are
/// known by name only.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the workspace in `root`.
    ///
    /// # Errors
    ///
    /// Git fails, or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let names = crate::cargo::output(root, "git", &list)?;
        let mut tree = Self::default();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            let path = root.join(name);
            // removed, but not yet in git
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("{name} cannot be read"))?;
            tree.files.insert(name.to_owned(), String::from_utf8(bytes).ok());
        }
        Ok(tree)
    }

    /// A tree of these files.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let entry = |(name, text): &(&str, &str)| ((*name).to_owned(), Some((*text).to_owned()));
        Self {
            files: files.iter().map(entry).collect(),
        }
    }

    /// A file's text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Every file that is text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every file with this ending.
    pub fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    /// Whether a file or folder has this path.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }
}
