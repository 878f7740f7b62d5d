//! What changed in a repository while it was being indexed (consistency rule 7).
//!
//! The indexer inserts only where there is neither a row, a tombstone nor a pending mirror row.

use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Entry, Error, Tx};

static ADD: Upsert = Upsert::new(
    "tombstones",
    "repository_id, entry",
    "repository_id, entry, epoch",
    &[Set::New("epoch")],
);

/// Marks an entry as changed during the pass `epoch`.
///
/// # Errors
///
/// Failures of the index.
pub fn add(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry, epoch: i64) -> Result<(), Error> {
    tx.upsert("add a tombstone", &ADD, args![repository_id, &entry.to_string(), epoch])?;
    Ok(())
}

/// Whether an entry is marked.
///
/// # Errors
///
/// Failures of the index.
pub fn exists(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry) -> Result<bool, Error> {
    tx.any(
        "find a tombstone",
        "select 1 from tombstones where repository_id = ? and entry = ?",
        args![repository_id, &entry.to_string()],
    )
}

/// Removes the marks of a repository that were made up to the pass `epoch`; answers how many.
///
/// # Errors
///
/// Failures of the index.
pub fn clear(tx: &mut Tx<'_>, repository_id: i64, epoch: i64) -> Result<u64, Error> {
    tx.execute(
        "clear tombstones",
        "delete from tombstones where repository_id = ? and epoch <= ?",
        args![repository_id, epoch],
    )
}
