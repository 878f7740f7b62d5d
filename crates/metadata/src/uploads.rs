//! Uploads in progress, moved by compare-and-set (consistency rule 6).

use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// One upload session.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name, a UUID.
    pub id: String,
    /// The repository that it is for.
    pub repository_id: i64,
    /// Raised by every request that takes it over.
    pub epoch: i64,
    /// How many bytes were acknowledged.
    pub received: u64,
    /// What going on needs: hash state and parts, opaque here.
    pub state: Vec<u8>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("id", &self.id)
            .field("repository_id", &self.repository_id)
            .field("epoch", &self.epoch)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// Where a session stands: what a compare-and-set compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The session.
    pub id: &'a str,
    /// The epoch that the request took.
    pub epoch: i64,
    /// The offset that it began at.
    pub received: u64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, repository_id, epoch, received, state, started_at, updated_at from uploads ",
            $rest
        )
    };
}

/// Starts a session at offset 0 and epoch 0.
///
/// # Errors
///
/// [`Kind::Unique`](crate::error::Kind::Unique) if the id is taken.
pub fn create(tx: &mut Tx<'_>, id: &str, repository_id: i64, state: &[u8], now: Timestamp) -> Result<(), Error> {
    tx.execute(
        "start an upload",
        "insert into uploads (id, repository_id, epoch, received, state, started_at, updated_at) \
         values (?, ?, 0, 0, ?, ?, ?)",
        args![id, repository_id, state, now, now],
    )?;
    Ok(())
}

/// A session of a repository, without taking it over.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, repository_id: i64, id: &str) -> Result<Option<Upload>, Error> {
    tx.one(
        "find an upload",
        select!("where id = ? and repository_id = ?"),
        args![id, repository_id],
        upload,
    )
}

/// Takes a session over: raises its epoch, so that an older request cannot move it any more.
///
/// # Errors
///
/// Failures of the index.
pub fn take_epoch(tx: &mut Tx<'_>, repository_id: i64, id: &str, now: Timestamp) -> Result<Option<Upload>, Error> {
    tx.execute(
        "take an upload over",
        "update uploads set epoch = epoch + 1, updated_at = ? where id = ? and repository_id = ?",
        args![now, id, repository_id],
    )?;
    find(tx, repository_id, id)
}

/// Moves a session on from where it stands; `false` if another request has taken or moved it, or
/// it is gone.
///
/// # Errors
///
/// Failures of the index.
pub fn advance(tx: &mut Tx<'_>, at: At<'_>, received: u64, state: &[u8], now: Timestamp) -> Result<bool, Error> {
    let moved = tx.execute(
        "move an upload on",
        "update uploads set received = ?, state = ?, updated_at = ? where id = ? and epoch = ? and received = ?",
        args![received, state, now, at.id, at.epoch, at.received],
    )?;
    Ok(moved == 1)
}

/// Ends a session that stands where the caller thinks; `false` as in [`advance`].
///
/// # Errors
///
/// Failures of the index.
pub fn finish(tx: &mut Tx<'_>, at: At<'_>) -> Result<bool, Error> {
    let finished = tx.execute(
        "finish an upload",
        "delete from uploads where id = ? and epoch = ? and received = ?",
        args![at.id, at.epoch, at.received],
    )?;
    Ok(finished == 1)
}

/// Ends a session wherever it stands: a cancel, or a purge. `false` if it was not there.
///
/// # Errors
///
/// Failures of the index.
pub fn delete(tx: &mut Tx<'_>, repository_id: i64, id: &str) -> Result<bool, Error> {
    let deleted = tx.execute(
        "cancel an upload",
        "delete from uploads where id = ? and repository_id = ?",
        args![id, repository_id],
    )?;
    Ok(deleted == 1)
}

/// Sessions that have not moved since `older_than`, the longest idle first.
///
/// # Errors
///
/// Failures of the index.
pub fn stale(tx: &mut Tx<'_>, older_than: Timestamp, limit: usize) -> Result<Vec<Upload>, Error> {
    tx.all(
        "list stale uploads",
        select!("where updated_at < ? order by updated_at limit ?"),
        args![older_than, limit],
        upload,
    )
}

/// Whether a session exists in any repository, for purging what no session owns.
///
/// # Errors
///
/// Failures of the index.
pub fn exists(tx: &mut Tx<'_>, id: &str) -> Result<bool, Error> {
    tx.any("find an upload", "select 1 from uploads where id = ?", args![id])
}

fn upload(row: &Row<'_>) -> Result<Upload, Error> {
    Ok(Upload {
        id: row.text(0)?,
        repository_id: row.int(1)?,
        epoch: row.int(2)?,
        received: row.size(3)?,
        state: row.bytes(4)?,
        started_at: row.time(5)?,
        updated_at: row.time(6)?,
    })
}
