//! The trash: what was deleted and can be brought back for a while (consistency rule 13).
//!
//! An entry is a manifest with the tags that went with it, or one tag whose manifest stayed. While
//! it is here it holds what it points to as a manifest does: the questions of
//! [`garbage_collection`](crate::garbage_collection) are asked here too. Every entry is also
//! written to a small file of the storage, named by its [`Key`], so that it survives the index.

mod delete;
mod files;
mod holds;
mod list;

pub use delete::{Deleted, delete_manifest, delete_tag};
pub use files::{file_version, pending_files, raise_file, settle_file};
pub use holds::{has_manifest, has_tag_of, holders, holds_blob, lists_child, needs_link};
pub use list::{Filter, Usage, by_key, expired, page, usage, usage_by_repository};

use std::fmt;

use sha2::{Digest as _, Sha256};
use wharf_oci::{Digest, RepositoryName, Tag};

use crate::garbage_collection::{self, Gone};
use crate::manifests::{self, Reference};
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx, blobs};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A manifest, with the tags that pointed to it.
    Manifest,
    /// A tag alone: its manifest was not deleted with it.
    Tag,
}

const MANIFEST: i64 = 0;
const TAG: i64 = 1;

impl Kind {
    const fn column(self) -> i64 {
        match self {
            Self::Manifest => MANIFEST,
            Self::Tag => TAG,
        }
    }
}

/// Names the file in storage that says what the trash holds of one manifest in one repository:
/// half a hash of the repository's name, and the hash of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a manifest, by its sha256, in a repository.
    pub fn new(repository: &RepositoryName, sha256: &Digest) -> Self {
        let name = Sha256::digest(repository.as_str());
        let half: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{half}-{}", sha256.hex()))
    }

    /// A key from its text; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (half, hash) = text.split_once('-')?;
        (is_hex(half, 32) && is_hex(hash, 64)).then(|| Self(text.to_owned()))
    }

    /// Its text, legal in a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its row. A rebuilt index gives it another.
    pub id: i64,
    /// What it is.
    pub kind: Kind,
    /// The repository's row: the one when it was deleted, which may be gone, or the one of a repository
    /// that was made anew under its name.
    pub repository_id: i64,
    /// What clients called the repository.
    pub repository: RepositoryName,
    /// The manifest, by the name of its bytes in storage.
    pub sha256: Digest,
    /// The manifest's other name, where it had one.
    pub sha512: Option<Digest>,
    /// Whether it was first pushed under that one.
    pub is_sha512: bool,
    /// The type that the manifest was served with.
    pub media_type: String,
    /// The size of the manifest's bytes.
    pub size: u64,
    /// The manifest's artifact type.
    pub artifact_type: Option<String>,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
    /// When the manifest was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it; empty for nobody or unknown.
    pub pushed_by: String,
    /// When it was deleted.
    pub trashed_at: Timestamp,
    /// Who deleted it; empty for nobody.
    pub trashed_by: String,
    /// Why, such as `deleted`, for a person.
    pub reason: String,
    /// When it is purged.
    pub expires_at: Timestamp,
    /// The tags that are restored with it.
    pub tags: Vec<TrashedTag>,
}

/// A tag of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashedTag {
    /// The tag.
    pub tag: Tag,
    /// Whether it was set under the manifest's sha512 name.
    pub is_sha512: bool,
}

impl Trashed {
    /// The file that holds it.
    pub fn key(&self) -> Key {
        Key::new(&self.repository, &self.sha256)
    }

    /// The name under which the manifest was first pushed.
    pub fn digest(&self) -> Digest {
        match self.sha512 {
            Some(sha512) if self.is_sha512 => sha512,
            _ => self.sha256,
        }
    }
}

/// How something is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Who does it; empty for nobody.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, for a person.
    pub reason: String,
    /// Until when it can be brought back; `None`: it cannot.
    pub expires_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select t.id, t.kind, t.repository_id, t.repository, t.sha256, t.sha512, t.is_sha512, t.media_type, t.size, ",
            "t.artifact_type, t.subject, t.pushed_at, t.pushed_by, t.trashed_at, t.trashed_by, t.reason, t.expires_at ",
            "from trash t ",
            $rest
        )
    };
}
use select;

