//! Whether the index knows all that is in storage (consistency rules 1 and 16).

use crate::value::args;
use crate::{Error, Timestamp, Tx, settings};

/// The setting that holds the epoch of the last whole pass.
const COMPLETE: &str = "index_complete";

/// How the index stands to its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// The last pass that was begun; 0 before the first.
    pub epoch: i64,
    /// Whether it was finished, and none has begun since.
    pub is_complete: bool,
}

/// What there is, to notice a storage that suddenly holds much less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Repositories.
    pub repositories: u64,
    /// Manifests in them.
    pub manifests: u64,
    /// Tags in them.
    pub tags: u64,
    /// Blobs.
    pub blobs: u64,
}

/// How the index stands to its storage.
///
/// # Errors
///
/// Failures of the index.
pub fn completeness(tx: &mut Tx<'_>) -> Result<Completeness, Error> {
    let epoch = tx
        .one(
            "read the index epoch",
            "select value from counters where name = 'index_epoch'",
            args![],
            |row| row.int(0),
        )?
        .unwrap_or_default();
    let complete = settings::get(tx, COMPLETE)?;
    Ok(Completeness {
        epoch,
        is_complete: complete.is_some_and(|value| value == epoch.to_be_bytes()),
    })
}

/// Begins a pass over the storage: from now on nothing is collected, and condemned blobs are
/// present again with a fresh grace period. Answers the pass's epoch, which is larger than any
/// before and than `at_least`, the one that the storage remembers.
///
/// # Errors
///
/// Failures of the index.
pub fn begin_pass(tx: &mut Tx<'_>, at_least: i64, now: Timestamp) -> Result<i64, Error> {
    const OPERATION: &str = "begin a pass over the storage";
    settings::remove(tx, COMPLETE)?;
    tx.execute(
        OPERATION,
        "update counters set value = ? where name = 'index_epoch' and value < ?",
        args![at_least, at_least],
    )?;
    let epoch = tx.next("index_epoch")?;
    tx.execute(
        OPERATION,
        "update blobs set state = 1, state_at = ?, touched_at = ?, generation = generation + 1 where state = 2",
        args![now, now],
    )?;
    Ok(epoch)
}

/// Ends a pass that read everything; `false` if another has begun meanwhile.
///
/// # Errors
///
/// Failures of the index.
pub fn complete_pass(tx: &mut Tx<'_>, epoch: i64) -> Result<bool, Error> {
    let is_current = completeness(tx)?.epoch == epoch;
    if is_current {
        settings::set(tx, COMPLETE, &epoch.to_be_bytes())?;
    }
    Ok(is_current)
}

/// What there is. Costs its number: for `read_long`.
///
/// # Errors
///
/// Failures of the index.
pub fn counts(tx: &mut Tx<'_>) -> Result<Counts, Error> {
    const OPERATION: &str = "count what is indexed";
    Ok(Counts {
        repositories: tx.count(OPERATION, "select count(*) from repositories", args![])?,
        manifests: tx.count(OPERATION, "select count(*) from manifests", args![])?,
        tags: tx.count(OPERATION, "select count(*) from tags", args![])?,
        blobs: tx.count(OPERATION, "select count(*) from blobs", args![])?,
    })
}
