//! What a verification finds out about bytes, and what repair does in the index.

use wharf_oci::Digest;

use crate::blobs::{self, Blob};
use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Entry, Error, Timestamp, Tx, cache_versions, links, manifests, mirror};

/// What is wrong with the bytes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// They are not in the storage.
    Missing,
    /// They are others than the digest says, as many as they should be.
    WrongBytes,
    /// They are more or fewer.
    WrongSize,
}

impl Damage {
    const fn column(self) -> i64 {
        match self {
            Self::Missing => 0,
            Self::WrongBytes => 1,
            Self::WrongSize => 2,
        }
    }

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongBytes => "wrong-bytes",
            Self::WrongSize => "wrong-size",
        }
    }
}

/// A blob that was found damaged, and not whole since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The blob.
    pub sha256: Digest,
    /// What is wrong with it.
    pub damage: Damage,
    /// More about it.
    pub detail: String,
    /// When it was last found so.
    pub found_at: Timestamp,
}

static MARK: Upsert = Upsert::new(
    "damaged_blobs",
    "sha256",
    "sha256, damage, detail, found_at",
    &[Set::New("damage"), Set::New("detail"), Set::New("found_at")],
);

/// Notes that a blob is damaged.
///
/// # Errors
///
/// Failures of the index.
pub fn mark_damaged(
    tx: &mut Tx<'_>,
    sha256: &Digest,
    damage: Damage,
    detail: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.changes(cache_versions::BYTES);
    let args = args![sha256, damage.column(), detail, now];
    tx.upsert("note a damaged blob", &MARK, args)?;
    Ok(())
}

/// Notes that a blob is whole.
///
/// # Errors
///
/// Failures of the index.
pub fn mark_whole(tx: &mut Tx<'_>, sha256: &Digest) -> Result<(), Error> {
    let was_damaged = tx.execute(
        "forget a damaged blob",
        "delete from damaged_blobs where sha256 = ?",
        args![sha256],
    )?;
    if was_damaged > 0 {
        tx.changes(cache_versions::BYTES);
    }
    Ok(())
}

/// Damaged blobs that the index still knows, by digest.
///
/// # Errors
///
/// Failures of the index.
pub fn damaged(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Damaged>, Error> {
    tx.all(
        "list damaged blobs",
        "select d.sha256, d.damage, d.detail, d.found_at from damaged_blobs d \
         join blobs b on b.sha256 = d.sha256 order by d.sha256 limit ?",
        args![limit],
        |row| {
            Ok(Damaged {
                sha256: row.digest(0)?,
                damage: match row.int(1)? {
                    0 => Damage::Missing,
                    1 => Damage::WrongBytes,
                    2 => Damage::WrongSize,
                    _ => return Err(row.corrupt("a damage is unknown")),
                },
                detail: row.text(2)?,
                found_at: row.time(3)?,
            })
        },
    )
}

/// How many those are.
///
/// # Errors
///
/// Failures of the index.
pub fn count_damaged(tx: &mut Tx<'_>) -> Result<u64, Error> {
    tx.count(
        "count damaged blobs",
        "select count(*) from damaged_blobs d join blobs b on b.sha256 = d.sha256",
        args![],
    )
}

/// Corrects the size of a blob whose bytes were found whole.
///
/// # Errors
///
/// Failures of the index.
pub fn correct_size(tx: &mut Tx<'_>, blob_id: i64, size: u64) -> Result<(), Error> {
    tx.changes(cache_versions::BYTES);
    tx.execute(
        "correct the size of a blob",
        "update blobs set size = ? where id = ?",
        args![size, blob_id],
    )?;
    Ok(())
}

/// Takes bytes that are gone out of every repository: their links, and the manifests that they
/// were, with their tags, and at last their row. Raises the mirror for what has to go from the
/// storage, and answers it. Does nothing if the row has changed since `seen` was read: an upload may
/// have brought them.
///
/// # Errors
///
/// Failures of the index.
pub fn forget_bytes(tx: &mut Tx<'_>, seen: &Blob, now: Timestamp) -> Result<Vec<(i64, Entry)>, Error> {
    const OPERATION: &str = "find the repositories that have a blob";
    let (blob_id, sha256) = (seen.id, &seen.sha256);
    let is_same = |row: &Blob| row.id == seen.id && row.generation == seen.generation && row.state.is_readable();
    if !blobs::lock(tx, sha256)?.is_some_and(|row| is_same(&row)) {
        return Ok(Vec::new());
    }
    let mut raised = Vec::new();
    let holders = tx.all(
        OPERATION,
        "select repository_id from repository_blobs where blob_id = ? order by repository_id",
        args![blob_id],
        |row| row.int(0),
    )?;
    for repository_id in holders {
        if let Some(link) = links::unlink(tx, repository_id, sha256, now)? {
            raised.push((repository_id, Entry::Layer(link.sha256)));
            let alias = link.sha512.filter(|_| link.is_alias);
            raised.extend(alias.map(|sha512| (repository_id, Entry::Layer(sha512))));
        }
    }
    let holders = tx.all(
        OPERATION,
        "select repository_id from manifests where sha256 = ? order by repository_id",
        args![sha256],
        |row| row.int(0),
    )?;
    for repository_id in holders {
        if let Some(gone) = manifests::delete(tx, repository_id, sha256, "", now)? {
            raised.extend(gone.tags.into_iter().map(|tag| (repository_id, Entry::Tag(tag))));
            let names = [Some(gone.sha256), gone.sha512].into_iter().flatten();
            raised.extend(names.map(|name| (repository_id, Entry::Revision(name))));
        }
    }
    // a push of the same bytes that is under way is told to come again
    tx.execute(
        "forget a blob",
        "delete from blobs where id = ? and state = 1 \
         and not exists (select 1 from repository_blobs l where l.blob_id = blobs.id)",
        args![blob_id],
    )?;
    mark_whole(tx, sha256)?;
    for (repository_id, entry) in &raised {
        mirror::raise(tx, *repository_id, entry)?;
    }
    Ok(raised)
}
