//! What a collection would find, for saying so without doing it: plain reads, page by page.

use wharf_oci::Digest;

use crate::blobs::{self, State};
use crate::value::args;
use crate::{Error, Timestamp, Tx, trash};

/// A manifest without a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untagged {
    /// Its row.
    pub id: i64,
    /// Where it is.
    pub repository_id: i64,
    /// Its canonical name.
    pub sha256: Digest,
    /// Its other name, where it has one.
    pub sha512: Option<Digest>,
    /// The size of its bytes.
    pub size: u64,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// Whether that is or was here.
    pub subject_seen: bool,
    /// When it was pushed, or a tag left it.
    pub since: Timestamp,
}

/// A repository's link of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Where it is.
    pub repository_id: i64,
    /// The blob's row.
    pub blob_id: i64,
    /// The blob.
    pub sha256: Digest,
    /// Its other name, where it is known.
    pub sha512: Option<Digest>,
    /// Its size.
    pub size: u64,
    /// When it was linked or asked for.
    pub since: Timestamp,
    /// Whether any manifest of the repository points to the blob.
    pub is_needed: bool,
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its row.
    pub id: i64,
    /// Its name.
    pub sha256: Digest,
    /// Its size.
    pub size: u64,
    /// What is true of its bytes.
    pub state: State,
    /// When it was asked for, or condemned.
    pub since: Timestamp,
    /// Whether a repository links it or it is a manifest's bytes.
    pub is_held: bool,
}

/// A page of what was found, and where to go on; `None` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K = i64> {
    /// What was found; rows that do not matter are left out.
    pub found: Vec<T>,
    /// The last row that was looked at.
    pub next: Option<K>,
}

