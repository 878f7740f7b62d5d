//! Repository names (OCI distribution-spec, "Pulling manifests": `<name>`).

use std::{fmt, str::FromStr, sync::Arc};

/// The longest name that is accepted, in bytes, as in distribution.
pub const MAX_LENGTH: usize = 255;

/// The built-in project that owns repositories of one component.
pub const LIBRARY: &str = "library";

/// A repository name such as `team/app`: components of `[a-z0-9]` joined by `.`, `_`, `__` or
/// dashes, separated by slashes. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

/// Why a text is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("repository name is empty")]
    Empty,
    /// It is longer than [`MAX_LENGTH`].
    #[error("repository name is longer than 255 characters")]
    TooLong,
    /// A component breaks the grammar.
    #[error(
        "repository name must be lowercase letters and digits, joined by '.', '_', '__' or '-', in components separated by '/'"
    )]
    Malformed,
}

impl RepositoryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The project it belongs to: the first of several components, else `library`.
    pub fn project(&self) -> &str {
        self.0.split_once('/').map_or(LIBRARY, |(first, _)| first)
    }

    /// The other spelling of a name in the built-in project: `x` for `library/x` and back.
    pub fn library_alias(&self) -> Option<Self> {
        match self.0.split_once('/') {
            None => format!("{LIBRARY}/{}", self.0).parse().ok(),
            Some((LIBRARY, rest)) if !rest.contains('/') => rest.parse().ok(),
            Some(_) => None,
        }
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => return Err(NameError::Empty),
            length if length > MAX_LENGTH => return Err(NameError::TooLong),
            _ => {}
        }
        if text.split('/').all(|component| is_component(component.as_bytes())) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Malformed)
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &[u8]) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text;
    loop {
        let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
        if plain == 0 {
            return false;
        }
        rest = &rest[plain..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !is_plain(**byte)).count();
        let is_legal = match &rest[..separator] {
            b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|byte| *byte == b'-'),
        };
        if !is_legal {
            return false;
        }
        rest = &rest[separator..];
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
