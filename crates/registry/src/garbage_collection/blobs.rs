//! Deleting the bytes of what is condemned.

use std::time::Duration;

use wharf_metadata::blobs::Blob;
use wharf_metadata::garbage_collection::{self as queue, Counts, Pass};
use wharf_oci::Digest;

use super::{BATCH, LONGEST_REQUEST, Run, micros};
use crate::{Error, Result, content_type, identity};

/// How long bytes that could not be deleted are left alone, beyond the grace period.
const RETRY: Duration = Duration::from_secs(30);

impl<G: FnMut(&Counts) -> bool + Send> Run<'_, G> {
    pub(super) async fn blobs(&mut self, pass: &Pass) -> Result<Option<usize>> {
        let (begin, limit) = (pass.clone(), self.pace.batch());
        let reviewed = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::review_blobs(tx, &begin, limit));
        let Some(reviewed) = reviewed.await? else {
            return Ok(None);
        };
        let mut removed = self.delete(pass, reviewed.deleting).await?;
        removed.condemned = reviewed.condemned as u64;
        self.removed(removed).await?;
        Ok(Some(reviewed.looked_at))
    }

    /// Takes over what somebody else began to delete and must have ended with. Answers how many.
    pub(super) async fn overdue(&mut self, pass: &Pass) -> Result<usize> {
        let before = pass.now.plus(-micros(LONGEST_REQUEST));
        let take = pass.clone();
        let taken = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::deleting_overdue(tx, &take, before, BATCH));
        let taken: Vec<Blob> = taken.await?;
        let count = taken.len();
        if count > 0 {
            tracing::warn!(blobs = count, "deletions that did not end are begun again");
        }
        let removed = self.delete(pass, taken).await?;
        self.removed(removed).await?;
        Ok(count)
    }

    /// Deletes bytes whose rows say that this process does so until the deadline.
    async fn delete(&self, pass: &Pass, deleting: Vec<Blob>) -> Result<Counts> {
        if deleting.is_empty() {
            return Ok(Counts::default());
        }
        let parts = &self.collector.parts;
        let (gone, kept) = match self.is_allowed(pass).await? {
            true => self.delete_bytes(deleting).await?,
            false => (Vec::new(), deleting),
        };
        let digests: Vec<Digest> = gone.iter().map(|blob| blob.sha256).collect();
        for digest in &digests {
            parts.caches.forget_content(digest);
        }
        content_type::forget(&parts.storage, &digests).await?;
        let counts = Counts {
            blobs: gone.len() as u64,
            bytes: gone.iter().map(|blob| blob.size).sum(),
            ..Counts::default()
        };
        let (owner, now) = (pass.owner.clone(), self.collector.now());
        let later = now.plus(micros(RETRY));
        let ended = parts.metadata.write(move |tx| {
            queue::abandon_deleting(tx, &kept, &owner, (now, later))?;
            queue::finish_deleting(tx, &gone, &owner)
        });
        let finished: usize = ended.await?;
        tracing::debug!(blobs = finished, bytes = counts.bytes, "bytes deleted");
        Ok(counts)
    }

    /// Asked once more right before the deletion (consistency rules 1, 5 and 16): the index is still
    /// complete, the storage is the one that it knows, and there is time enough.
    async fn is_allowed(&self, pass: &Pass) -> Result<bool> {
        let collector = self.collector;
        let has_time = collector.now().plus(micros(LONGEST_REQUEST)) < pass.deadline;
        Ok(has_time
            && collector.epoch().await? == Some(pass.epoch)
            && identity::is_there(&collector.parts.storage).await?)
    }

    /// Deletes; answers which are gone for good, and which may still be there.
    async fn delete_bytes(&self, deleting: Vec<Blob>) -> Result<(Vec<Blob>, Vec<Blob>)> {
        let blobs = self.collector.parts.storage.blobs();
        let digests = deleting.iter().map(|blob| blob.sha256).collect();
        match tokio::time::timeout(LONGEST_REQUEST, blobs.delete_all(digests)).await {
            Ok(Ok(())) => Ok((deleting, Vec::new())),
            Ok(Err(error)) => {
                tracing::warn!(%error, "bytes cannot be deleted; it is tried again later");
                // some may be gone by now, but not durably: their rows stay until they are
                Ok((Vec::new(), deleting))
            }
            // it goes on, and ends before the deadline or is begun again after it
            Err(_) => Err(Error::unavailable("deleting bytes takes too long", 60)),
        }
    }
}
