//! Pushing: upload sessions, mounts, blobs and manifests.
//!
//! A push writes bytes first, then commits what they mean, then mirrors the commit to the
//! storage's links, then answers (consistency rules 3 and 5). A crash in between leaves bytes
//! that nobody refers to, or a mirror row that is worked off at the next start.
//!
//! The futures of this module must run to their end even when the client goes away: the front
//! door drives them in a task of their own.

mod commit;
mod manifest;
mod mount;
mod session;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, Timestamp};
use wharf_oci::{Algorithm, Digest, RepositoryName};
use wharf_storage::Storage;

pub(crate) use manifest::references;
pub use manifest::{Accepted, IndexChildren, ManifestPush, ManifestRules, UrlRules};

use crate::caches::Caches;
use crate::mirror::Mirror;
use crate::repository::Repositories;
use crate::{Clock, Error, Random, Result};
use session::Sessions;

/// What a client asks when it begins an upload.
#[derive(Clone, Debug)]
pub struct Start {
    /// A blob that may be here already.
    pub mount: Option<Digest>,
    /// The repository to take it from.
    pub from: Option<RepositoryName>,
    /// The digest that the blob will be named by.
    pub algorithm: Algorithm,
}

/// How an upload began.
#[derive(Clone, Debug)]
pub enum Started {
    /// It is done: the blob was here.
    Mounted(Digest),
    /// A session waits for bytes.
    Session(UploadStatus),
}

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// The session.
    pub id: String,
    /// Bytes received so far.
    pub offset: u64,
}

/// Bytes for an upload.
pub struct Chunk {
    /// Where they belong, when the client says so.
    pub start: Option<u64>,
    /// How many they are, when the client says so.
    pub length: Option<u64>,
    /// The bytes as they arrive.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

/// What the configuration says about pushes.
#[derive(Clone, Debug)]
pub struct PushRules {
    /// `storage.maintenance.readonly`: nothing is accepted.
    pub is_read_only: bool,
    /// The largest manifest in bytes.
    pub manifest_limit: usize,
    /// `gc.grace_period`: how long what nobody needs is left alone.
    pub grace: Duration,
    /// What manifests must obey.
    pub manifests: Arc<ManifestRules>,
}

/// Where a push goes.
struct Target {
    /// What clients call the repository.
    name: RepositoryName,
    /// The folder of its files.
    storage_name: RepositoryName,
}

/// Accepts pushes. Cloning is cheap.
#[derive(Clone)]
pub struct Pushes {
    repositories: Repositories,
    metadata: Metadata,
    storage: Storage,
    caches: Caches,
    mirror: Mirror,
    sessions: Sessions,
    rules: PushRules,
    clock: Clock,
}

/// The parts that pushes are made of.
pub struct PushParts {
    /// Finds and guards repositories.
    pub repositories: Repositories,
    /// The index.
    pub metadata: Metadata,
    /// The bytes.
    pub storage: Storage,
    /// The memories of pulls, to be kept exact.
    pub caches: Caches,
    /// Makes links follow the index.
    pub mirror: Mirror,
    /// The time.
    pub clock: Clock,
    /// Randomness for session names.
    pub random: Random,
}

impl Pushes {
    /// Of these parts, under these rules.
    pub fn new(parts: PushParts, rules: PushRules) -> Self {
        let PushParts {
            repositories,
            metadata,
            storage,
            caches,
            mirror,
            clock,
            random,
        } = parts;
        let sessions = Sessions::new(metadata.clone(), storage.clone(), clock.clone(), random);
        Self {
            repositories,
            metadata,
            storage,
            caches,
            mirror,
            sessions,
            rules,
            clock,
        }
    }

    /// The largest manifest in bytes.
    pub const fn manifest_limit(&self) -> usize {
        self.rules.manifest_limit
    }

    /// Begins an upload, or mounts the blob when it is here and the principal may read it.
    ///
    /// # Errors
    ///
    /// The principal may not push here.
    pub async fn start(&self, principal: &Principal, name: &RepositoryName, start: &Start) -> Result<Started> {
        let target = self.writable(principal, name).await?;
        if let Some(digest) = &start.mount
            && self.mount(principal, &target, digest, start.from.as_ref()).await?
        {
            return Ok(Started::Mounted(*digest));
        }
        let id = self.sessions.start(&target, start.algorithm).await?;
        Ok(Started::Session(UploadStatus { id, offset: 0 }))
    }

    /// Adds bytes to an upload.
    ///
    /// # Errors
    ///
    /// [`Error::UploadUnknown`], [`Error::RangeInvalid`] when the chunk is out of order,
    /// [`Error::BodyIncomplete`] when the client stopped sending: what arrived is kept, and
    /// [`Pushes::status`] tells where to go on.
    pub async fn append(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
    ) -> Result<UploadStatus> {
        let target = self.writable(principal, name).await?;
        let mut turn = self.sessions.turn(&target.name, id).await?;
        turn.receive(chunk, false).await?;
        turn.persist().await?;
        Ok(turn.status())
    }

    /// Adds the last bytes, checks the digest and makes the blob part of the repository.
    ///
    /// # Errors
    ///
    /// As [`Pushes::append`], and [`Error::DigestMismatch`], which ends the session.
    pub async fn complete(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        id: &str,
        chunk: Chunk,
        digest: &Digest,
    ) -> Result<()> {
        let target = self.writable(principal, name).await?;
        let mut turn = self.sessions.turn(&target.name, id).await?;
        turn.receive(chunk, true).await?;
        self.commit(&target, &mut turn, digest).await
    }

    /// Where an upload stands. Takes it over: a request that is still sending to it ends, since
    /// who asks has lost that connection; what it had sent counts.
    ///
    /// # Errors
    ///
    /// [`Error::UploadUnknown`].
    pub async fn status(&self, principal: &Principal, name: &RepositoryName, id: &str) -> Result<UploadStatus> {
        let target = self.writable(principal, name).await?;
        Ok(self.sessions.turn(&target.name, id).await?.status())
    }

    /// Ends an upload without a blob.
    ///
    /// # Errors
    ///
    /// [`Error::UploadUnknown`].
    pub async fn cancel(&self, principal: &Principal, name: &RepositoryName, id: &str) -> Result<()> {
        let target = self.writable(principal, name).await?;
        self.sessions.turn(&target.name, id).await?.discard().await
    }

    /// Where pushes to `name` go: to the repository it means, or to a new one.
    async fn writable(&self, principal: &Principal, name: &RepositoryName) -> Result<Target> {
        let found = self.repositories.open(principal, name, Action::Push).await?;
        if self.rules.is_read_only {
            return Err(Error::Unsupported(
                "the registry is read-only (storage.maintenance.readonly)",
            ));
        }
        if !self.metadata.is_writable() {
            return Err(Error::unavailable(
                "this process stands by while another one owns the index: try again",
                2,
            ));
        }
        let (name, storage_name) = match found {
            Some(repository) => (repository.name.clone(), repository.storage_name.clone()),
            None => (name.clone(), name.clone()),
        };
        Ok(Target { name, storage_name })
    }

    fn now(&self) -> Timestamp {
        (self.clock)().into()
    }
}
