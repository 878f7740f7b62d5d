//! Asking which versions stand, once for everybody who waits for the answer.
//!
//! What is remembered under a version is true for a request if the version was read after the
//! request came: whatever was acknowledged before it shows in that read. One read is under way at a
//! time, and all who came before it began share it, so that a busy process asks as often as the
//! answers come and no oftener, whatever is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, watch};
use wharf_metadata::Metadata;
use wharf_metadata::cache_versions::{self, Versions};

use crate::{Error, Result};

/// Reads the versions of an index that others write to as well.
#[derive(Debug)]
pub(super) struct VersionReader {
    metadata: Metadata,
    /// How many reads have begun.
    begun: AtomicU64,
    /// How many requests have asked.
    asked: AtomicU64,
    turn: Mutex<()>,
    last: watch::Sender<Seen>,
}

/// How the last read ended.
#[derive(Clone, Debug)]
struct Seen {
    /// Which one it was, counted from 1.
    number: u64,
    outcome: std::result::Result<Arc<Versions>, String>,
}

impl VersionReader {
    pub(super) fn new(metadata: Metadata) -> Self {
        let never = Seen {
            number: 0,
            outcome: Ok(Arc::new(Versions::NONE)),
        };
        Self {
            metadata,
            begun: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            turn: Mutex::default(),
            last: watch::Sender::new(never),
        }
    }

    /// The versions as a read shows them that began after this call.
    pub(super) async fn read(&self) -> Result<Arc<Versions>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = self.last.subscribe();
        let _turn = tokio::select! {
            biased;
            // the sender lives as long as this handle
            Ok(seen) = ended.wait_for(|seen| seen.number > before) => return told(&seen),
            turn = self.turn.lock() => turn,
        };
        if self.last.borrow().number > before {
            return told(&self.last.borrow());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let read = self.metadata.read(cache_versions::read).await;
        let outcome = read
            .map(Arc::new)
            .map_err(|error: wharf_metadata::Error| error.to_string());
        // who waits is told of a failure as well: to try again one by one helps nobody
        let seen = Seen { number, outcome };
        let answer = told(&seen);
        self.last.send_replace(seen);
        answer
    }

    /// How many reads were begun, and how many requests they were for.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.begun.load(Ordering::Relaxed), self.asked.load(Ordering::Relaxed))
    }
}

fn told(seen: &Seen) -> Result<Arc<Versions>> {
    match &seen.outcome {
        Ok(versions) => Ok(Arc::clone(versions)),
        Err(error) => Err(Error::unavailable(
            format!("whether what is remembered is true cannot be asked: {error}"),
            5,
        )),
    }
}
