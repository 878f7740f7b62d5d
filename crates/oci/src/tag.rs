//! Tags (OCI distribution-spec, "Pulling manifests": `<reference>` as a tag).

use std::{fmt, str::FromStr, sync::Arc};

/// The longest tag, in bytes.
pub const MAX_LENGTH: usize = 128;

/// A tag such as `latest`: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// Why a text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// It is empty.
    #[error("tag is empty")]
    Empty,
    /// It is longer than [`MAX_LENGTH`].
    #[error("tag is longer than 128 characters")]
    TooLong,
    /// It holds a character that no tag may hold.
    #[error("tag must start with a letter, digit or '_' and hold only letters, digits, '_', '.' and '-'")]
    Malformed,
}

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let Some(first) = text.bytes().next() else {
            return Err(TagError::Empty);
        };
        if text.len() > MAX_LENGTH {
            return Err(TagError::TooLong);
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if is_word(first) && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-')) {
            Ok(Self(text.into()))
        } else {
            Err(TagError::Malformed)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
