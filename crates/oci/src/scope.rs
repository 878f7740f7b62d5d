//! Token scopes (distribution "Token Scope Documentation"): `repository:team/app:pull,push`.

use std::{fmt, str::FromStr};

/// What a token is asked for, or gives: actions on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The kind of resource: `repository` or `registry`.
    pub kind: String,
    /// The class in parentheses behind the kind, such as `repository(plugin)`; usually empty.
    pub class: String,
    /// The resource: a repository name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete`, `*`, in the order given.
    pub actions: Vec<String>,
}

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope must have the form kind:name:action,action")]
pub struct ScopeError;

impl Scope {
    /// Actions on a repository.
    pub fn repository(name: &str, actions: &[&str]) -> Self {
        Self {
            kind: "repository".to_owned(),
            class: String::new(),
            name: name.to_owned(),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
        }
    }

    /// The right to list every repository.
    pub fn catalog() -> Self {
        Self {
            kind: "registry".to_owned(),
            class: String::new(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        }
    }

    /// Every scope in `text`, separated by spaces; what is malformed is left out, since a token
    /// server answers with what it can give.
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split(' ').filter_map(|part| part.parse().ok()).collect()
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// Splits from both ends, because a name may hold colons (`host:port/name`).
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (kind, rest) = text.split_once(':').ok_or(ScopeError)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(ScopeError)?;
        let (kind, class) = match kind.split_once('(') {
            Some((kind, class)) => (kind, class.strip_suffix(')').ok_or(ScopeError)?),
            None => (kind, ""),
        };
        if kind.is_empty() || name.is_empty() {
            return Err(ScopeError);
        }
        let actions = actions
            .split(',')
            .filter(|action| !action.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Self {
            kind: kind.to_owned(),
            class: class.to_owned(),
            name: name.to_owned(),
            actions,
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.class.is_empty() {
            write!(f, "({})", self.class)?;
        }
        write!(f, ":{}:{}", self.name, self.actions.join(","))
    }
}

#[cfg(test)]
mod tests;
