//! What nothing holds, and how it goes (consistency rules 1, 2, 4 and 5).
//!
//! Every change that may make something garbage queues it for a review, in its own transaction.
//! A review comes when the thing has been left alone for the grace period: it locks the blob's
//! row, *then* counts what holds it, and takes one step. A repository's link that no manifest
//! needs goes; a blob without links is condemned, and after another grace period its bytes are
//! deleted and then its row. Whatever holds something is in `held`, and nowhere else.

mod held;
mod history;
mod manifests;
pub mod plan;
mod queue;
mod review;
mod sweep;

pub use held::{HeldManifest, Holder, Holders, holders};
pub use history::{
    Counts, Run, begin as begin_run, end as end_run, latest as latest_runs, progress as record_progress,
};
pub use manifests::{Decision, DueManifest, Reason, due as due_manifests, review as review_manifest};
pub use queue::{
    Gone, Kind, Waiting, manifest_gone, next, queue_blob, queued, set_untagged_after, untagged_after, waiting,
};
pub(crate) use queue::{queue_link, queue_manifest, queue_untagged, references_gone};
pub use review::{
    Blobs, Links, Removed, abandon_deleting, condemned, deleting_overdue, finish_deleting, has_left_over, keep_link,
    queue_stale_writing, review_blobs, review_links,
};
pub use sweep::{Cursor, Swept, queue_unneeded_links, sweep};

use crate::{Error, Timestamp, Tx, adoption};

/// What every step of a collection goes by.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Who collects: names this process among all that ever were.
    pub owner: String,
    /// The index's epoch, at which it must be complete.
    pub epoch: i64,
    /// The time.
    pub now: Timestamp,
    /// How long a thing must have been left alone, in microseconds.
    pub grace: i64,
    /// How long manifests without a tag stay, in microseconds; `None` where they stay for ever.
    pub untagged_after: Option<i64>,
    /// When a deletion that begins now has ended at the latest.
    pub deadline: Timestamp,
}

impl Pass {
    /// What was last changed at this time or before is due.
    pub const fn cutoff(&self) -> Timestamp {
        self.now.plus(-self.grace)
    }

    /// Whether anything may be collected (consistency rule 1).
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub fn is_allowed(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let state = adoption::completeness(tx)?;
        Ok(state.is_complete && state.epoch == self.epoch)
    }
}
