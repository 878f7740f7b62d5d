//! Tags, their history, and the link files that mirror them.

use wharf_oci::{Digest, Tag};

use crate::dialect::{Set, Upsert};
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx, garbage_collection};

/// What a tag points to, with what serving it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The manifest's row.
    pub manifest_id: i64,
    /// The name under which the tag was set.
    pub digest: Digest,
    /// The name of the manifest's bytes in storage.
    pub sha256: Digest,
    /// The type it is served with.
    pub media_type: String,
    /// The size of its bytes.
    pub size: u64,
    /// When the tag was last set.
    pub updated_at: Timestamp,
}

/// A change of one tag.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The repository.
    pub repository_id: i64,
    /// The tag.
    pub tag: &'a Tag,
    /// Why it changes.
    pub action: Action,
    /// Who changes it; empty for nobody or unknown.
    pub by: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Why a tag changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Somebody pushed it.
    Pushed,
    /// Somebody deleted it.
    Deleted,
    /// Its link was found in storage.
    Found,
    /// Its link was gone from storage.
    Gone,
    /// Somebody brought it back from the trash.
    Restored,
    /// Somebody set it to what it pointed to before.
    Reverted,
}

impl Action {
    pub(crate) const fn column(self) -> i64 {
        match self {
            Self::Pushed => 0,
            Self::Deleted => 1,
            Self::Found => 2,
            Self::Gone => 3,
            Self::Restored => 4,
            Self::Reverted => 5,
        }
    }

    fn read(row: &Row<'_>, column: usize) -> Result<Self, Error> {
        Ok(match row.int(column)? {
            0 => Self::Pushed,
            1 => Self::Deleted,
            2 => Self::Found,
            3 => Self::Gone,
            4 => Self::Restored,
            5 => Self::Reverted,
            _ => return Err(row.corrupt("an action is unknown")),
        })
    }
}

/// One line of a tag's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its row, for paging; later lines have larger ones.
    pub id: i64,
    /// What happened.
    pub action: Action,
    /// What the tag points to since, or pointed to before it went.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
}

/// The link file of a tag as it was when it was last seen (consistency rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time in nanoseconds since 1970.
    pub mtime: i64,
    /// Its change time in nanoseconds since 1970.
    pub ctime: i64,
    /// Its inode number.
    pub inode: u64,
}

/// A tag with its link, for reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The tag.
    pub tag: Tag,
    /// What it points to, under the name it was set with.
    pub digest: Digest,
    /// Its link, where it was seen since the tag was last set.
    pub link: Option<Fingerprint>,
}

static PUT: Upsert = Upsert::new(
    "tags",
    "repository_id, name",
    "repository_id, name, manifest_id, is_sha512, updated_at, updated_by, link_size, link_mtime, link_ctime, link_inode",
    &[
        Set::New("manifest_id"),
        Set::New("is_sha512"),
        Set::New("updated_at"),
        Set::New("updated_by"),
        Set::New("link_size"),
        Set::New("link_mtime"),
        Set::New("link_ctime"),
        Set::New("link_inode"),
    ],
);

/// What a tag points to.
///
/// # Errors
///
/// Failures of the index.
pub fn get(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Option<Target>, Error> {
    tx.one(
        "find a tag",
        "select t.manifest_id, t.is_sha512, m.sha256, m.sha512, m.media_type, m.size, t.updated_at \
         from tags t join manifests m on m.id = t.manifest_id where t.repository_id = ? and t.name = ?",
        args![repository_id, tag],
        |row| {
            Ok(Target {
                manifest_id: row.int(0)?,
                digest: digest(row, 1)?,
                sha256: row.digest(2)?,
                media_type: row.text(4)?,
                size: row.size(5)?,
                updated_at: row.time(6)?,
            })
        },
    )
}

/// The name under which a tag was set, from three columns: whether by sha512, and both names.
fn digest(row: &Row<'_>, column: usize) -> Result<Digest, Error> {
    if row.bool(column)? {
        row.digest(column + 2)
    } else {
        row.digest(column + 1)
    }
}

/// Points a tag to a manifest of the same repository under one of its names, and notes it in the
/// history unless it pointed there already. Answers what it pointed to before.
///
/// # Errors
///
/// Failures of the index.
pub fn put(tx: &mut Tx<'_>, change: &Change<'_>, manifest_id: i64, named: &Digest) -> Result<Option<Digest>, Error> {
    let before = locked(tx, change.repository_id, change.tag)?;
    let none: Option<i64> = None;
    tx.changes_repository(change.repository_id);
    tx.upsert(
        "set a tag",
        &PUT,
        args![
            change.repository_id,
            change.tag,
            manifest_id,
            matches!(named, Digest::Sha512(_)),
            change.at,
            change.by,
            none,
            none,
            none,
            none
        ],
    )?;
    if let Some((left, _)) = before.filter(|(before, _)| *before != manifest_id) {
        let_go(tx, change, left)?;
    }
    let before = before.map(|(_, digest)| digest);
    // an index that was lost finds again what its history, which was saved, ends with
    let is_known = change.action == Action::Found && ends_at(tx, change.repository_id, change.tag, named)?;
    if before != Some(*named) && !is_known {
        record(tx, change, named)?;
    }
    Ok(before)
}

/// Whether the last that a tag's history says is that the tag points to `digest`.
fn ends_at(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag, digest: &Digest) -> Result<bool, Error> {
    let last = history(tx, repository_id, tag, None, 1)?.pop();
    Ok(last.is_some_and(|last| last.digest == *digest && !matches!(last.action, Action::Deleted | Action::Gone)))
}

/// Those of `found` whose history does not end with what they point to.
pub(crate) fn new_to_history<'t>(
    tx: &mut Tx<'_>,
    repository_id: i64,
    found: impl Iterator<Item = (&'t Tag, &'t Digest)>,
) -> Result<Vec<(&'t Tag, &'t Digest)>, Error> {
    let has_history = tx.any(
        "look for a history",
        "select 1 from tag_history where repository_id = ? limit 1",
        args![repository_id],
    )?;
    if !has_history {
        return Ok(found.collect());
    }
    let mut new = Vec::new();
    for (tag, digest) in found {
        if !ends_at(tx, repository_id, tag, digest)? {
            new.push((tag, digest));
        }
    }
    Ok(new)
}

