//! Snapshots in the storage of what the storage cannot rebuild, so that losing the disk of the index
//! loses neither accounts nor history.
//!
//! A snapshot is a small list of *parts* under `wharf/snapshots/`; a part holds rows of one table and
//! is called by what is in it, under the key. So a snapshot after a change writes the parts that
//! changed, and a part that several snapshots have is there once. All of it is encrypted.

mod files;
mod read;
mod write;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use wharf_metadata::Metadata;
use wharf_metadata::transfer::Changes;
use wharf_storage::Storage;

use super::error::Result;
use super::format::{Header, Totals};
use super::key::BackupKey;
use crate::{Clock, Random};

pub use read::{Choice, Found, Recovered, Skipped, find, restore_snapshot};
pub use write::LINEAGE;

/// How long accounts, rights and keys wait for their snapshot.
const RIGHTS_DELAY: Duration = Duration::from_secs(2);
/// A snapshot takes at most one part in so many of the time.
const SHARE: i32 = 20;
/// But no change waits longer than so many delays because of that.
const MOST_DELAYS: i32 = 5;

/// How long a storage that has failed is left alone.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(15);

/// When snapshots are made and how many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRules {
    /// How long a change waits for its snapshot; five times as long where making one takes more
    /// than a twentieth of it.
    pub delay: Duration,
    /// How many stay.
    pub keep: usize,
}

/// Makes snapshots of an index into its storage. Cloning shares it.
#[derive(Clone)]
pub struct Snapshots {
    metadata: Metadata,
    storage: Storage,
    key: Arc<BackupKey>,
    clock: Clock,
    random: Random,
    rules: SnapshotRules,
    state: Arc<Mutex<State>>,
}

/// What became of a look at the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not time for one.
    NotDue,
    /// The newest snapshot holds what the index holds.
    Unchanged,
    /// One was made.
    Made {
        /// Parts that are new in it.
        parts: usize,
        /// Their bytes.
        bytes: u64,
    },
}

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    header: Header,
    parts: Vec<Part>,
    totals: Totals,
}

/// Rows of one table, in a file of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    table: String,
    name: String,
}

#[derive(Default)]
struct State {
    /// What was changed when the last snapshot was made; `None` before the first of this process.
    saved: Option<Changes>,
    rights_since: Option<Timestamp>,
    records_since: Option<Timestamp>,
    not_before: Option<Timestamp>,
    /// The newest snapshot of this index, once it was looked for.
    newest: Option<List>,
    /// The parts that are in the storage, once they were listed.
    parts: Option<HashSet<String>>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots")
            .field("key", &self.key)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Where the index is and what the snapshots are encrypted with.
#[derive(Clone)]
pub struct SnapshotParts {
    /// The index.
    pub metadata: Metadata,
    /// Its storage.
    pub storage: Storage,
    /// The operator's key.
    pub key: Arc<BackupKey>,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
}

impl Snapshots {
    /// Of this index into this storage.
    pub fn new(parts: SnapshotParts, rules: SnapshotRules) -> Self {
        let SnapshotParts {
            metadata,
            storage,
            key,
            clock,
            random,
        } = parts;
        Self {
            metadata,
            storage,
            key,
            clock,
            random,
            rules,
            state: Arc::default(),
        }
    }

    /// Makes a snapshot if a change has waited long enough, or if this process has not compared the
    /// newest one with the index yet. To be called every second.
    ///
    /// # Errors
    ///
    /// Storage or index fail; the change is tried again.
    pub async fn look(&self) -> Result<Outcome> {
        let mut state = self.state.lock().await;
        // a server keeps the index, or another process writes it
        let Some(changes) = self.metadata.changes() else {
            return Ok(Outcome::NotDue);
        };
        let now = (self.clock)();
        state.notice(changes, now);
        if !state.is_due(now, self.rules.delay) {
            return Ok(Outcome::NotDue);
        }
        self.make(&mut state).await
    }

    /// Makes a snapshot of what has changed, due or not: before the process ends.
    ///
    /// # Errors
    ///
    /// Storage or index fail.
    pub async fn finish(&self) -> Result<Outcome> {
        let mut state = self.state.lock().await;
        match self.metadata.changes() {
            Some(changes) if state.saved != Some(changes) => self.make(&mut state).await,
            _ => Ok(Outcome::NotDue),
        }
    }

    async fn make(&self, state: &mut State) -> Result<Outcome> {
        let began = (self.clock)();
        let outcome = self.write(state).await;
        let ended = (self.clock)();
        let most = signed(self.rules.delay).saturating_mul(MOST_DELAYS);
        let pause = match &outcome {
            Ok(_) => ended.duration_since(began).saturating_mul(SHARE),
            Err(_) => AFTER_FAILURE,
        };
        state.not_before = ended.checked_add(pause.min(most)).ok();
        outcome
    }
}

impl State {
    fn notice(&mut self, changes: Changes, now: Timestamp) {
        let Some(saved) = self.saved else { return };
        if saved.rights != changes.rights {
            self.rights_since.get_or_insert(now);
        }
        if saved.records != changes.records {
            self.records_since.get_or_insert(now);
        }
    }

    fn is_due(&self, now: Timestamp, delay: Duration) -> bool {
        let has_waited = |since: Option<Timestamp>, delay: Duration| {
            since.is_some_and(|since| now.duration_since(since) >= signed(delay))
        };
        let is_due = self.saved.is_none()
            || has_waited(self.rights_since, RIGHTS_DELAY.min(delay))
            || has_waited(self.records_since, delay);
        is_due && self.not_before.is_none_or(|time| time <= now)
    }

    fn is_saved(&mut self, changes: Option<Changes>) {
        self.saved = changes;
        self.rights_since = None;
        self.records_since = None;
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
