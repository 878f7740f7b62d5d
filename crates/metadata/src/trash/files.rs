//! Which files of the trash storage may not show yet: versions, no content, as for links
//! (consistency rule 3). They belong to no repository's row, for they outlive it.

use super::Key;
use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Error, Tx};

static RAISE: Upsert = Upsert::new(
    "trash_files",
    "mirror_key",
    "mirror_key, version",
    &[Set::New("version")],
);

/// Notes a change of what a file must say; answers its version, which is never given twice.
///
/// # Errors
///
/// Failures of the index.
pub fn raise_file(tx: &mut Tx<'_>, key: &Key) -> Result<i64, Error> {
    let version = tx.unique("mirror")?;
    tx.upsert("raise a file of the trash", &RAISE, args![key.as_str(), version])?;
    Ok(version)
}

/// The version that a file is pending at; `None` when storage shows it.
///
/// # Errors
///
/// Failures of the index.
pub fn file_version(tx: &mut Tx<'_>, key: &Key) -> Result<Option<i64>, Error> {
    tx.one(
        "read the version of a file of the trash",
        "select version from trash_files where mirror_key = ?",
        args![key.as_str()],
        |row| row.int(0),
    )
}

/// Forgets a pending file if it is still at `version`; `false` if it has changed since.
///
/// # Errors
///
/// Failures of the index.
pub fn settle_file(tx: &mut Tx<'_>, key: &Key, version: i64) -> Result<bool, Error> {
    let settled = tx.execute(
        "settle a file of the trash",
        "delete from trash_files where mirror_key = ? and version = ?",
        args![key.as_str(), version],
    )?;
    Ok(settled == 1)
}

/// Pending files in the order of their keys.
///
/// # Errors
///
/// Failures of the index.
pub fn pending_files(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Key>, Error> {
    tx.all(
        "list pending files of the trash",
        "select mirror_key from trash_files order by mirror_key limit ?",
        args![limit],
        |row| Key::parse(row.str(0)?).ok_or_else(|| row.corrupt("a key of the trash is malformed")),
    )
}
