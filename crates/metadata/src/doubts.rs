//! Commits whose outcome is unknown: the connection to the server was lost before its answer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts such commits, and how many of them were made up for: until then what a process remembers
/// of the index may be older than the index.
#[derive(Debug, Default)]
pub struct Doubts {
    raised: AtomicU64,
    settled: AtomicU64,
}

impl Doubts {
    /// A commit may or may not have been made.
    pub fn raise(&self) {
        self.raised.fetch_add(1, Ordering::AcqRel);
    }

    /// How many there were so far.
    pub fn raised(&self) -> u64 {
        self.raised.load(Ordering::Acquire)
    }

    /// Whether there are some that nobody has made up for.
    pub fn are_open(&self) -> bool {
        self.settled.load(Ordering::Acquire) < self.raised()
    }

    /// The first `count` were made up for: the index was read anew since.
    pub fn settle(&self, count: u64) {
        self.settled.fetch_max(count, Ordering::AcqRel);
    }
}
