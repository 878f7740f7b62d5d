//! What storage has yet to mirror (consistency rule 3): versions, no content.
//!
//! A change raises the version of its entry in its own transaction. Whoever mirrors reads the
//! committed state, makes storage equal to it and settles the version that it began with.

mod claims;

use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Entry, Error, Tx};

pub use claims::{Claim, claim, claimable, hold, release, settle_claimed};

/// An entry that storage may not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The repository.
    pub repository_id: i64,
    /// The entry in it.
    pub entry: Entry,
    /// The version of its last change.
    pub version: i64,
}

static RAISE: Upsert = Upsert::new(
    "mirror",
    "repository_id, entry",
    "repository_id, entry, version",
    &[Set::New("version")],
);

/// Notes a change of an entry; answers its version. Versions are never given twice, over all
/// entries, so that settling an old one never settles a newer one.
///
/// # Errors
///
/// Failures of the index.
pub fn raise(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry) -> Result<i64, Error> {
    let version = tx.unique("mirror")?;
    tx.upsert(
        "raise a mirror version",
        &RAISE,
        args![repository_id, &entry.to_string(), version],
    )?;
    Ok(version)
}

/// The version that an entry is pending at; `None` when storage shows it.
///
/// # Errors
///
/// Failures of the index.
pub fn version(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry) -> Result<Option<i64>, Error> {
    tx.one(
        "read a mirror version",
        "select version from mirror where repository_id = ? and entry = ? and version > 0",
        args![repository_id, &entry.to_string()],
        |row| row.int(0),
    )
}

/// Whether a repository has pending entries.
///
/// # Errors
///
/// Failures of the index.
pub fn has_pending(tx: &mut Tx<'_>, repository_id: i64) -> Result<bool, Error> {
    tx.any(
        "find what is to be mirrored",
        "select 1 from mirror where repository_id = ? and version > 0 limit 1",
        args![repository_id],
    )
}

/// Forgets an entry if it is still at `version`; `false` if it has changed since, and must be
/// mirrored again, or was settled by somebody else.
///
/// # Errors
///
/// Failures of the index.
pub fn settle(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry, version: i64) -> Result<bool, Error> {
    let settled = tx.execute(
        "settle a mirror version",
        "delete from mirror where repository_id = ? and entry = ? and version = ?",
        args![repository_id, &entry.to_string(), version],
    )?;
    Ok(settled == 1)
}

/// Pending entries in the order of repository and entry, after the one given.
///
/// # Errors
///
/// Failures of the index.
pub fn pending(tx: &mut Tx<'_>, after: Option<(i64, &Entry)>, limit: usize) -> Result<Vec<Pending>, Error> {
    const OPERATION: &str = "list what is to be mirrored";
    let (repository_id, entry) = after.map_or((i64::MIN, String::new()), |(id, entry)| (id, entry.to_string()));
    tx.all(
        OPERATION,
        "select repository_id, entry, version from mirror \
         where repository_id >= ? and (repository_id > ? or entry > ?) and version > 0 order by repository_id, entry limit ?",
        args![repository_id, repository_id, &entry, limit],
        |row| {
            Ok(Pending {
                repository_id: row.int(0)?,
                entry: Entry::parse(OPERATION, row.str(1)?)?,
                version: row.int(2)?,
            })
        },
    )
}

/// Entries of one repository that are pending, in their order, after the one given.
///
/// # Errors
///
/// Failures of the index.
pub fn pending_of(
    tx: &mut Tx<'_>,
    repository_id: i64,
    after: Option<&Entry>,
    limit: usize,
) -> Result<Vec<Entry>, Error> {
    const OPERATION: &str = "list what is to be mirrored of a repository";
    let after = after.map_or_else(String::new, ToString::to_string);
    tx.all(
        OPERATION,
        "select entry from mirror where repository_id = ? and entry > ? order by entry limit ?",
        args![repository_id, &after, limit],
        |row| Entry::parse(OPERATION, row.str(0)?),
    )
}

/// Forgets pending entries of a repository that goes with its folder.
///
/// # Errors
///
/// Failures of the index.
pub fn forget(tx: &mut Tx<'_>, repository_id: i64, entries: &[Entry]) -> Result<(), Error> {
    for entry in entries {
        tx.execute(
            "forget what is to be mirrored",
            "delete from mirror where repository_id = ? and entry = ?",
            args![repository_id, &entry.to_string()],
        )?;
    }
    Ok(())
}

/// How many entries are pending.
///
/// # Errors
///
/// Failures of the index.
pub fn count(tx: &mut Tx<'_>) -> Result<u64, Error> {
    tx.count(
        "count what is to be mirrored",
        "select count(*) from mirror where version > 0",
        args![],
    )
}
