//! The table as a tree, for walking a file along it.

use std::sync::LazyLock;

use super::{Key, all};

/// A key with what may stand below it.
#[derive(Debug)]
pub(in crate::config) struct Schema {
    /// `None` only for the root
    pub(in crate::config) key: Option<&'static Key>,
    pub(in crate::config) name: &'static str,
    pub(in crate::config) children: Vec<Schema>,
}

impl Schema {
    /// By the name that a file may have.
    pub(in crate::config) fn child(&self, name: &str) -> Option<&Schema> {
        self.children.iter().find(|child| child.is_called(name))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.key.is_some_and(|key| key.aliases.contains(&name))
    }

    /// By the first parts of an environment variable's name, and how many of them: keys with an underscore in
    /// their name take more than one, and the longest name is meant.
    pub(in crate::config) fn child_of_env(&self, parts: &[&str]) -> Option<(&Schema, usize)> {
        let (mut joined, mut longest) = (String::new(), None);
        for (taken, part) in parts.iter().enumerate() {
            if taken > 0 {
                joined.push('_');
            }
            joined.push_str(part);
            let found = self
                .children
                .iter()
                .find(|child| child.env_names().any(|name| name == joined));
            longest = found.map(|child| (child, taken + 1)).or(longest);
        }
        longest
    }

    /// The names that the environment may use for this key, in upper case: distribution's field, then the rest.
    pub(in crate::config) fn env_names(&self) -> impl Iterator<Item = String> {
        let key = self.key;
        let field = key.map(|key| key.field).filter(|field| !field.is_empty());
        let aliases = key.map(|key| key.aliases).unwrap_or_default();
        let own = [self.name.to_uppercase(), self.name.to_uppercase().replace('_', "")];
        field
            .map(str::to_owned)
            .into_iter()
            .chain(own)
            .chain(aliases.iter().map(|alias| alias.to_uppercase()))
    }

    fn insert(&mut self, path: &[&'static str], key: &'static Key) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let name = first.trim_end_matches("[]");
        let at = self
            .children
            .iter()
            .position(|child| child.name == name)
            .unwrap_or_else(|| {
                self.children.push(Schema {
                    key: None,
                    name,
                    children: Vec::new(),
                });
                self.children.len() - 1
            });
        let Some(child) = self.children.get_mut(at) else { return };
        if rest.is_empty() {
            child.key = Some(key);
        } else {
            child.insert(rest, key);
        }
    }
}

/// The tree of [`all`].
pub(in crate::config) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let mut root = Schema {
            key: None,
            name: "",
            children: Vec::new(),
        };
        for key in all() {
            let path: Vec<&'static str> = key.path.split('.').collect();
            root.insert(&path, key);
        }
        root
    });
    &SCHEMA
}
