//! Which credentials are out of date: the memory that remembered credentials are compared with.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

/// Without news from the database for this long, nothing is remembered any more (milliseconds).
const TRUSTED_FOR: i64 = 10_000;

/// The lowest `credential_version` that still counts, for every account that changed since the
/// start of the process. Accounts that are not in it have not changed: what is remembered of them
/// was read from their row by this process.
pub struct CredentialVersions {
    lowest: ArcSwap<HashMap<i64, i64>>,
    writing: Mutex<()>,
    read_at: AtomicI64,
    /// The database's counter of credential changes, as far as it has been worked off.
    counter: AtomicI64,
}

impl CredentialVersions {
    /// Nothing has changed yet; the database was read at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            lowest: ArcSwap::default(),
            writing: Mutex::new(()),
            read_at: AtomicI64::new(now.as_millisecond()),
            counter: AtomicI64::new(0),
        }
    }

    /// Notes that an account now has this version: by the change itself, right after its commit, or
    /// by the poll. Older news than what is known change nothing.
    pub fn raise(&self, changes: impl IntoIterator<Item = (i64, i64)>) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lowest.load();
        let mut changed: Option<HashMap<i64, i64>> = None;
        for (id, version) in changes {
            if known.get(&id).is_none_or(|&old| old < version) {
                let map = changed.get_or_insert_with(|| HashMap::clone(&known));
                let lowest = map.entry(id).or_insert(version);
                *lowest = version.max(*lowest);
            }
        }
        if let Some(changed) = changed {
            self.lowest.store(changed.into());
        }
    }

    /// Notes that everything committed before `now` has been raised.
    pub fn confirm(&self, now: Timestamp) {
        self.read_at.store(now.as_millisecond(), Ordering::Release);
    }

    /// Up to where changes have been raised.
    pub(crate) fn counter(&self) -> i64 {
        self.counter.load(Ordering::Acquire)
    }

    /// Notes that changes have been raised up to here.
    pub(crate) fn set_counter(&self, counter: i64) {
        self.counter.store(counter, Ordering::Release);
    }

    /// Whether `version` of the account still counts, as far as this process can know.
    pub fn is_current(&self, id: i64, version: i64, now: Timestamp) -> bool {
        let age = now.as_millisecond() - self.read_at.load(Ordering::Acquire);
        age < TRUSTED_FOR && self.lowest.load().get(&id).is_none_or(|&lowest| version >= lowest)
    }
}

impl std::fmt::Debug for CredentialVersions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialVersions")
            .field("changed", &self.lowest.load().len())
            .field("read_at", &self.read_at)
            .finish_non_exhaustive()
    }
}