/// The same as [`pointed`], and it stays so until the transaction ends. The tag's row alone is
/// locked: one lock on both rows would make pushes wait that only refer to the manifest.
fn locked(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Option<(i64, Digest)>, Error> {
    let row = tx.lock_one(
        "lock a tag",
        "select manifest_id from tags where repository_id = ? and name = ?",
        args![repository_id, tag],
        |row| row.int(0),
    )?;
    match row {
        Some(_) => pointed(tx, repository_id, tag),
        None => Ok(None),
    }
}

/// The manifest row and digest that a tag points to.
fn pointed(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Option<(i64, Digest)>, Error> {
    tx.one(
        "find a tag",
        "select t.manifest_id, t.is_sha512, m.sha256, m.sha512 from tags t \
         join manifests m on m.id = t.manifest_id where t.repository_id = ? and t.name = ?",
        args![repository_id, tag],
        |row| Ok((row.int(0)?, digest(row, 1)?)),
    )
}

fn record(tx: &mut Tx<'_>, change: &Change<'_>, digest: &Digest) -> Result<(), Error> {
    tx.execute(
        "note a tag's history",
        "insert into tag_history (repository_id, name, action, digest, at, actor) values (?, ?, ?, ?, ?, ?)",
        args![
            change.repository_id,
            change.tag,
            change.action.column(),
            digest,
            change.at,
            change.by
        ],
    )?;
    Ok(())
}

/// Removes a tag and notes it in the history; answers what it pointed to, `None` if it was not
/// there.
///
/// # Errors
///
/// Failures of the index.
pub fn delete(tx: &mut Tx<'_>, change: &Change<'_>) -> Result<Option<Digest>, Error> {
    let Some((left, digest)) = locked(tx, change.repository_id, change.tag)? else {
        return Ok(None);
    };
    tx.changes_repository(change.repository_id);
    for sql in [
        "delete from tags where repository_id = ? and name = ?",
        "delete from tag_statistics where repository_id = ? and name = ?",
    ] {
        tx.execute("delete a tag", sql, args![change.repository_id, change.tag])?;
    }
    let_go(tx, change, left)?;
    record(tx, change, &digest)?;
    Ok(Some(digest))
}

/// A tag does not point to a manifest any more.
fn let_go(tx: &mut Tx<'_>, change: &Change<'_>, manifest_id: i64) -> Result<(), Error> {
    begin_untagged(tx, (change.repository_id, manifest_id), change.at)
}

/// Notes that a manifest of a repository has been without this or any tag since `at`: from then on
/// counts how long it may stay so.
///
/// # Errors
///
/// Failures of the index.
pub fn begin_untagged(tx: &mut Tx<'_>, (repository_id, manifest_id): (i64, i64), at: Timestamp) -> Result<(), Error> {
    tx.changes_nothing_remembered();
    tx.execute(
        "note that a tag has left a manifest",
        "update manifests set tag_left_at = ? where id = ?",
        args![at, manifest_id],
    )?;
    garbage_collection::queue_manifest(tx, repository_id, manifest_id, at)
}

/// Tags in byte order, after `after`, which need not exist.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, repository_id: i64, after: Option<&str>, limit: usize) -> Result<Vec<Tag>, Error> {
    tx.all(
        "list tags",
        "select name from tags where repository_id = ? and name > ? order by name limit ?",
        args![repository_id, after.unwrap_or_default(), limit],
        |row| row.tag(0),
    )
}

/// The tags that point to a manifest, in byte order.
///
/// # Errors
///
/// Failures of the index.
pub fn of_manifest(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Vec<Tag>, Error> {
    tx.all(
        "list the tags of a manifest",
        "select name from tags where manifest_id = ? order by name",
        args![manifest_id],
        |row| row.tag(0),
    )
}

/// The tags that point to a manifest, and whether each was set under its sha512 name.
///
/// # Errors
///
/// Failures of the index.
pub fn targets_of(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Vec<(Tag, bool)>, Error> {
    tx.all(
        "list the tags of a manifest",
        "select name, is_sha512 from tags where manifest_id = ? order by name",
        args![manifest_id],
        |row| Ok((row.tag(0)?, row.bool(1)?)),
    )
}

/// The tags of a repository that are there and have pointed to a digest at some time.
///
/// # Errors
///
/// Failures of the index.
pub fn once_on(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<Vec<Tag>, Error> {
    tx.all(
        "list tags that have pointed to a manifest",
        "select distinct t.name from tag_history h join tags t on t.repository_id = h.repository_id and t.name = h.name \
         where h.repository_id = ? and h.digest = ? order by t.name",
        args![repository_id, digest],
        |row| row.tag(0),
    )
}

/// How many tags a repository has. Costs their number: not for hot paths.
///
/// # Errors
///
/// Failures of the index.
pub fn count(tx: &mut Tx<'_>, repository_id: i64) -> Result<u64, Error> {
    tx.count(
        "count tags",
        "select count(*) from tags where repository_id = ?",
        args![repository_id],
    )
}

/// A tag's history, newest first, before the line `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn history(
    tx: &mut Tx<'_>,
    repository_id: i64,
    tag: &Tag,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Event>, Error> {
    tx.all(
        "read a tag's history",
        "select id, action, digest, at, actor from tag_history \
         where repository_id = ? and name = ? and id < ? order by id desc limit ?",
        args![repository_id, tag, before.unwrap_or(i64::MAX), limit],
        |row| {
            Ok(Event {
                id: row.int(0)?,
                action: Action::read(row, 1)?,
                digest: row.digest(2)?,
                at: row.time(3)?,
                by: row.text(4)?,
            })
        },
    )
}

/// How the link of a tag looked when it was last seen; `None` when it was not seen since the tag was
/// set, or there is no such tag.
///
/// # Errors
///
/// Failures of the index.
pub fn link(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Option<Fingerprint>, Error> {
    let found = tx.one(
        "read a tag's link",
        "select link_size, link_mtime, link_ctime, link_inode from tags where repository_id = ? and name = ?",
        args![repository_id, tag],
        |row| fingerprint(row, 0),
    )?;
    Ok(found.flatten())
}

/// Every digest that a tag's history names.
///
/// # Errors
///
/// Failures of the index.
pub fn digests_of(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Vec<Digest>, Error> {
    tx.all(
        "list the digests of a tag's history",
        "select distinct digest from tag_history where repository_id = ? and name = ?",
        args![repository_id, tag],
        |row| row.digest(0),
    )
}

/// Tags with their links in byte order, after `after`, for reconciliation.
///
/// # Errors
///
/// Failures of the index.
pub fn links(tx: &mut Tx<'_>, repository_id: i64, after: Option<&str>, limit: usize) -> Result<Vec<Linked>, Error> {
    tx.all(
        "list tags with their links",
        "select t.name, t.is_sha512, m.sha256, m.sha512, t.link_size, t.link_mtime, t.link_ctime, t.link_inode \
         from tags t join manifests m on m.id = t.manifest_id \
         where t.repository_id = ? and t.name > ? order by t.name limit ?",
        args![repository_id, after.unwrap_or_default(), limit],
        |row| {
            Ok(Linked {
                tag: row.tag(0)?,
                digest: digest(row, 1)?,
                link: fingerprint(row, 4)?,
            })
        },
    )
}

fn fingerprint(row: &Row<'_>, column: usize) -> Result<Option<Fingerprint>, Error> {
    let (Some(size), Some(mtime), Some(ctime), Some(inode)) = (
        row.opt_int(column)?,
        row.opt_int(column + 1)?,
        row.opt_int(column + 2)?,
        row.opt_int(column + 3)?,
    ) else {
        return Ok(None);
    };
    Ok(Some(Fingerprint {
        size: u64::try_from(size).map_err(|_| row.corrupt("a size is negative"))?,
        mtime,
        ctime,
        inode: inode.cast_unsigned(),
    }))
}

/// Records how link files look, in a batch: for each tag that still points to the digest that the
/// link was seen with. Answers how many were recorded.
///
/// # Errors
///
/// Failures of the index.
pub fn set_links(tx: &mut Tx<'_>, repository_id: i64, links: &[(Tag, Digest, Fingerprint)]) -> Result<u64, Error> {
    let mut recorded = 0;
    tx.changes_nothing_remembered();
    for (tag, digest, link) in links {
        let Some((manifest_id, pointed)) = pointed(tx, repository_id, tag)? else {
            continue;
        };
        if pointed != *digest {
            continue;
        }
        recorded += tx.execute(
            "record a tag's link",
            "update tags set link_size = ?, link_mtime = ?, link_ctime = ?, link_inode = ? \
             where repository_id = ? and name = ? and manifest_id = ?",
            args![
                link.size,
                link.mtime,
                link.ctime,
                link.inode.cast_signed(),
                repository_id,
                tag,
                manifest_id
            ],
        )?;
    }
    Ok(recorded)
}
