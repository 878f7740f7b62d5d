//! Pull counts and last pull times: counted in memory, written in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wharf_metadata::{Metadata, statistics};
use wharf_oci::{Digest, Reference, Tag};

use crate::pull::StoredManifest;
use crate::{Clock, Result};

type Key = (i64, Digest, Option<Tag>);

/// Counts pulls. Cloning shares the count.
#[derive(Clone)]
pub struct PullCounter {
    pending: Arc<Mutex<HashMap<Key, u64>>>,
    metadata: Metadata,
    clock: Clock,
}

impl std::fmt::Debug for PullCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullCounter").finish_non_exhaustive()
    }
}

impl PullCounter {
    /// Counts into this index.
    pub fn new(metadata: Metadata, clock: Clock) -> Self {
        Self {
            pending: Arc::default(),
            metadata,
            clock,
        }
    }

    pub(crate) fn count(&self, manifest: &StoredManifest, reference: &Reference) {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let key = (manifest.repository_id, manifest.digest, tag);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        *pending.entry(key).or_default() += 1;
    }

    /// Writes what was counted since the last call. Losing a batch in a crash loses counts only.
    ///
    /// # Errors
    ///
    /// The index cannot be written; the counts are kept for the next call.
    pub async fn flush(&self) -> Result<()> {
        if !self.metadata.is_writable() {
            return Ok(());
        }
        let batch = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return Ok(());
        }
        let last = (self.clock)().into();
        let pulls: Vec<statistics::Pulls> = batch
            .iter()
            .map(|((repository_id, digest, tag), count)| statistics::Pulls {
                repository_id: *repository_id,
                manifest: *digest,
                tag: tag.clone(),
                count: *count,
                last,
            })
            .collect();
        let written = self.metadata.write(move |tx| statistics::add_pulls(tx, &pulls)).await;
        if let Err(error) = written {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in batch {
                *pending.entry(key).or_default() += count;
            }
            return Err(wharf_metadata::Error::into(error));
        }
        Ok(())
    }
}
