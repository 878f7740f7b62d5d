//! The paths under `/v2/`, parsed once into an [`Endpoint`].
//!
//! Repository names contain slashes, and repositories may be called `blobs`, `tags` or
//! `manifests`. So a path is recognised from the right, where its shape is fixed.

use std::borrow::Cow;

use wharf_oci::reference::ReferenceError;
use wharf_oci::{Digest, DigestError, NameError, Reference, RepositoryName};

/// What a path under `/v2/` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryName, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`, with or without the slash at the end
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
}

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No endpoint has this shape.
    #[error("there is no such endpoint in the distribution API")]
    Unknown,
    /// The repository name is malformed.
    #[error("repository name {name:?} is not valid: {reason}")]
    Name {
        /// The name as it was asked for.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The tag or digest is malformed.
    #[error("reference {reference:?} is not valid: {reason}")]
    Reference {
        /// The reference as it was asked for.
        reference: String,
        /// What is wrong with it.
        reason: ReferenceError,
    },
    /// The digest is malformed.
    #[error("digest {digest:?} is not valid: {reason}")]
    Digest {
        /// The digest as it was asked for.
        digest: String,
        /// What is wrong with it.
        reason: DigestError,
    },
}

impl Endpoint {
    /// Recognises the path of a request, percent-encoded as it came.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Unknown`] for paths outside the API, otherwise what is malformed.
    pub fn parse(path: &str) -> Result<Self, EndpointError> {
        let path = decode(path)?;
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Base),
            Some(rest) => rest.strip_prefix('/').ok_or(EndpointError::Unknown)?,
            None => return Err(EndpointError::Unknown),
        };
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        if let Some(name) = rest
            .strip_suffix("/blobs/uploads/")
            .or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Uploads(parse_name(name)?));
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(parse_name(name)?));
        }
        let (before, last) = rest.rsplit_once('/').ok_or(EndpointError::Unknown)?;
        let (name, kind) = before.rsplit_once('/').ok_or(EndpointError::Unknown)?;
        match kind {
            "manifests" => Ok(Self::Manifest(parse_name(name)?, parse_reference(last)?)),
            "blobs" => Ok(Self::Blob(parse_name(name)?, parse_digest(last)?)),
            "referrers" => Ok(Self::Referrers(parse_name(name)?, parse_digest(last)?)),
            "uploads" => match name.strip_suffix("/blobs") {
                Some(name) => Ok(Self::Upload(parse_name(name)?, last.to_owned())),
                None => Err(EndpointError::Unknown),
            },
            _ => Err(EndpointError::Unknown),
        }
    }

    /// The name that metrics and logs use, as distribution calls its routes.
    pub const fn handler(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags(_) => "tags",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) => "blob_upload",
            Self::Upload(..) => "blob_upload_chunk",
            Self::Referrers(..) => "referrers",
        }
    }

    /// The methods it takes, for the `Allow` header.
    pub const fn allowed(&self) -> &'static str {
        match self {
            Self::Base | Self::Catalog | Self::Tags(_) | Self::Referrers(..) => "GET, HEAD",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

fn parse_name(name: &str) -> Result<RepositoryName, EndpointError> {
    name.parse().map_err(|reason| EndpointError::Name {
        name: name.to_owned(),
        reason,
    })
}

fn parse_reference(reference: &str) -> Result<Reference, EndpointError> {
    reference.parse().map_err(|reason| EndpointError::Reference {
        reference: reference.to_owned(),
        reason,
    })
}

fn parse_digest(digest: &str) -> Result<Digest, EndpointError> {
    digest.parse().map_err(|reason| EndpointError::Digest {
        digest: digest.to_owned(),
        reason,
    })
}

/// Undoes percent-encoding: some clients send `sha256%3A…`. What it may uncover (`%2e%2e`) is
/// refused by the types, which know no dots between slashes.
fn decode(path: &str) -> Result<Cow<'_, str>, EndpointError> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(EndpointError::Unknown),
        }
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| EndpointError::Unknown)
}

#[cfg(test)]
mod tests;
