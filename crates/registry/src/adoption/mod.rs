//! What other registries wrote: found at start, repository by repository (consistency rules 7, 8).
//!
//! Requests are served at once. A repository that has not been compared with the storage since
//! this process started is compared when it is first asked for, before the answer; the rest
//! follows in the background. Until everything was compared, nothing is answered from a part.

mod apply;
mod compare;
mod found;
mod known;
mod pass;
mod progress;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, watch};
use wharf_metadata::Metadata;
use wharf_oci::{Digest, Manifest, RepositoryName};
use wharf_storage::{FolderTimes, Storage};

use crate::caches::Caches;
use crate::keyed_lock::KeyedLock;
use crate::mirror::Mirror;
use crate::{Clock, Error, Result, content_type};
use compare::Depth;

pub(crate) use known::Known;
pub(crate) use pass::stored_epoch;
pub use progress::{Phase, Progress, Snapshot};

/// How long a request waits for its repository, or for the names of all.
const DEADLINE: Duration = Duration::from_secs(20);
/// Connections to the index that comparing reads with at the same time.
const READERS: usize = 3;

/// Compares storage and index. Cloning shares it.
#[derive(Clone)]
pub struct Adoption {
    parts: Parts,
    state: Arc<State>,
    locks: KeyedLock<RepositoryName>,
}

/// What comparing works on.
#[derive(Clone)]
struct Parts {
    metadata: Metadata,
    storage: Storage,
    caches: Caches,
    mirror: Mirror,
    clock: Clock,
    readers: Arc<Semaphore>,
    /// Manifests whose type was kept, as it was at the first look: what came later is indexed.
    types: Arc<OnceCell<HashSet<Digest>>>,
}

#[derive(Debug)]
struct State {
    /// Everything was compared: the one load that requests cost from then on.
    is_settled: AtomicBool,
    settled: watch::Sender<bool>,
    /// Nobody else compares: who needs all of it does it.
    is_alone: AtomicBool,
    /// The storage is not known to be the one of the index: nothing is compared (consistency rule 16).
    is_refused: AtomicBool,
    /// Another process compares, for all.
    is_following: AtomicBool,
    compared: Mutex<HashSet<RepositoryName>>,
    progress: Arc<Progress>,
}

