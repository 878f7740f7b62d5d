//! How the index stands to the storage, and what was found wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use wharf_metadata::adoption::{self, Completeness, Counts};
use wharf_metadata::verification::{self, Damaged};

use super::Verification;
use crate::Result;
use crate::adoption::Snapshot;

/// Damaged blobs that a status lists.
const MOST_DAMAGED: usize = 100;

/// How the index stands to the storage.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether the index knows all that the storage holds (consistency rule 1).
    pub completeness: Completeness,
    /// How far the look through the storage is that this process began; of no meaning in a process
    /// that only runs a command.
    pub adoption: Snapshot,
    /// What the index holds.
    pub counts: Counts,
    /// How many blobs are damaged.
    pub damaged: u64,
    /// The first of them.
    pub first_damaged: Vec<Damaged>,
}

/// What was read and found since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Blobs whose bytes were read again.
    pub blobs: u64,
    /// Those bytes.
    pub bytes: u64,
    /// Blobs that are damaged, as of the last count.
    pub damaged: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    blobs: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, bytes: u64) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Verification {
    /// How the index stands to the storage. Costs the number of what is indexed.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn status(&self) -> Result<Status> {
        let read = self.metadata.read_long(|tx| {
            Ok::<_, wharf_metadata::Error>((
                adoption::completeness(tx)?,
                adoption::counts(tx)?,
                verification::count_damaged(tx)?,
                verification::damaged(tx, MOST_DAMAGED)?,
            ))
        });
        let (completeness, counts, damaged, first_damaged) = read.await?;
        Ok(Status {
            completeness,
            adoption: self.adoption.progress().snapshot(),
            counts,
            damaged,
            first_damaged,
        })
    }

    /// The time, for what a status says about speed.
    pub fn now(&self) -> jiff::Timestamp {
        (self.clock)()
    }

    /// Counts the damaged blobs for [`Self::totals`].
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn count(&self) -> Result<()> {
        let damaged = self.metadata.read_long(verification::count_damaged).await?;
        self.totals.damaged.store(damaged, Ordering::Relaxed);
        Ok(())
    }

    /// What was read and found since the process began.
    pub fn totals(&self) -> Totals {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            blobs: count(&self.totals.blobs),
            bytes: count(&self.totals.bytes),
            damaged: count(&self.totals.damaged),
        }
    }

    /// How far the look through the storage is that this process began.
    pub fn adoption(&self) -> Snapshot {
        self.adoption.progress().snapshot()
    }
}
