//! What can be done to what was pushed: deleting, restoring, setting tags back.

use std::sync::Arc;

use wharf_metadata::Metadata;
use wharf_storage::Storage;

use crate::Clock;
use crate::caches::Caches;
use crate::deletion::{DeletionRules, Deletions};
use crate::mirror::Mirror;
use crate::repository::Repositories;
use crate::tag_history::TagHistories;
use crate::trash::Trash;
use crate::turns::Turns;

/// The three of them. Cloning is cheap.
#[derive(Clone)]
pub struct Lifecycle {
    /// Deletes.
    pub deletions: Deletions,
    /// Brings back.
    pub trash: Trash,
    /// Sets tags back.
    pub tag_histories: TagHistories,
}

impl Lifecycle {
    /// Over these parts, under these rules.
    pub fn new(parts: LifecycleParts, rules: DeletionRules) -> Self {
        let parts = Arc::new(parts);
        Self {
            deletions: Deletions::new(Arc::clone(&parts), rules),
            trash: Trash::new(Arc::clone(&parts), rules.keep, rules.is_read_only),
            tag_histories: TagHistories::new(parts, rules.is_read_only),
        }
    }
}

/// What they work on.
pub struct LifecycleParts {
    /// Which repository a name means.
    pub repositories: Repositories,
    /// The index.
    pub metadata: Metadata,
    /// The bytes.
    pub storage: Storage,
    /// What pulls remember.
    pub caches: Caches,
    /// What makes the storage follow.
    pub mirror: Mirror,
    /// What one process at a time may do.
    pub turns: Turns,
    /// The time.
    pub clock: Clock,
}
