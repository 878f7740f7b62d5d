//! Modification times of directories, to find what another program added or removed
//! (consistency rule 8).

use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Error, Tx};

/// The repository id under which the directories above the repositories are kept.
pub const ABOVE_REPOSITORIES: i64 = 0;

/// One directory as it was when its entries were last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Whose it is, or [`ABOVE_REPOSITORIES`].
    pub repository_id: i64,
    /// Its path, relative to the repository's folder (or to the repositories').
    pub path: String,
    /// Its modification time in nanoseconds since 1970.
    pub mtime: i64,
}

static RECORD: Upsert = Upsert::new(
    "directories",
    "repository_id, path",
    "repository_id, path, mtime",
    &[Set::New("mtime")],
);

/// The directories of a repository.
///
/// # Errors
///
/// Failures of the index.
pub fn of(tx: &mut Tx<'_>, repository_id: i64) -> Result<Vec<Directory>, Error> {
    tx.all(
        "list directories",
        "select path, mtime from directories where repository_id = ? order by path",
        args![repository_id],
        |row| {
            Ok(Directory {
                repository_id,
                path: row.text(0)?,
                mtime: row.int(1)?,
            })
        },
    )
}

/// Records a batch.
///
/// # Errors
///
/// Failures of the index.
pub fn record(tx: &mut Tx<'_>, directories: &[Directory]) -> Result<(), Error> {
    for directory in directories {
        tx.upsert(
            "record a directory",
            &RECORD,
            args![directory.repository_id, &directory.path, directory.mtime],
        )?;
    }
    Ok(())
}

/// Forgets one directory.
///
/// # Errors
///
/// Failures of the index.
pub fn forget(tx: &mut Tx<'_>, repository_id: i64, path: &str) -> Result<(), Error> {
    tx.execute(
        "forget a directory",
        "delete from directories where repository_id = ? and path = ?",
        args![repository_id, path],
    )?;
    Ok(())
}

/// Forgets all directories of a repository.
///
/// # Errors
///
/// Failures of the index.
pub fn forget_all(tx: &mut Tx<'_>, repository_id: i64) -> Result<(), Error> {
    tx.execute(
        "forget directories",
        "delete from directories where repository_id = ?",
        args![repository_id],
    )?;
    Ok(())
}
