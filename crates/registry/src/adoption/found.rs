//! What a repository's folder holds, read for the index.

use bytes::Bytes;
use wharf_metadata::tags;
use wharf_oci::{Digest, Manifest, RepositoryName, Tag};

/// A manifest that the index does not know.
pub(super) struct FoundManifest {
    /// The name of its link: a sha256, or a sha512 beside one.
    pub name: Digest,
    /// Where its bytes are.
    pub stored: Digest,
    /// Their size.
    pub size: u64,
    /// What they say.
    pub manifest: Manifest,
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

impl FoundManifest {
    /// Reads a manifest; what cannot be served is left alone, with a line in the log.
    pub(super) fn read(
        repository: &RepositoryName,
        (name, stored): (Digest, Digest),
        media_type: Option<&str>,
        bytes: Option<Bytes>,
    ) -> Option<Self> {
        let Some(bytes) = bytes else {
            tracing::warn!(%repository, manifest = %name, "a manifest link points to bytes that are not there");
            return None;
        };
        match Manifest::parse(media_type, &bytes) {
            Ok(manifest) => Some(Self {
                name,
                stored,
                size: bytes.len() as u64,
                manifest,
            }),
            Err(error) => {
                tracing::warn!(%repository, manifest = %name, %error, "a stored manifest cannot be served");
                None
            }
        }
    }
}