/// Manifests without a tag, among the next `limit` by row.
///
/// # Errors
///
/// Failures of the index.
pub fn untagged(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Page<Untagged>, Error> {
    let page = tx.all(
        "look for manifests without a tag",
        "select m.id, m.repository_id, m.sha256, m.sha512, m.size, m.subject, m.subject_seen, m.pushed_at, \
         m.tag_left_at, case when exists (select 1 from tags t where t.manifest_id = m.id) then 1 else 0 end \
         from manifests m where m.id > ? order by m.id limit ?",
        args![after, limit],
        |row| {
            let pushed_at = row.time(7)?;
            let manifest = Untagged {
                id: row.int(0)?,
                repository_id: row.int(1)?,
                sha256: row.digest(2)?,
                sha512: row.opt_digest(3)?,
                size: row.size(4)?,
                subject: row.opt_digest(5)?,
                subject_seen: row.bool(6)?,
                since: row.opt_time(8)?.map_or(pushed_at, |left_at| left_at.max(pushed_at)),
            };
            Ok((manifest, row.bool(9)?))
        },
    )?;
    let next = page.last().map(|(manifest, _)| manifest.id);
    let found = page.into_iter().filter(|(_, is_tagged)| !is_tagged);
    Ok(Page {
        found: found.map(|(manifest, _)| manifest).collect(),
        next,
    })
}

/// The next links, by repository and blob.
///
/// # Errors
///
/// Failures of the index.
pub fn links(tx: &mut Tx<'_>, after: (i64, i64), limit: usize) -> Result<Page<Linked, (i64, i64)>, Error> {
    let found = tx.all(
        "look at links",
        "select l.repository_id, l.blob_id, b.sha256, b.sha512, b.size, l.linked_at, b.touched_at, \
         case when exists (select 1 from manifest_references r \
             where r.repository_id = l.repository_id and r.digest = b.sha256) then 1 \
         when exists (select 1 from manifest_references r \
             where r.repository_id = l.repository_id and r.digest = b.sha512) then 1 else 0 end \
         from repository_blobs l join blobs b on b.id = l.blob_id \
         where l.repository_id >= ? and (l.repository_id > ? or l.blob_id > ?) \
         order by l.repository_id, l.blob_id limit ?",
        args![after.0, after.0, after.1, limit],
        |row| {
            Ok(Linked {
                repository_id: row.int(0)?,
                blob_id: row.int(1)?,
                sha256: row.digest(2)?,
                sha512: row.opt_digest(3)?,
                size: row.size(4)?,
                since: row.time(5)?.max(row.time(6)?),
                is_needed: row.bool(7)?,
            })
        },
    )?;
    let next = found.last().map(|link| (link.repository_id, link.blob_id));
    Ok(Page { found, next })
}

/// Blobs that nothing holds, among the next `limit` by row.
///
/// # Errors
///
/// Failures of the index.
pub fn unheld(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Page<Stored>, Error> {
    let page = tx.all(
        "look for blobs that nothing holds",
        "select b.id, b.sha256, b.size, b.state, b.deadline, b.touched_at, b.state_at, \
         case when exists (select 1 from repository_blobs l where l.blob_id = b.id) then 1 \
         when exists (select 1 from manifests m where m.sha256 = b.sha256) then 1 else 0 end \
         from blobs b where b.id > ? order by b.id limit ?",
        args![after, limit],
        |row| {
            let state = blobs::state(row, 3, 4)?;
            Ok(Stored {
                id: row.int(0)?,
                sha256: row.digest(1)?,
                size: row.size(2)?,
                state,
                since: match state {
                    State::Present => row.time(5)?,
                    _ => row.time(6)?,
                },
                is_held: row.bool(7)?,
            })
        },
    )?;
    let next = page.last().map(|blob| blob.id);
    let mut found = Vec::new();
    for blob in page {
        if blob.is_held {
            continue;
        }
        let sha512 = blobs::find(tx, &blob.sha256)?.and_then(|row| row.sha512);
        if !trash::holds_blob(tx, &blob.sha256, sha512.as_ref())? {
            found.push(blob);
        }
    }
    Ok(Page { found, next })
}

/// The rows of manifests of a repository that point to a digest, or, with `only_indexes`, of those
/// that list it as a child.
///
/// # Errors
///
/// Failures of the index.
pub fn pointing_to(
    tx: &mut Tx<'_>,
    repository_id: i64,
    digest: &Digest,
    only_indexes: bool,
) -> Result<Vec<i64>, Error> {
    let lowest_kind: i64 = if only_indexes { 2 } else { 0 };
    tx.all(
        "list manifests that point to a digest",
        "select manifest_id from manifest_references where repository_id = ? and digest = ? and kind >= ?",
        args![repository_id, digest, lowest_kind],
        |row| row.int(0),
    )
}

/// The repositories that link a blob.
///
/// # Errors
///
/// Failures of the index.
pub fn linking(tx: &mut Tx<'_>, blob_id: i64) -> Result<Vec<i64>, Error> {
    tx.all(
        "list the repositories that link a blob",
        "select repository_id from repository_blobs where blob_id = ?",
        args![blob_id],
        |row| row.int(0),
    )
}

/// The rows of manifests that consist of these bytes.
///
/// # Errors
///
/// Failures of the index.
pub fn consisting_of(tx: &mut Tx<'_>, sha256: &Digest) -> Result<Vec<i64>, Error> {
    tx.all(
        "list the manifests that consist of a blob",
        "select id from manifests where sha256 = ?",
        args![sha256],
        |row| row.int(0),
    )
}

/// The repository of a manifest.
///
/// # Errors
///
/// Failures of the index.
pub fn repository_of(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Option<i64>, Error> {
    tx.one(
        "find the repository of a manifest",
        "select repository_id from manifests where id = ?",
        args![manifest_id],
        |row| row.int(0),
    )
}

/// How many blobs there are.
///
/// # Errors
///
/// Failures of the index.
pub fn stored(tx: &mut Tx<'_>) -> Result<u64, Error> {
    tx.count("count blobs", "select count(*) from blobs", args![])
}
