//! Which repository has which blob.

use wharf_access::Visibility;
use wharf_oci::{Digest, RepositoryName};

use crate::blobs::{self, State};
use crate::dialect::{Set, Upsert};
use crate::repositories::visibility;
use crate::value::args;
use crate::{Error, Timestamp, Tx, garbage_collection};

/// A blob as one repository sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The blob's row.
    pub blob_id: i64,
    /// The name of its bytes in storage.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What is true of its bytes.
    pub state: State,
    /// When it was last asked for, roughly.
    pub touched_at: Timestamp,
}

/// One link, for listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The blob's row.
    pub blob_id: i64,
    /// The name of its bytes in storage.
    pub sha256: Digest,
    /// Its other name, where it is known.
    pub sha512: Option<Digest>,
    /// Whether it is linked under that name too.
    pub is_alias: bool,
    /// When it was linked.
    pub linked_at: Timestamp,
}

static LINK: Upsert = Upsert::new(
    "repository_blobs",
    "repository_id, blob_id",
    "repository_id, blob_id, is_alias, linked_at",
    &[Set::Max("is_alias"), Set::New("linked_at")],
);

/// A blob by a digest of either algorithm, if the repository has it.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<Option<Linked>, Error> {
    let sql = match digest {
        Digest::Sha256(_) => {
            "select b.id, b.sha256, b.size, b.state, b.deadline, b.touched_at from blobs b \
             join repository_blobs l on l.repository_id = ? and l.blob_id = b.id where b.sha256 = ?"
        }
        Digest::Sha512(_) => {
            "select b.id, b.sha256, b.size, b.state, b.deadline, b.touched_at from blobs b \
             join repository_blobs l on l.repository_id = ? and l.blob_id = b.id where b.sha512 = ?"
        }
    };
    tx.one(
        "find a blob of a repository",
        sql,
        args![repository_id, digest],
        |row| {
            Ok(Linked {
                blob_id: row.int(0)?,
                sha256: row.digest(1)?,
                size: row.size(2)?,
                state: blobs::state(row, 3, 4)?,
                touched_at: row.time(5)?,
            })
        },
    )
}

/// Links a blob (its row must exist) to a repository. `false` if there is no such blob. Linked
/// under a sha512 digest, it is linked under both (consistency rule 11). Where no manifest comes to
/// need the link, the collector removes it.
///
/// # Errors
///
/// Failures of the index.
pub fn link(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, now: Timestamp) -> Result<bool, Error> {
    let linked = insert(tx, repository_id, digest, now)?;
    if let Some(blob_id) = linked {
        garbage_collection::queue_link(tx, repository_id, blob_id, now)?;
    }
    Ok(linked.is_some())
}

/// The same for a link that was found in storage. The collector does not look at it: when all of
/// the repository is read, [`garbage_collection::queue_unneeded_links`] finds those to look at.
///
/// # Errors
///
/// Failures of the index.
pub fn adopt(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, now: Timestamp) -> Result<bool, Error> {
    Ok(insert(tx, repository_id, digest, now)?.is_some())
}

fn insert(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, now: Timestamp) -> Result<Option<i64>, Error> {
    let Some(blob) = blobs::find(tx, digest)? else {
        return Ok(None);
    };
    let is_alias = matches!(digest, Digest::Sha512(_));
    tx.changes_repository(repository_id);
    tx.upsert("link a blob", &LINK, args![repository_id, blob.id, is_alias, now])?;
    Ok(Some(blob.id))
}

/// Removes a blob from a repository, under all its names; answers the link that was there.
///
/// # Errors
///
/// Failures of the index.
pub fn unlink(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, now: Timestamp) -> Result<Option<Link>, Error> {
    const OPERATION: &str = "unlink a blob";
    let Some(blob) = blobs::find(tx, digest)? else {
        return Ok(None);
    };
    let link = tx.one(
        OPERATION,
        "select is_alias, linked_at from repository_blobs where repository_id = ? and blob_id = ?",
        args![repository_id, blob.id],
        |row| {
            Ok(Link {
                blob_id: blob.id,
                sha256: blob.sha256,
                sha512: blob.sha512,
                is_alias: row.bool(0)?,
                linked_at: row.time(1)?,
            })
        },
    )?;
    if link.is_some() {
        tx.changes_repository(repository_id);
        tx.execute(
            OPERATION,
            "delete from repository_blobs where repository_id = ? and blob_id = ?",
            args![repository_id, blob.id],
        )?;
        garbage_collection::queue_blob(tx, blob.id, now)?;
    }
    Ok(link)
}

/// Whether the repository has a blob.
///
/// # Errors
///
/// Failures of the index.
pub fn is_linked(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    Ok(find(tx, repository_id, digest)?.is_some())
}

/// Which of these digests the repository does not have, in their order.
///
/// # Errors
///
/// Failures of the index.
pub fn missing(tx: &mut Tx<'_>, repository_id: i64, digests: &[Digest]) -> Result<Vec<Digest>, Error> {
    let mut missing = Vec::new();
    for digest in digests {
        if !is_linked(tx, repository_id, digest)? {
            missing.push(*digest);
        }
    }
    Ok(missing)
}

/// The first of at most `limit` repositories that has a readable blob and that `may_read` allows,
/// for a mount that names no source.
///
/// # Errors
///
/// Failures of the index.
pub fn find_holder(
    tx: &mut Tx<'_>,
    digest: &Digest,
    limit: usize,
    may_read: impl Fn(&RepositoryName, Visibility) -> bool,
) -> Result<Option<i64>, Error> {
    let Some(blob) = blobs::find(tx, digest)?.filter(|blob| blob.state.is_readable()) else {
        return Ok(None);
    };
    let holders = tx.all(
        "find repositories that have a blob",
        "select r.id, r.name, p.visibility from repository_blobs l join repositories r on r.id = l.repository_id \
         join projects p on p.id = r.project_id where l.blob_id = ? order by l.repository_id limit ?",
        args![blob.id, limit],
        |row| Ok((row.int(0)?, row.name(1)?, visibility(row, 2)?)),
    )?;
    Ok(holders
        .into_iter()
        .find(|(_, name, visibility)| may_read(name, *visibility))
        .map(|(id, ..)| id))
}

/// The links of a repository, by blob row.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, repository_id: i64, after: i64, limit: usize) -> Result<Vec<Link>, Error> {
    tx.all(
        "list the blobs of a repository",
        "select l.blob_id, b.sha256, b.sha512, l.is_alias, l.linked_at from repository_blobs l \
         join blobs b on b.id = l.blob_id where l.repository_id = ? and l.blob_id > ? order by l.blob_id limit ?",
        args![repository_id, after, limit],
        link_row,
    )
}

pub(crate) fn link_row(row: &crate::value::Row<'_>) -> Result<Link, Error> {
    Ok(Link {
        blob_id: row.int(0)?,
        sha256: row.digest(1)?,
        sha512: row.opt_digest(2)?,
        is_alias: row.bool(3)?,
        linked_at: row.time(4)?,
    })
}
