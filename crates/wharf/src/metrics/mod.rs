//! Counters and histograms for Prometheus: distribution's names, and ours beside them.
//!
//! What a request touches is a fixed table of atomics: no lock, no hashing, no allocation.

mod collect;
mod exposition;
mod garbage_collection;
mod histogram;
mod http;
mod jobs;
mod process;
mod replicas;
mod table;
mod trash;
mod verification;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prometheus_client::registry::Registry;
use wharf_jobs::{KindStatus, State};
use wharf_registry::caches::Caches;
use wharf_registry::garbage_collection::Collector;
use wharf_registry::trash::Trash;
use wharf_registry::verification::Verification;

pub use self::exposition::Exposition;
use self::garbage_collection::Collected;
pub use self::histogram::Histogram;
pub use self::http::HttpMetrics;
pub use self::jobs::JobMetrics;
use self::replicas::Shared;
use self::table::Table;
use self::trash::Trashed;
use self::verification::Verified;
use crate::listen::Stats;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Inner {
    version: &'static str,
    http: Table<HttpMetrics>,
    storage: Table<Table<Histogram>>,
    authentications: Outcomes<{ Authentication::NAMES.len() }>,
    uploads: Outcomes<{ Upload::NAMES.len() }>,
    jobs: Table<JobMetrics>,
    listeners: RwLock<Vec<(&'static str, Arc<Stats>)>>,
    collector: Collected,
    verified: Verified,
    trashed: Trashed,
    shared: Shared,
}

/// How a request's credentials were judged (`wharf_authentications_total{result}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// No credentials.
    Anonymous,
    /// Verified anew.
    Verified,
    /// Known from shortly before.
    Remembered,
    /// Wrong.
    Failed,
    /// Not looked at, after too many failures.
    Limited,
}

impl Authentication {
    const NAMES: [&'static str; 5] = ["anonymous", "verified", "remembered", "failed", "limited"];
}

/// What became of an upload (`wharf_uploads_total{result}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// Begun.
    Started,
    /// Committed.
    Finished,
    /// Made unnecessary by a mount.
    Mounted,
    /// Given up by the client.
    Cancelled,
    /// Refused: wrong digest, size or range.
    Refused,
    /// Broken off by the connection, resumable.
    Interrupted,
    /// Failed by the storage or index.
    Failed,
}

impl Upload {
    const NAMES: [&'static str; 7] = [
        "started",
        "finished",
        "mounted",
        "cancelled",
        "refused",
        "interrupted",
        "failed",
    ];
}

/// One counter per outcome.
#[derive(Debug)]
struct Outcomes<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Outcomes<N> {
    fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            counts: [const { AtomicU64::new(0) }; N],
        }
    }

    fn count(&self, index: usize) {
        if let Some(count) = self.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        self.names.iter().copied().zip(counts)
    }
}

impl Metrics {
    /// Metrics that are all zero. `version` goes into `wharf_build_info`.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let inner = Arc::new(Inner {
            version,
            http: Table::new(HttpMetrics::new),
            storage: Table::new(|| Table::new(|| Histogram::new(histogram::SECONDS))),
            authentications: Outcomes::new(Authentication::NAMES),
            uploads: Outcomes::new(Upload::NAMES),
            jobs: Table::new(JobMetrics::new),
            listeners: RwLock::default(),
            collector: Collected::default(),
            verified: Verified::default(),
            trashed: Trashed::default(),
            shared: Shared::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&inner)));
        registry.register_collector(Box::new(process::Process::new()));
        registry.register_collector(Box::new(inner.collector.clone()));
        registry.register_collector(Box::new(inner.verified.clone()));
        registry.register_collector(Box::new(inner.trashed.clone()));
        registry.register_collector(Box::new(inner.shared.clone()));
        Self {
            inner,
            registry: Mutex::new(registry),
        }
    }

    /// The metrics of one kind of endpoint. Distribution's names are `base`, `blob`,
    /// `blob_upload`, `blob_upload_chunk`, `catalog`, `manifest` and `tags`; a name that was not
    /// seen before adds its series.
    #[must_use]
    pub fn http(&self, handler: &'static str) -> &HttpMetrics {
        self.inner.http.get(handler)
    }

    /// The histogram of one action of a storage driver
    /// (`registry_storage_action_seconds{driver,action}`), such as `filesystem` and `GetContent`.
    #[must_use]
    pub fn storage(&self, driver: &'static str, action: &'static str) -> &Histogram {
        self.inner.storage.get(driver).get(action)
    }

    /// Counts an authentication.
    pub fn authentication(&self, outcome: Authentication) {
        self.inner.authentications.count(outcome as usize);
    }

    /// Counts a step of an upload.
    pub fn upload(&self, outcome: Upload) {
        self.inner.uploads.count(outcome as usize);
    }

    /// The metrics of a kind of jobs.
    #[must_use]
    pub fn job(&self, kind: &'static str) -> &JobMetrics {
        self.inner.jobs.get(kind)
    }

    /// Takes what the index says of jobs: which kinds there are, and how many wait and run.
    pub fn count_jobs(&self, kinds: &[KindStatus], counts: &[(String, State, u64)]) {
        for kind in kinds {
            let of_kind = |state: State| {
                let mut found = counts.iter().filter(|(name, of, _)| name == kind.name && *of == state);
                found.next().map_or(0, |(_, _, count)| *count)
            };
            let last = kind.last_success_at.map(jiff::Timestamp::as_second);
            self.job(kind.name)
                .stand(of_kind(State::Waiting), of_kind(State::Running), last);
        }
    }

    /// Adds a listener's connections and bytes
    /// (`wharf_connections*{listener}`, `wharf_network_*_bytes_total{listener}`).
    pub fn add_listener(&self, name: &'static str, stats: Arc<Stats>) {
        let mut listeners = self.inner.listeners.write();
        let listeners = listeners.as_mut();
        match listeners {
            Ok(listeners) => listeners.push((name, stats)),
            Err(poisoned) => poisoned.get_mut().push((name, stats)),
        }
    }

    /// Adds what a garbage collector has done and what waits for it (`wharf_gc_*`).
    pub fn watch_collector(&self, collector: Collector) {
        self.inner.collector.watch(collector);
    }

    /// Adds how far the comparison with the storage is, and what was found wrong (`wharf_adoption_*`,
    /// `wharf_findings`, `wharf_verified_*`, `wharf_damaged_blobs`).
    pub fn watch_verification(&self, verification: Verification) {
        self.inner.verified.watch(verification);
    }

    /// Adds how much lies in a trash (`wharf_trash_*`).
    pub fn watch_trash(&self, trash: Trash) {
        self.inner.trashed.watch(trash);
    }

    /// Adds how often the index is asked whether memories are true (`wharf_cache_version_*`).
    pub fn watch_caches(&self, caches: Caches) {
        self.inner.shared.watch(caches);
    }

    /// Registers further metrics, for whoever needs more than this module has.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All metrics as text, in the format that the scraper's `Accept` header asks for.
    #[must_use]
    pub fn text(&self, accept: Option<&str>) -> Exposition {
        let mut text = String::with_capacity(16 * 1024);
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        drop(registry);
        Exposition::negotiate(text, accept)
    }
}
