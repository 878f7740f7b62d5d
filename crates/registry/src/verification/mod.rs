//! Compares index and storage in both directions, reads bytes again, and repairs what is safe to
//! repair (consistency rules 1, 8, 11 and 16).
//!
//! Requests go on meanwhile: what looks wrong is looked at once more while its entry is held still,
//! and only then counts. Nothing is ever deleted: damaged bytes are put aside into
//! `wharf/quarantine/`, so that an upload of the same digest heals them, and rows whose bytes are
//! gone go only when that was asked for.

mod blobs;
mod job;
mod repair;
mod repository;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use wharf_metadata::{Metadata, repositories};
use wharf_oci::RepositoryName;
use wharf_storage::{Pace, Storage};

use crate::adoption::Adoption;
use crate::caches::Caches;
use crate::finding::{Finding, FindingKind, Findings, Tally};
use crate::mirror::Mirror;
use crate::{Clock, Error, Result};

pub use job::{KEPT, REBUILD, SCRUB, VERIFY, findings_json};
pub use status::{Status, Totals};

/// The first actions that a report lists; more are in the job's log.
const MOST_ACTIONS: usize = 100;

/// Compares, reads and repairs. Cloning shares it.
#[derive(Clone)]
pub struct Verification {
    metadata: Metadata,
    storage: Storage,
    caches: Caches,
    mirror: Mirror,
    adoption: Adoption,
    clock: Clock,
    totals: Arc<status::Counters>,
    is_alone: bool,
}

/// What a verification is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only these repositories, without their bytes; none for all of them, and all bytes.
    pub repositories: Vec<RepositoryName>,
    /// Whether the bytes of blobs are read again and hashed.
    pub bytes: bool,
    /// Bytes that are read per second at most; `None` for as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// What is done about what is wrong.
    pub repair: Repair,
    /// Whether repair also removes rows whose bytes are gone.
    pub forget_missing: bool,
}

/// What is done about what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    #[default]
    No,
    /// Nothing, but it is said what would be done.
    DryRun,
    /// What is safe.
    Yes,
}

/// Is told what a verification comes by, and says whether it goes on.
pub trait Observer: Send + Sync {
    /// Something is wrong.
    fn finding(&self, finding: &Finding);
    /// Something was done about it, or would be.
    fn action(&self, action: &str);
    /// How far it is.
    fn progress(&self, done: u64, total: Option<u64>, what: &str);
    /// Whether to go on.
    fn goes_on(&self) -> bool;
    /// All bytes before this folder were read: a later attempt may begin with it.
    fn reached(&self, folder: u64) -> BoxFuture<'_, Result<()>> {
        let _all = folder;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// How much was looked at.
#[derive(Debug, Default)]
struct Checked {
    repositories: AtomicU64,
    tags: AtomicU64,
    manifests: AtomicU64,
    layers: AtomicU64,
    blobs: AtomicU64,
    bytes: AtomicU64,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Repositories that were compared.
    pub repositories: u64,
    /// Tags that were compared.
    pub tags: u64,
    /// Manifests that were compared.
    pub manifests: u64,
    /// Layer links that were compared.
    pub layers: u64,
    /// Blobs that were compared.
    pub blobs: u64,
    /// Bytes that were read and hashed.
    pub bytes: u64,
    /// What is wrong, by kind.
    pub findings: BTreeMap<FindingKind, Tally>,
    /// What was done about it, or would be.
    pub actions: u64,
    /// The first of them.
    pub first_actions: Vec<String>,
}

impl Report {
    /// Findings that mean that something is lost, or that index and storage disagree.
    pub fn faults(&self) -> u64 {
        let faults = self.findings.iter().filter(|(kind, _)| kind.is_fault());
        faults.map(|(_, tally)| tally.count).sum()
    }
}

/// One verification under way.
struct Work<'w> {
    parts: &'w Verification,
    options: &'w Options,
    observer: &'w dyn Observer,
    findings: Findings,
    checked: Checked,
    actions: std::sync::Mutex<(u64, Vec<String>)>,
    pace: Pace,
}

impl Verification {
    /// Over these parts.
    pub fn new(
        metadata: Metadata,
        storage: Storage,
        caches: Caches,
        mirror: Mirror,
        adoption: Adoption,
        clock: Clock,
    ) -> Self {
        Self {
            metadata,
            storage,
            caches,
            mirror,
            adoption,
            clock,
            totals: Arc::default(),
            is_alone: false,
        }
    }