fn ids_of(tx: &mut Tx<'_>, key: &Key, kind: Kind) -> Result<Vec<i64>, Error> {
    tx.all(
        "find what the trash holds",
        "select id from trash where mirror_key = ? and kind = ?",
        args![key.as_str(), kind.column()],
        |row| row.int(0),
    )
}

/// Records an entry as it is, with what its manifest points to; answers its new row. For entries
/// that were found in storage.
///
/// # Errors
///
/// Failures of the index.
pub fn insert(tx: &mut Tx<'_>, entry: &Trashed, references: &[Reference]) -> Result<i64, Error> {
    const OPERATION: &str = "put into the trash";
    let id = tx.insert(
        OPERATION,
        "insert into trash (kind, mirror_key, repository_id, repository, sha256, sha512, is_sha512, media_type, size, \
         artifact_type, subject, pushed_at, pushed_by, trashed_at, trashed_by, reason, expires_at) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        args![
            entry.kind.column(),
            entry.key().as_str(),
            entry.repository_id,
            &entry.repository,
            &entry.sha256,
            entry.sha512.as_ref(),
            entry.is_sha512,
            entry.media_type.as_str(),
            entry.size,
            entry.artifact_type.as_deref(),
            entry.subject.as_ref(),
            entry.pushed_at,
            entry.pushed_by.as_str(),
            entry.trashed_at,
            entry.trashed_by.as_str(),
            entry.reason.as_str(),
            entry.expires_at,
        ],
    )?;
    for tag in &entry.tags {
        tx.execute(
            OPERATION,
            "insert into trash_tags (trash_id, name, is_sha512) values (?, ?, ?)",
            args![id, &tag.tag, tag.is_sha512],
        )?;
    }
    for (position, reference) in references.iter().enumerate() {
        tx.execute(
            OPERATION,
            "insert into trash_references (trash_id, position, kind, repository_id, digest, size) \
             values (?, ?, ?, ?, ?, ?)",
            args![
                id,
                position,
                reference.kind.column(),
                entry.repository_id,
                &reference.digest,
                reference.size
            ],
        )?;
    }
    Ok(id)
}

/// Takes an entry out of the trash; `false` if it was not there. What it held may be collected.
///
/// # Errors
///
/// Failures of the index.
pub fn remove(tx: &mut Tx<'_>, id: i64) -> Result<bool, Error> {
    const OPERATION: &str = "take out of the trash";
    for sql in [
        "delete from trash_references where trash_id = ?",
        "delete from trash_tags where trash_id = ?",
    ] {
        tx.execute(OPERATION, sql, args![id])?;
    }
    Ok(tx.execute(OPERATION, "delete from trash where id = ?", args![id])? == 1)
}

/// Takes an entry out of the trash for good; `false` if it was not there. What it held is queued for a review.
///
/// # Errors
///
/// Failures of the index.
pub fn purge(tx: &mut Tx<'_>, id: i64, now: Timestamp) -> Result<bool, Error> {
    let Some(entry) = lock(tx, id)? else { return Ok(false) };
    let references = references(tx, id)?;
    remove(tx, id)?;
    match entry.kind {
        Kind::Manifest => {
            let gone = Gone {
                repository_id: entry.repository_id,
                sha256: &entry.sha256,
                sha512: entry.sha512.as_ref(),
                references: &references,
            };
            garbage_collection::manifest_gone(tx, gone, now)?;
            // of a repository that is gone there is no link left to review
            for reference in &references {
                if let Some(blob) = blobs::find(tx, &reference.digest)? {
                    garbage_collection::queue_blob(tx, blob.id, now)?;
                }
            }
        }
        Kind::Tag => {
            if let Some(manifest) = manifests::head(tx, entry.repository_id, &entry.sha256)? {
                garbage_collection::queue_manifest(tx, entry.repository_id, manifest.id, now)?;
            }
        }
    }
    Ok(true)
}

/// Takes everything that the trash holds of one manifest in one repository out of it; answers how
/// many entries that were.
///
/// # Errors
///
/// Failures of the index.
pub fn remove_all_of(tx: &mut Tx<'_>, key: &Key) -> Result<u64, Error> {
    let mut removed = 0;
    for kind in [Kind::Manifest, Kind::Tag] {
        for id in ids_of(tx, key, kind)? {
            removed += u64::from(remove(tx, id)?);
        }
    }
    Ok(removed)
}

