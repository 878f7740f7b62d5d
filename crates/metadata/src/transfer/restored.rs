//! What a restored index must not believe any more.

use crate::value::args;
use crate::{Error, Timestamp, Tx, adoption, garbage_collection, repositories, trash};

/// Makes restored rows safe beside a storage that has gone on since they were saved: nothing is
/// collected before everything was compared (consistency rule 1), condemned blobs are present
/// with a fresh grace period, and the storage decides about those that were being deleted.
/// `at_least` is the epoch that the storage remembers. Answers the new epoch.
///
/// # Errors
///
/// Failures of the index.
pub fn settle(tx: &mut Tx<'_>, at_least: i64, now: Timestamp) -> Result<i64, Error> {
    // a row that is being written is looked up in the storage by the next start
    tx.execute(
        "leave deletions to the storage",
        "update blobs set state = 0, owner = 'restore', deadline = null, state_at = ?, generation = generation + 1 \
         where state = 3",
        args![now],
    )?;
    // what the backup saw unused may be in use by now
    tx.execute(
        "give restored blobs their grace period",
        "update blobs set touched_at = ?, generation = generation + 1 where state in (1, 2)",
        args![now],
    )?;
    trash::forget_saved(tx)?;
    repositories::forget_saved_deletions(tx)?;
    repositories::mark_all_unindexed(tx)?;
    garbage_collection::Cursor::begin(tx)?;
    adoption::begin_pass(tx, at_least, now)
}
