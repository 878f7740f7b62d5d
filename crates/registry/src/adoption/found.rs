//! What a repository's folder holds, read for the index.

use bytes::Bytes;
use wharf_metadata::manifests::Reference;
use wharf_metadata::{Entry, tags};
use wharf_oci::{Digest, Manifest, ManifestError, Tag};

use crate::push::references;

/// A row that gives way to the storage.
pub(super) enum Change {
    /// A layer link that the index does not know.
    Layer(FoundLayer),
    /// A manifest that the index does not know.
    Manifest(Box<FoundManifest>),
    /// A manifest that the index knows; whether it knows it well is still to be seen.
    Known(Box<FoundManifest>),
    /// A tag whose link the index has not seen like this.
    Tag(FoundTag),
    /// Something that is gone.
    Gone(Entry),
}

/// A layer link that the index does not know.
pub(super) struct FoundLayer {
    /// The name of the link: a sha256, or a sha512 beside one.
    pub name: Digest,
    /// Where its bytes are.
    pub stored: Digest,
    /// Their size; 0 with a row, which knows it.
    pub size: u64,
    /// Their row, where there is one.
    pub blob_id: Option<i64>,
}

/// A manifest.
pub(super) struct FoundManifest {
    /// The name of its link: a sha256, or a sha512 beside one.
    pub name: Digest,
    /// Where its bytes are.
    pub stored: Digest,
    /// Their size.
    pub size: u64,
    /// What they say.
    pub manifest: Manifest,
    /// What they point to.
    pub references: Vec<Reference>,
}

/// A tag whose link the index has not seen like this.
#[derive(Clone)]
pub(super) struct FoundTag {
    /// The tag.
    pub tag: Tag,
    /// What its link says.
    pub digest: Digest,
    /// How the link looks.
    pub link: tags::Fingerprint,
    /// What the index says.
    pub before: Option<Digest>,
}

impl Change {
    /// The storage entry that it is about.
    pub(super) fn entry(&self) -> Entry {
        match self {
            Self::Layer(found) => Entry::Layer(found.name),
            Self::Manifest(found) | Self::Known(found) => Entry::Revision(found.name),
            Self::Tag(found) => Entry::Tag(found.tag.clone()),
            Self::Gone(entry) => entry.clone(),
        }
    }

    /// What its link must say for it still to be true; `None` when the link must be gone.
    pub(super) fn expects(&self) -> Option<Digest> {
        match self {
            Self::Layer(found) => Some(found.stored),
            Self::Manifest(found) | Self::Known(found) => Some(found.stored),
            Self::Tag(found) => Some(found.digest),
            Self::Gone(_) => None,
        }
    }

    /// Roughly how many rows it costs.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Manifest(found) | Self::Known(found) => 2 + found.references.len(),
            Self::Layer(_) => 1,
            Self::Tag(_) | Self::Gone(_) => 2,
        }
    }
}

impl FoundManifest {
    /// Reads a manifest from its bytes. `media_type` is the type that was kept for it, if any.
    pub(super) fn read(
        (name, stored): (Digest, Digest),
        media_type: Option<&str>,
        bytes: &Bytes,
    ) -> Result<Self, ManifestError> {
        let manifest = Manifest::parse(media_type, bytes)?;
        Ok(Self {
            name,
            stored,
            size: bytes.len() as u64,
            references: references(&manifest),
            manifest,
        })
    }
}
