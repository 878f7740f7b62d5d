//! What can go wrong, in the words of the field. Each front door maps this list to its wire in
//! exactly one place.

use std::time::Duration;

use wharf_access::Action;
use wharf_oci::{Digest, ManifestError, Reference, RepositoryName, Tag};

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in, or the token is cut too narrow.
    #[error("{action:?} on {} needs credentials that give the right", resource_name(.repository))]
    NeedsCredentials {
        /// What was tried.
        action: Action,
        /// On which repository; `None` for the catalog.
        repository: Option<RepositoryName>,
    },
    /// The credentials do not give the right.
    #[error("{} on {} is denied: sign in as somebody who may, or ask an administrator for the right", .action.as_str(), resource_name(.repository))]
    Denied {
        /// What was tried.
        action: Action,
        /// On which repository; `None` for the catalog.
        repository: Option<RepositoryName>,
    },
    /// There is no such repository.
    #[error("repository {0} is not known to this registry")]
    NameUnknown(RepositoryName),
    /// There is no such tag or manifest in the repository.
    #[error("manifest {reference} is not known in repository {repository}")]
    ManifestUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The tag or digest.
        reference: Reference,
    },
    /// The bytes are no acceptable manifest.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest is larger than the limit.
    #[error("manifest is larger than the limit of {limit} bytes (http.limits.manifest)")]
    ManifestTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The manifest names blobs or manifests that the repository does not have.
    #[error("manifest references content that repository {repository} does not have: push it first")]
    ManifestBlobUnknown {
        /// The repository.
        repository: RepositoryName,
        /// What is missing.
        missing: Vec<Digest>,
    },
    /// A layer may be fetched only from places that the configuration does not allow.
    #[error("layer {digest} names the URL {url}, which validation.manifests.urls does not allow")]
    ManifestUrlRefused {
        /// The layer.
        digest: Digest,
        /// The refused URL.
        url: String,
    },
    /// There is no such blob in the repository.
    #[error("blob {digest} is not known in repository {repository}")]
    BlobUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The digest that was asked for.
        digest: Digest,
    },
    /// There is no such upload session.
    #[error("upload {0} is not known: it was finished, cancelled or has expired; start a new one")]
    UploadUnknown(String),
    /// The upload was taken over by a later request of the same session.
    #[error("upload {0} was continued by another request")]
    UploadSuperseded(String),
    /// The client stopped sending before the body was complete.
    #[error("the request body ended early: {0}")]
    BodyIncomplete(String),
    /// A chunk does not begin where the upload stands.
    #[error("the chunk begins at byte {given}, but the upload stands at byte {offset}")]
    RangeInvalid {
        /// Where the chunk begins.
        given: u64,
        /// Where the upload stands.
        offset: u64,
        /// The session.
        upload: String,
    },
    /// The content does not have the digest that was announced.
    #[error("the content has digest {computed}, not {given} as announced")]
    DigestMismatch {
        /// The digest that was announced.
        given: Box<Digest>,
        /// What the bytes really have.
        computed: Box<Digest>,
    },
    /// The length differs from what was announced.
    #[error("the chunk has {actual} bytes, but {announced} were announced")]
    SizeMismatch {
        /// Announced, in bytes.
        announced: u64,
        /// Received, in bytes.
        actual: u64,
    },
    /// The token is good for the repository that a blob is mounted into, but not for the one that
    /// it comes from; one for both would be.
    #[error("a token for {target} and {source_repository} is needed to mount the blob")]
    NeedsSource {
        /// Where the blob goes.
        target: RepositoryName,
        /// Where it is.
        source_repository: RepositoryName,
    },
    /// What should be brought back is not in the trash.
    #[error("{what} is not in the trash: {hint}")]
    NotInTrash {
        /// What was asked for.
        what: String,
        /// What became of it, or where else to look.
        hint: String,
    },
    /// Bytes that a trashed manifest needs are gone.
    #[error("{digest} of repository {repository} cannot be restored: {} of what it needs are gone: {}", .missing.len(), digests(.missing))]
    TrashIncomplete {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
        /// Blobs and manifests whose bytes are gone.
        missing: Vec<Digest>,
    },
    /// The tag points to something else already.
    #[error("tag {tag} of repository {repository} points to {digest} now: it is moved only when that is forced")]
    TagTaken {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it points to.
        digest: Box<Digest>,
    },
    /// A tag cannot point to a manifest that is not there.
    #[error("manifest {digest} of repository {repository} is gone{hint}")]
    ManifestGone {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Box<Digest>,
        /// Where it lies and how it comes back, or nothing.
        hint: String,
    },
    /// The configuration does not offer the operation.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The registry cannot do it now, but the same request will succeed later.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is full.
    #[error("the storage is full: free space on the registry's volume and push again")]
    NoSpace,
    /// Storage failed.
    #[error(transparent)]
    Storage(wharf_storage::Error),
    /// The index failed.
    #[error(transparent)]
    Metadata(wharf_metadata::Error),
}

impl From<wharf_storage::Error> for Error {
    fn from(error: wharf_storage::Error) -> Self {
        match error.kind() {
            wharf_storage::ErrorKind::NoSpace => Self::NoSpace,
            wharf_storage::ErrorKind::Superseded => Self::UploadSuperseded("session".to_owned()),
            wharf_storage::ErrorKind::Unavailable => Self::unavailable("the storage does not answer", 5),
            _ => Self::Storage(error),
        }
    }
}

impl From<wharf_metadata::Error> for Error {
    fn from(error: wharf_metadata::Error) -> Self {
        use wharf_metadata::error::Kind;
        match error.kind() {
            Kind::NoSpace => Self::NoSpace,
            Kind::Unavailable | Kind::Denied => Self::unavailable("the index does not answer", 5),
            Kind::ReadOnly | Kind::Fenced => {
                Self::unavailable("another process owns the index and this one stands by: try again", 2)
            }
            Kind::Deleting => Self::unavailable("the repository is being deleted: try again in a moment", 1),
            _ => Self::Metadata(error),
        }
    }
}

/// How a job that meets it goes on: what may be better later is tried again.
impl From<Error> for wharf_jobs::Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable { .. } | Error::NoSpace | Error::Storage(_) => Self::retry(error),
            Error::Metadata(error) => error.into(),
            _ => Self::fatal(error),
        }
    }
}

/// The outcome of an operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same request will succeed after `seconds`.
    pub fn unavailable(reason: impl Into<String>, seconds: u64) -> Self {
        Self::Unavailable {
            reason: reason.into(),
            retry_after: Duration::from_secs(seconds),
        }
    }

    /// Whether the fault lies with the registry, so that it belongs in the log.
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Storage(_) | Self::Metadata(_) | Self::NoSpace)
    }
}

fn resource_name(repository: &Option<RepositoryName>) -> &str {
    repository.as_ref().map_or("the catalog", RepositoryName::as_str)
}

/// The first of many digests, for a message.
fn digests(digests: &[Digest]) -> String {
    const SHOWN: usize = 10;
    let mut text = digests
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if digests.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