    /// For a process that serves nothing: no look through the storage is under way that would have to
    /// be waited for.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Compares everything, or some repositories.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] before the storage was looked through after the start, or when the
    /// observer says that it does not go on; [`Error::NameUnknown`] when neither index nor storage
    /// has a repository that was named; failures of storage and index.
    pub async fn run(&self, options: &Options, observer: &dyn Observer) -> Result<Report> {
        self.begin(options).await?;
        let work = self.work(options, observer);
        if options.repositories.is_empty() {
            work.all_repositories().await?;
            work.blobs(0).await?;
        } else {
            work.named_repositories().await?;
        }
        Ok(work.report())
    }

    /// Reads the bytes of all blobs again, beginning with a folder that [`Observer::reached`] was told.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn scrub(&self, options: &Options, first: u64, observer: &dyn Observer) -> Result<Report> {
        self.begin(options).await?;
        let work = self.work(options, observer);
        work.blobs(first).await?;
        Ok(work.report())
    }

    /// What another registry changed while this one was away is no damage: it is followed first, by the
    /// look that every start begins with. Without repair a process of its own changes nothing.
    async fn begin(&self, options: &Options) -> Result<()> {
        if !self.is_alone {
            return self.adoption.ensure_names().await;
        }
        if options.repair == Repair::Yes && !self.adoption.is_settled() {
            self.adoption.run().await?;
        }
        Ok(())
    }

    fn work<'w>(&'w self, options: &'w Options, observer: &'w dyn Observer) -> Work<'w> {
        Work {
            parts: self,
            options,
            observer,
            findings: Findings::default(),
            checked: Checked::default(),
            actions: std::sync::Mutex::default(),
            pace: Pace::new(options.bytes_per_second),
        }
    }
}

impl Work<'_> {
    async fn all_repositories(&self) -> Result<()> {
        let (names, litter) = self.parts.adoption.names().await?;
        self.findings.merge(litter);
        let total = names.len() as u64;
        for (done, name) in (0_u64..).zip(&names) {
            self.go_on()?;
            self.observer.progress(done, Some(total), "repositories");
            self.repository(name).await?;
        }
        Ok(())
    }

    async fn named_repositories(&self) -> Result<()> {
        let total = self.options.repositories.len() as u64;
        for (done, name) in (0_u64..).zip(&self.options.repositories) {
            self.go_on()?;
            self.observer.progress(done, Some(total), "repositories");
            let asked = name.clone();
            let row = self
                .parts
                .metadata
                .read(move |tx| repositories::find(tx, &asked))
                .await?;
            let folder = row.map_or_else(|| name.clone(), |row| row.storage_name);
            if !self.repository(&folder).await? {
                return Err(Error::NameUnknown(name.clone()));
            }
        }
        Ok(())
    }

    /// # Errors
    ///
    /// The observer wants no more.
    fn go_on(&self) -> Result<()> {
        match self.observer.goes_on() {
            true => Ok(()),
            false => Err(Error::unavailable("the verification was told to stop", 1)),
        }
    }

    fn find(&self, finding: &Finding) {
        self.findings.add(finding);
        self.observer.finding(finding);
    }

    /// Says what is done, or would be; whether it is to be done.
    fn act(&self, action: impl FnOnce() -> String) -> bool {
        let is_done = match self.options.repair {
            Repair::No => return false,
            Repair::DryRun => false,
            Repair::Yes => true,
        };
        let text = action();
        self.observer.action(&text);
        let mut actions = self.actions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        actions.0 += 1;
        if actions.1.len() < MOST_ACTIONS {
            actions.1.push(text);
        }
        is_done
    }

    fn report(self) -> Report {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (actions, first_actions) = self
            .actions
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Report {
            repositories: count(&self.checked.repositories),
            tags: count(&self.checked.tags),
            manifests: count(&self.checked.manifests),
            layers: count(&self.checked.layers),
            blobs: count(&self.checked.blobs),
            bytes: count(&self.checked.bytes),
            findings: self.findings.read(),
            actions,
            first_actions,
        }
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}

impl std::fmt::Debug for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verification").finish_non_exhaustive()
    }
}
