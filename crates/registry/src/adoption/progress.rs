//! How far a comparison of storage and index is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::finding::{FindingKind, Findings, Tally};

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing yet, or nothing at all: another process owns the index.
    #[default]
    Waiting,
    /// Looking for repositories.
    Names,
    /// Reading repository by repository.
    Repositories,
    /// Looking for bytes that no repository names. Everything is served and complete already.
    Blobs,
    /// Done.
    Complete,
    /// Broken off by a failure; it is tried again.
    Failed,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Names,
        Self::Repositories,
        Self::Blobs,
        Self::Complete,
        Self::Failed,
    ];

    /// The name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Names => "names",
            Self::Repositories => "repositories",
            Self::Blobs => "blobs",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// How far the comparison is, and what was found.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    epoch: AtomicI64,
    /// Whether everything is read, not only what seems to have changed.
    is_full: AtomicBool,
    /// Microseconds since 1970; 0 for not yet.
    began: AtomicI64,
    ended: AtomicI64,
    total: AtomicU64,
    pub(super) repositories: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) changes: AtomicU64,
    pub(super) tags: AtomicU64,
    pub(super) manifests: AtomicU64,
    pub(super) layers: AtomicU64,
    pub(super) blobs: AtomicU64,
    pub(super) findings: Findings,
}

/// [`Progress`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What is being done.
    pub phase: Phase,
    /// Of the pass; 0 before the first.
    pub epoch: i64,
    /// Whether everything is read, not only what seems to have changed.
    pub is_full: bool,
    /// When it began, in microseconds since 1970; `None` for not yet.
    pub began: Option<i64>,
    /// When it ended, in microseconds since 1970; `None` for not yet.
    pub ended: Option<i64>,
    /// Repositories to compare, as far as they are known.
    pub total: u64,
    /// Repositories that were compared.
    pub repositories: u64,
    /// Repositories that could not be compared and are tried again.
    pub failed: u64,
    /// Entries of the index that had to follow the storage.
    pub changes: u64,
    /// Tags that were looked at.
    pub tags: u64,
    /// Manifest links that were looked at.
    pub manifests: u64,
    /// Layer links that were looked at; those of unchanged folders are not.
    pub layers: u64,
    /// Blobs that were looked at, while looking for orphans.
    pub blobs: u64,
    /// What is wrong in the storage.
    pub findings: BTreeMap<FindingKind, Tally>,
}

impl Snapshot {
    /// How long it has taken until `now` or its end, in seconds.
    pub fn seconds(&self, now: i64) -> f64 {
        let Some(began) = self.began else { return 0.0 };
        let micros = self.ended.unwrap_or(now).saturating_sub(began).max(0);
        micros as f64 / 1e6
    }

    /// Tags per second so far.
    pub fn rate(&self, now: i64) -> f64 {
        let seconds = self.seconds(now);
        if seconds > 0.0 { self.tags as f64 / seconds } else { 0.0 }
    }

    /// How many seconds are left, from the repositories that are left; `None` when nothing tells.
    pub fn rest(&self, now: i64) -> Option<f64> {
        if self.phase != Phase::Repositories || self.repositories == 0 {
            return None;
        }
        let left = self.total.saturating_sub(self.repositories) as f64;
        Some(self.seconds(now) * left / self.repositories as f64)
    }
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

    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let time = |time: &AtomicI64| Some(time.load(Ordering::Relaxed)).filter(|time| *time > 0);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            phase: self.phase(),
            epoch: self.epoch.load(Ordering::Relaxed),
            is_full: self.is_full.load(Ordering::Relaxed),
            began: time(&self.began),
            ended: time(&self.ended),
            total: count(&self.total).max(count(&self.repositories)),
            repositories: count(&self.repositories),
            failed: count(&self.failed),
            changes: count(&self.changes),
            tags: count(&self.tags),
            manifests: count(&self.manifests),
            layers: count(&self.layers),
            blobs: count(&self.blobs),
            findings: self.findings.read(),
        }
    }

    /// What is being done.
    pub fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        Phase::ALL.get(phase).copied().unwrap_or_default()
    }

    pub(super) fn enter(&self, phase: Phase) {
        let number = Phase::ALL.iter().position(|other| *other == phase).unwrap_or_default();
        self.phase
            .store(u8::try_from(number).unwrap_or_default(), Ordering::Relaxed);
    }

    /// A pass begins: what the last one counted is forgotten.
    pub(super) fn begin(&self, epoch: i64, is_full: bool, now: i64) {
        for count in [&self.total, &self.failed, &self.blobs] {
            count.store(0, Ordering::Relaxed);
        }
        if is_full {
            self.forget_counts();
        }
        self.epoch.store(epoch, Ordering::Relaxed);
        self.is_full.store(is_full, Ordering::Relaxed);
        self.began.store(now, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        self.enter(Phase::Names);
    }

    /// What requests have compared before the pass counts as well, unless everything begins anew.
    pub(super) fn forget_counts(&self) {
        let counts = [
            &self.repositories,
            &self.changes,
            &self.tags,
            &self.manifests,
            &self.layers,
        ];
        for count in counts {
            count.store(0, Ordering::Relaxed);
        }
        self.findings.clear();
    }

    pub(super) fn expect(&self, repositories: usize) {
        self.total.store(repositories as u64, Ordering::Relaxed);
    }

    pub(super) fn end(&self, now: i64) {
        self.ended.store(now, Ordering::Relaxed);
        self.enter(Phase::Complete);
    }
}

pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}
