//! The nouns of the OCI and Docker registry specifications, without any I/O.
//!
//! Each type can hold only what its specification allows: a [`Digest`] is well formed, a
//! [`RepositoryName`] cannot climb out of a folder, a [`Tag`] is at most 128 characters.
//! Bytes that came over the wire are parsed here once and are trusted from then on.

pub mod challenge;
pub mod descriptor;
pub mod digest;
pub mod error_code;
pub mod index;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod reference;
pub mod scope;
pub mod tag;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, DigestError};
pub use error_code::ErrorCode;
pub use manifest::{Kind, Manifest, ManifestError};
pub use name::{NameError, RepositoryName};
pub use reference::Reference;
pub use tag::{Tag, TagError};
