//! What other registries wrote: found at start, repository by repository (consistency rules 7, 8).
//!
//! Requests are served at once. A repository that has not been compared with the storage since
//! this process started is compared when it is first asked for, before the answer; the rest
//! follows in the background. Until everything was compared, nothing is answered from a part.

mod compare;
mod found;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use wharf_metadata::{Metadata, Timestamp, adoption, repositories};
use wharf_oci::RepositoryName;
use wharf_storage::{StateName, Storage};

use crate::caches::Caches;
use crate::keyed_lock::KeyedLock;
use crate::mirror::Mirror;
use crate::{Clock, Error, Result};

/// How long a request waits for its repository, or for the names of all.
const DEADLINE: Duration = Duration::from_secs(20);
/// Rows of the index that are looked at in one go.
const BATCH: usize = 1_000;

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
}

#[derive(Debug)]
struct State {
    /// Everything was compared: the one load that requests cost from then on.
    is_settled: AtomicBool,
    settled: watch::Sender<bool>,
    compared: Mutex<HashSet<RepositoryName>>,
    progress: Progress,
}

/// How far the comparison is.
#[derive(Debug, Default)]
pub struct Progress {
    repositories: AtomicU64,
    changes: AtomicU64,
}

impl Progress {
    /// Repositories that were compared.
    pub fn repositories(&self) -> u64 {
        self.repositories.load(Ordering::Relaxed)
    }

    /// Entries of the index that had to follow the storage.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
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
            compared: Mutex::default(),
            progress: Progress::default(),
        };
        let parts = Parts {
            metadata,
            storage,
            caches,
            mirror,
            clock,
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

    /// How far the comparison is.
    pub fn progress(&self) -> &Progress {
        &self.state.progress
    }

    /// Whether everything was compared.
    pub fn is_settled(&self) -> bool {
        self.state.is_settled.load(Ordering::Acquire)
    }

    /// Waits until the repository stored as `name` was compared, and does it when its turn has not
    /// come.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it takes too long.
    pub async fn ensure(&self, name: &RepositoryName) -> Result<()> {
        if self.is_settled() || self.is_compared(name) {
            return Ok(());
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
    /// [`Error::Unavailable`] when it takes too long.
    pub async fn ensure_names(&self) -> Result<()> {
        if self.is_settled() {
            return Ok(());
        }
        let mut settled = self.state.settled.subscribe();
        let waited = tokio::time::timeout(DEADLINE, settled.wait_for(|settled| *settled)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::unavailable(
                "the storage is still being indexed: the list is not complete yet",
                5,
            )),
        }
    }

    /// Compares everything, the storage's repositories first, then those that only the index has.
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was compared until then stays.
    pub async fn run(&self) -> Result<()> {
        let now = (self.parts.clock)().into();
        let epoch = self.begin(now).await?;
        let mut walk = self.parts.storage.walk().repositories();
        while let Some(chunk) = walk.next().await? {
            for repository in chunk.found {
                self.compare_once(&repository.name).await?;
            }
        }
        for name in self.indexed_names().await? {
            self.compare_once(&name).await?;
        }
        self.complete(epoch).await?;
        self.settle();
        let progress = self.progress();
        tracing::info!(
            repositories = progress.repositories(),
            changes = progress.changes(),
            "the storage was compared with the index"
        );
        Ok(())
    }

    /// Compares everything once more while requests change it: for what a predecessor wrote while
    /// it was shutting down.
    ///
    /// # Errors
    ///
    /// As [`Adoption::run`].
    pub async fn run_again(&self) -> Result<()> {
        let mut names: HashSet<RepositoryName> = self.indexed_names().await?.into_iter().collect();
        let mut walk = self.parts.storage.walk().repositories();
        while let Some(chunk) = walk.next().await? {
            names.extend(chunk.found.into_iter().map(|repository| repository.name));
        }
        let mut changes = 0;
        for name in names {
            changes += self.parts.compare(&name, compare::Writers::Active).await?;
        }
        if changes > 0 {
            tracing::info!(
                changes,
                "another registry had written to the storage after this one started"
            );
        }
        Ok(())
    }

    /// Until the pass is complete nothing may be collected (consistency rule 1). The epoch is
    /// written into the storage as well, so that an older index is noticed.
    async fn begin(&self, now: Timestamp) -> Result<i64> {
        let stored = self.parts.storage.state().read(&epoch_file()?).await?;
        let at_least = stored
            .and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok())
            .unwrap_or(0);
        let begun = self
            .parts
            .metadata
            .write(move |tx| adoption::begin_pass(tx, at_least, now));
        begun.await.map_err(Error::from)
    }

    async fn complete(&self, epoch: i64) -> Result<()> {
        let completed = self.parts.metadata.write(move |tx| adoption::complete_pass(tx, epoch));
        let _is_last: bool = completed.await?;
        self.parts
            .storage
            .state()
            .write(&epoch_file()?, epoch.to_string().into())
            .await?;
        Ok(())
    }

    async fn compare_once(&self, name: &RepositoryName) -> Result<()> {
        let _turn = self.locks.lock(name.clone()).await;
        if self.is_settled() || self.is_compared(name) {
            return Ok(());
        }
        let changes = self.parts.compare(name, compare::Writers::Waiting).await?;
        self.state.progress.repositories.fetch_add(1, Ordering::Relaxed);
        self.state.progress.changes.fetch_add(changes, Ordering::Relaxed);
        self.compared().insert(name.clone());
        Ok(())
    }

    async fn indexed_names(&self) -> Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        let mut after = 0;
        loop {
            let page = self
                .parts
                .metadata
                .read_long(move |tx| repositories::page(tx, after, BATCH))
                .await?;
            let Some(last) = page.last() else { return Ok(names) };
            after = last.id;
            names.extend(page.into_iter().map(|repository| repository.storage_name));
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

fn epoch_file() -> Result<StateName> {
    StateName::new("epoch").ok_or(Error::Unsupported("the epoch file has no legal name"))
}
