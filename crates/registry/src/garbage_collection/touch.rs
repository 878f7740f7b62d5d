//! What clients ask for before they push is left alone for a while (consistency rule 4).

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_metadata::garbage_collection::{self as queue, Kind};
use wharf_metadata::{Metadata, Timestamp, blobs, links};
use wharf_oci::Digest;

use super::micros;
use crate::caches::LinkedBlob;
use crate::{Clock, Result};

/// Blobs that one transaction touches.
const BATCH: usize = 500;

/// When a blob was last known to be asked for.
#[derive(Clone, Debug)]
pub struct Touched(Arc<AtomicI64>);

impl Touched {
    /// As the index knows it; never, for a blob that is condemned.
    pub(crate) fn of(row: &links::Linked) -> Self {
        let at = match row.state {
            blobs::State::Present => row.touched_at.0,
            _ => i64::MIN,
        };
        Self(Arc::new(AtomicI64::new(at)))
    }
}

/// Notes which blobs are asked for: in memory, written in batches. Cloning shares it.
#[derive(Clone)]
pub struct Touches {
    pending: Arc<Mutex<HashSet<Digest>>>,
    metadata: Metadata,
    clock: Clock,
    grace: Duration,
}

impl std::fmt::Debug for Touches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Touches")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl Touches {
    /// Into this index; what was asked for within a quarter of `grace` is not noted again.
    pub fn new(metadata: Metadata, clock: Clock, grace: Duration) -> Self {
        Self {
            pending: Arc::default(),
            metadata,
            clock,
            grace,
        }
    }

    /// Somebody asks whether a repository has a blob. `false` if it is gone by now. Mostly this is
    /// one comparison in memory, sometimes a read; only what waits for a review is written at once.
    pub(crate) async fn touch(&self, (repository_id, digest): (i64, &Digest), linked: &LinkedBlob) -> Result<bool> {
        let now: Timestamp = (self.clock)().into();
        let before = linked.touched.0.load(Ordering::Relaxed);
        let is_fresh = now.0 < before.saturating_add(micros(self.grace) / 4);
        if is_fresh || !self.metadata.is_writable() {
            return Ok(true);
        }
        let key = (Kind::Link, repository_id, linked.blob_id);
        let digest = *digest;
        let look = self.metadata.read(move |tx| {
            let is_there = links::is_linked(tx, repository_id, &digest)?;
            Ok::<_, wharf_metadata::Error>((is_there, queue::queued(tx, key)?.is_some()))
        });
        let (is_there, is_queued) = look.await?;
        // what is remembered of it may be a moment older than its collection
        if !is_there {
            return Ok(false);
        }
        // the collector of another process knows nothing of what is noted here
        if before == i64::MIN || is_queued || self.metadata.is_shared() {
            let kept = self
                .metadata
                .write(move |tx| queue::keep_link(tx, repository_id, &digest, now));
            let is_kept: bool = kept.await?;
            if !is_kept {
                return Ok(false);
            }
        } else {
            self.pending().insert(linked.stored);
        }
        linked.touched.0.store(now.0, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes what was noted since the last call. A crash loses it: then what was asked for keeps
    /// the time of an earlier question, at least three quarters of the grace period.
    ///
    /// # Errors
    ///
    /// The index cannot be written; what was noted is kept for the next call.
    pub async fn flush(&self) -> Result<()> {
        if !self.metadata.is_writable() {
            return Ok(());
        }
        let noted: Vec<Digest> = std::mem::take(&mut *self.pending()).into_iter().collect();
        let now = (self.clock)().into();
        for batch in noted.chunks(BATCH) {
            let digests = batch.to_vec();
            let written = self.metadata.write(move |tx| blobs::touch(tx, &digests, now)).await;
            if let Err(error) = written {
                self.pending().extend(&noted);
                return Err(wharf_metadata::Error::into(error));
            }
        }
        Ok(())
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
