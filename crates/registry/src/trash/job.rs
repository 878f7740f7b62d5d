//! Purging what has expired, as a job.

use serde_json::json;
use wharf_jobs::{Outcome, Run};

use super::Trash;
use super::purge::Purged;

/// The name of the kind of these jobs.
pub const KIND: &str = "trash_expiry";
/// Entries between two looks whether the job should stop.
const STEP: usize = 1_000;

impl Trash {
    /// Purges everything that has expired; can be stopped in between. A storage that is read-only
    /// is left alone.
    ///
    /// # Errors
    ///
    /// As [`Trash::expire`].
    pub async fn work(&self, run: Run) -> Outcome {
        let mut all = Purged::default();
        loop {
            let purged = match self.is_read_only {
                true => Purged::default(),
                false => self.expire(STEP).await?,
            };
            all.manifests += purged.manifests;
            all.tags += purged.tags;
            run.progress(all.entries(), None, "expired entries of the trash");
            if purged.entries() < STEP as u64 {
                break;
            }
            run.go_on()?;
        }
        if all.entries() > 0 {
            tracing::info!(manifests = all.manifests, tags = all.tags, "expired trash purged");
        }
        Ok(json!({ "manifests": all.manifests, "tags": all.tags }))
    }
}
