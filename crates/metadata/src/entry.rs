//! The entries of a repository's folder in storage that the index mirrors.

use std::fmt;

use wharf_oci::{Digest, Tag};

use crate::Error;

/// One entry: what a mirror row or a tombstone is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// The link of a tag.
    Tag(Tag),
    /// The link of a manifest revision, under one of its names.
    Revision(Digest),
    /// The link of a blob, under one of its names.
    Layer(Digest),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag/{tag}"),
            Self::Revision(digest) => write!(f, "revision/{digest}"),
            Self::Layer(digest) => write!(f, "layer/{digest}"),
        }
    }
}

impl Entry {
    pub(crate) fn parse(operation: &'static str, text: &str) -> Result<Self, Error> {
        let entry = match text.split_once('/') {
            Some(("tag", tag)) => tag.parse().ok().map(Self::Tag),
            Some(("revision", digest)) => digest.parse().ok().map(Self::Revision),
            Some(("layer", digest)) => digest.parse().ok().map(Self::Layer),
            _ => None,
        };
        entry.ok_or_else(|| Error::corrupt(operation, "an entry is malformed"))
    }
}