/// Says which row a repository has that was made anew: what the trash holds is asked by row.
pub(crate) fn belongs_to(tx: &mut Tx<'_>, repository: &RepositoryName, repository_id: i64) -> Result<(), Error> {
    for sql in [
        "update trash_references set repository_id = ? where trash_id in (select id from trash where repository = ?)",
        "update trash set repository_id = ? where repository = ?",
    ] {
        tx.execute(
            "find the trash of a new repository",
            sql,
            args![repository_id, repository],
        )?;
    }
    Ok(())
}

/// Forgets a trash that was saved: the files of the storage say what is in it now.
pub(crate) fn forget_saved(tx: &mut Tx<'_>) -> Result<(), Error> {
    for sql in [
        "delete from trash_references",
        "delete from trash_tags",
        "delete from trash_files",
        "delete from trash",
    ] {
        tx.execute("forget the saved trash", sql, args![])?;
    }
    Ok(())
}

/// An entry, locked until the transaction ends: of a restore and a purge, one finds it gone.
///
/// # Errors
///
/// Failures of the index.
pub fn lock(tx: &mut Tx<'_>, id: i64) -> Result<Option<Trashed>, Error> {
    let found = tx.lock_one("find in the trash", select!("where t.id = ?"), args![id], trashed)?;
    with_tags(tx, found)
}

/// The entry with an id.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, id: i64) -> Result<Option<Trashed>, Error> {
    let found = tx.one("find in the trash", select!("where t.id = ?"), args![id], trashed)?;
    with_tags(tx, found)
}

/// The entry of a manifest by either of its names.
///
/// # Errors
///
/// Failures of the index.
pub fn find_manifest(tx: &mut Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Result<Option<Trashed>, Error> {
    let sql = match digest {
        Digest::Sha256(_) => {
            select!("where t.repository = ? and t.sha256 = ? and t.kind = 0 order by t.id desc limit 1")
        }
        Digest::Sha512(_) => {
            select!("where t.repository = ? and t.sha512 = ? and t.kind = 0 order by t.id desc limit 1")
        }
    };
    let found = tx.one("find a manifest in the trash", sql, args![repository, digest], trashed)?;
    with_tags(tx, found)
}

/// The entry that a tag went with last: its own or its manifest's.
///
/// # Errors
///
/// Failures of the index.
pub fn find_tag(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag) -> Result<Option<Trashed>, Error> {
    let found = tx.one(
        "find a tag in the trash",
        select!(
            "join trash_tags g on g.trash_id = t.id where g.name = ? and t.repository = ? \
             order by t.trashed_at desc, t.id desc limit 1"
        ),
        args![tag, repository],
        trashed,
    )?;
    with_tags(tx, found)
}

fn with_tags(tx: &mut Tx<'_>, found: Option<Trashed>) -> Result<Option<Trashed>, Error> {
    let Some(mut found) = found else { return Ok(None) };
    found.tags = list::tags_of(tx, found.id)?;
    Ok(Some(found))
}

/// What the manifest of an entry points to, in its order.
///
/// # Errors
///
/// Failures of the index.
pub fn references(tx: &mut Tx<'_>, id: i64) -> Result<Vec<Reference>, Error> {
    tx.all(
        "list what a trashed manifest points to",
        "select kind, digest, size from trash_references where trash_id = ? order by position",
        args![id],
        manifests::reference,
    )
}

/// Reads the columns of [`select!`]; the tags come from elsewhere.
fn trashed(row: &Row<'_>) -> Result<Trashed, Error> {
    Ok(Trashed {
        id: row.int(0)?,
        kind: match row.int(1)? {
            MANIFEST => Kind::Manifest,
            TAG => Kind::Tag,
            _ => return Err(row.corrupt("a kind of trash is unknown")),
        },
        repository_id: row.int(2)?,
        repository: row.name(3)?,
        sha256: row.digest(4)?,
        sha512: row.opt_digest(5)?,
        is_sha512: row.bool(6)?,
        media_type: row.text(7)?,
        size: row.size(8)?,
        artifact_type: row.opt_text(9)?,
        subject: row.opt_digest(10)?,
        pushed_at: row.time(11)?,
        pushed_by: row.text(12)?,
        trashed_at: row.time(13)?,
        trashed_by: row.text(14)?,
        reason: row.text(15)?,
        expires_at: row.time(16)?,
        tags: Vec::new(),
    })
}