impl std::fmt::Debug for Adoption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adoption")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Adoption {
    /// Over these parts; nothing is compared yet.
    pub fn new(metadata: Metadata, storage: Storage, caches: Caches, mirror: Mirror, clock: Clock) -> Self {
        let state = State {
            is_settled: AtomicBool::new(false),
            settled: watch::Sender::new(false),
            is_alone: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            is_following: AtomicBool::new(false),
            compared: Mutex::default(),
            progress: Arc::default(),
        };
        let parts = Parts {
            metadata,
            storage,
            caches,
            mirror,
            clock,
            readers: Arc::new(Semaphore::new(READERS)),
            types: Arc::default(),
        };
        Self {
            parts,
            state: Arc::new(state),
            locks: KeyedLock::default(),
        }
    }

    /// Takes the index for true without comparing: nobody else writes to the storage
    /// (`storage.foreign_writers: never`), or another process owns the index.
    pub fn trust(&self) {
        self.settle();
    }

    /// Begins anew: what was compared or trusted before counts no more. For a process that takes
    /// the index over.
    pub fn distrust(&self) {
        self.compared().clear();
        self.state.settled.send_replace(false);
        self.state.is_settled.store(false, Ordering::Release);
    }

    /// Answers nothing and compares nothing until [`Self::admit`]: the storage may be another one than
    /// the index knows (consistency rule 16).
    pub fn refuse(&self) {
        self.state.is_refused.store(true, Ordering::Release);
    }

    /// Says whether another process compares storage and index for this one as well: then nothing is
    /// compared here, and who needs it waits until that one is through ([`Self::trust`]).
    pub fn follow_others(&self, is_following: bool) {
        self.state.is_following.store(is_following, Ordering::Release);
    }

    /// Whether the index knows everything that the storage held when it was last compared.
    ///
    /// # Errors
    ///
    /// Storage or index cannot be read.
    pub async fn is_complete(&self) -> Result<bool> {
        let known = self.parts.metadata.read(wharf_metadata::adoption::completeness).await?;
        Ok(known.is_complete && stored_epoch(&self.parts.storage).await? <= known.epoch)
    }

    /// The storage is the one that the index knows.
    pub fn admit(&self) {
        self.state.is_refused.store(false, Ordering::Release);
    }

    /// For a process that serves nothing, on the storage that the index knows: what needs everything
    /// compared does it then.
    pub fn begin_alone(&self) {
        self.state.is_alone.store(true, Ordering::Release);
    }

    /// Compares everything, if this process serves nothing and has not done so yet.
    ///
    /// # Errors
    ///
    /// Storage or index fail, or the storage is refused.
    pub(crate) async fn ensure_alone(&self) -> Result<()> {
        self.check_storage()?;
        match self.state.is_alone.load(Ordering::Acquire) && !self.is_settled() {
            true => self.run().await,
            false => Ok(()),
        }
    }

    /// How far the comparison is.
    pub fn progress(&self) -> &Progress {
        &self.state.progress
    }

    /// Whether everything was compared.
    pub fn is_settled(&self) -> bool {
        self.state.is_settled.load(Ordering::Acquire)
    }

    /// Waits until everything was compared, however long that takes.
    pub async fn settled(&self) {
        let mut settled = self.state.settled.subscribe();
        // the sender is as old as this handle
        drop(settled.wait_for(|settled| *settled).await);
    }

    /// Whether the repository stored as `name` was compared.
    pub fn knows(&self, name: &RepositoryName) -> bool {
        self.is_settled() || self.is_compared(name)
    }

    /// Waits until the repository stored as `name` was compared, and does it when its turn has not
    /// come.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it takes too long, or the storage is refused.
    pub async fn ensure(&self, name: &RepositoryName) -> Result<()> {
        self.check_storage()?;
        if self.knows(name) {
            return Ok(());
        }
        if self.state.is_following.load(Ordering::Acquire) {
            return self.wait_until_settled().await;
        }
        match tokio::time::timeout(DEADLINE, self.compare_once(name)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::unavailable(
                format!("repository {name} is still being indexed"),
                5,
            )),
        }
    }

    /// Waits until the names of all repositories are known.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it takes too long, or the storage is refused.
    pub async fn ensure_names(&self) -> Result<()> {
        self.ensure_alone().await?;
        match self.is_settled() {
            true => Ok(()),
            false => self.wait_until_settled().await,
        }
    }

    async fn wait_until_settled(&self) -> Result<()> {
        let mut settled = self.state.settled.subscribe();
        let waited = tokio::time::timeout(DEADLINE, settled.wait_for(|settled| *settled)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::unavailable(
                "the storage is still being indexed: what the index says is not complete yet",
                5,
            )),
        }
    }

    /// What the index knows of the repository stored as `name`.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub(crate) async fn known(&self, name: &RepositoryName) -> Result<Known> {
        self.parts.known(name, &FolderTimes::default(), Depth::Links).await
    }

    /// A manifest as it is found without an index; `Err` in it says why it cannot be served.
    ///
    /// # Errors
    ///
    /// The storage cannot be read.
    pub(crate) async fn manifest(&self, stored: &Digest) -> Result<std::result::Result<Manifest, String>> {
        let blobs = self.parts.storage.blobs();
        let Some(size) = blobs.stat(stored).await? else {
            return Ok(Err("its bytes are not in the storage".to_owned()));
        };
        if size > compare::LARGEST_MANIFEST {
            return Ok(Err(format!("{size} bytes are too many for a manifest")));
        }
        let bytes = blobs.read(stored, compare::LARGEST_MANIFEST).await?.unwrap_or_default();
        let kept = content_type::kept(&self.parts.storage, stored).await?;
        Ok(Manifest::parse(kept.as_deref(), &bytes).map_err(|error| error.to_string()))
    }

    fn check_storage(&self) -> Result<()> {
        match self.state.is_refused.load(Ordering::Acquire) {
            true => Err(Error::unavailable(
                "the storage is not the one that the index knows: mount the right one, or see `wharf index \
                 accept-storage`",
                5,
            )),
            false => Ok(()),
        }
    }

    fn settle(&self) {
        self.state.is_settled.store(true, Ordering::Release);
        self.state.settled.send_replace(true);
        self.compared().clear();
    }

    fn is_compared(&self, name: &RepositoryName) -> bool {
        self.compared().contains(name)
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, HashSet<RepositoryName>> {
        self.state.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
