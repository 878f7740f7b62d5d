//! Manifests of repositories and what they point to.
//!
//! A manifest is one row per repository with one or two names: the canonical sha256 of its
//! bytes, and the sha512 where somebody pushed it so (consistency rule 11).

mod references;

use wharf_oci::descriptor::Annotations;
use wharf_oci::{Digest, Tag};

use crate::tags::{self, Change};
use crate::value::{Row, Value, args};
use crate::{Error, Timestamp, Tx, blobs, garbage_collection};

pub(crate) use references::reference;
pub use references::{Reference, ReferenceKind, references};

/// A manifest that is to be recorded.
#[derive(Clone, Debug)]
pub struct NewManifest<'a> {
    /// The canonical digest of its bytes.
    pub sha256: Digest,
    /// Its sha512 digest, where it was pushed under it.
    pub sha512: Option<Digest>,
    /// The type it is served with.
    pub media_type: &'a str,
    /// The size of its bytes.
    pub size: u64,
    /// Its artifact type.
    pub artifact_type: Option<&'a str>,
    /// The type of its configuration.
    pub config_media_type: Option<&'a str>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// Its annotations.
    pub annotations: &'a Annotations,
    /// What it points to, without the subject.
    pub references: &'a [Reference],
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it; empty for nobody or unknown.
    pub pushed_by: &'a str,
}

/// What serving a manifest needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its row; never used again for another.
    pub id: i64,
    /// The name of its bytes in storage.
    pub sha256: Digest,
    /// The type it is served with.
    pub media_type: String,
    /// The size of its bytes.
    pub size: u64,
}

/// Everything that is known of a manifest, except its annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its row; never used again for another.
    pub id: i64,
    /// The name of its bytes in storage.
    pub sha256: Digest,
    /// Its other name, where it has one.
    pub sha512: Option<Digest>,
    /// Whether it was first pushed under that one.
    pub is_sha512: bool,
    /// The type it is served with.
    pub media_type: String,
    /// The size of its bytes.
    pub size: u64,
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// The type of its configuration.
    pub config_media_type: Option<String>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// When it was last pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it.
    pub pushed_by: String,
}

impl Manifest {
    /// The name under which it was first pushed.
    pub fn digest(&self) -> Digest {
        match self.sha512 {
            Some(sha512) if self.is_sha512 => sha512,
            _ => self.sha256,
        }
    }
}

/// What [`insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The row.
    pub id: i64,
    /// Whether the manifest was not there before.
    pub is_new: bool,
}

/// What [`delete`] removed, for mirroring it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The canonical name.
    pub sha256: Digest,
    /// The other name, where it had one.
    pub sha512: Option<Digest>,
    /// The manifest it referred to.
    pub subject: Option<Digest>,
    /// The tags that pointed to it and are gone too.
    pub tags: Vec<Tag>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select m.id, m.sha256, m.sha512, m.is_sha512, m.media_type, m.size, m.artifact_type, ",
            "m.config_media_type, m.subject, m.pushed_at, m.pushed_by from manifests m ",
            $rest
        )
    };
}

/// Records a manifest; one that is there already is refreshed: its push time, who pushed it, its
/// type, and its sha512 name if it had none.
///
/// # Errors
///
/// Failures of the index.
pub fn insert(tx: &mut Tx<'_>, repository_id: i64, manifest: &NewManifest<'_>) -> Result<Inserted, Error> {
    tx.changes_repository(repository_id);
    // locked: it may be about to go
    let found = tx.lock_one(
        "find a manifest",
        select!("where m.repository_id = ? and m.sha256 = ?"),
        args![repository_id, &manifest.sha256],
        self::manifest,
    )?;
    if let Some(found) = found {
        refresh(tx, repository_id, &found, manifest)?;
        return Ok(Inserted {
            id: found.id,
            is_new: false,
        });
    }
    let subject_seen = match &manifest.subject {
        Some(subject) => head(tx, repository_id, subject)?.is_some(),
        None => false,
    };
    let id = tx.insert(
        "record a manifest",
        "insert into manifests (repository_id, sha256, sha512, is_sha512, media_type, size, artifact_type, \
         config_media_type, subject, subject_seen, pushed_at, pushed_by, annotations) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        args![
            repository_id,
            &manifest.sha256,
            manifest.sha512.as_ref(),
            manifest.sha512.is_some(),
            manifest.media_type,
            manifest.size,
            manifest.artifact_type,
            manifest.config_media_type,
            manifest.subject.as_ref(),
            subject_seen,
            manifest.pushed_at,
            manifest.pushed_by,
            &annotations_text(manifest.annotations)?,
        ],
    )?;
    insert_references(tx, repository_id, id, manifest.references)?;
    mark_seen(tx, repository_id, manifest)?;
    garbage_collection::queue_untagged(tx, repository_id, id, manifest.pushed_at)?;
    Ok(Inserted { id, is_new: true })
}

fn refresh(tx: &mut Tx<'_>, repository_id: i64, found: &Manifest, manifest: &NewManifest<'_>) -> Result<(), Error> {
    const OPERATION: &str = "refresh a manifest";
    let sha512 = found.sha512.or(manifest.sha512);
    tx.execute(
        OPERATION,
        "update manifests set sha512 = ?, pushed_at = ?, pushed_by = ? where id = ?",
        args![sha512.as_ref(), manifest.pushed_at, manifest.pushed_by, found.id],
    )?;
    if found.media_type != manifest.media_type {
        // another type reads the same bytes in another way
        tx.execute(
            OPERATION,
            "update manifests set media_type = ?, artifact_type = ?, config_media_type = ?, subject = ?, \
             annotations = ? where id = ?",
            args![
                manifest.media_type,
                manifest.artifact_type,
                manifest.config_media_type,
                manifest.subject.as_ref(),
                &annotations_text(manifest.annotations)?,
                found.id
            ],
        )?;
        let before = references(tx, found.id)?;
        delete_references(tx, found.id)?;
        insert_references(tx, repository_id, found.id, manifest.references)?;
        garbage_collection::references_gone(tx, repository_id, &before, manifest.pushed_at)?;
    }
    if sha512 != found.sha512 {
        mark_seen(tx, repository_id, manifest)?;
    }
    Ok(())
}

pub(crate) fn annotations_text(annotations: &Annotations) -> Result<String, Error> {
    if annotations.is_empty() {
        return Ok("{}".to_owned());
    }
    serde_json::to_string(annotations)
        .map_err(|error| Error::new(crate::error::Kind::Other, "record a manifest", error))
}

fn insert_references(
    tx: &mut Tx<'_>,
    repository_id: i64,
    manifest_id: i64,
    references: &[Reference],
) -> Result<(), Error> {
    for (position, reference) in references.iter().enumerate() {
        tx.execute(
            "record a reference",
            "insert into manifest_references (manifest_id, position, kind, repository_id, digest, size) \
             values (?, ?, ?, ?, ?, ?)",
            args![
                manifest_id,
                position,
                reference.kind.column(),
                repository_id,
                &reference.digest,
                reference.size
            ],
        )?;
    }
    Ok(())
}

fn delete_references(tx: &mut Tx<'_>, manifest_id: i64) -> Result<(), Error> {
    tx.execute(
        "delete references",
        "delete from manifest_references where manifest_id = ?",
        args![manifest_id],
    )?;
    Ok(())
}

/// Lets referrers that came before their subject know that it was here (consistency rule 2).
fn mark_seen(tx: &mut Tx<'_>, repository_id: i64, manifest: &NewManifest<'_>) -> Result<(), Error> {
    for digest in [Some(&manifest.sha256), manifest.sha512.as_ref()].into_iter().flatten() {
        tx.execute(
            "mark a subject seen",
            "update manifests set subject_seen = 1 where repository_id = ? and subject = ? and subject_seen = 0",
            args![repository_id, digest],
        )?;
    }
    Ok(())
}

/// What serving a manifest needs, by either of its names.
///
/// # Errors
///
/// Failures of the index.
pub fn head(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<Option<Head>, Error> {
    let sql = match digest {
        Digest::Sha256(_) => {
            "select id, sha256, media_type, size from manifests where repository_id = ? and sha256 = ?"
        }
        Digest::Sha512(_) => {
            "select id, sha256, media_type, size from manifests where repository_id = ? and sha512 = ?"
        }
    };
    tx.one("find a manifest", sql, args![repository_id, digest], |row| {
        Ok(Head {
            id: row.int(0)?,
            sha256: row.digest(1)?,
            media_type: row.text(2)?,
            size: row.size(3)?,
        })
    })
}

/// Everything about a manifest, by either of its names.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<Option<Manifest>, Error> {
    let sql = match digest {
        Digest::Sha256(_) => select!("where m.repository_id = ? and m.sha256 = ?"),
        Digest::Sha512(_) => select!("where m.repository_id = ? and m.sha512 = ?"),
    };
    tx.one("find a manifest", sql, args![repository_id, digest], manifest)
}

/// The same, with its bytes' row locked until the transaction ends: whoever deletes it, points a tag
/// to it or refers to it locks that row first.
///
/// # Errors
///
/// Failures of the index.
pub fn lock(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<Option<Manifest>, Error> {
    let Some(found) = find(tx, repository_id, digest)? else {
        return Ok(None);
    };
    blobs::lock(tx, &found.sha256)?;
    // it may have gone, or changed, until the row was free
    find(tx, repository_id, digest)
}

/// The manifests of a repository by row, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, repository_id: i64, after: Option<&Digest>, limit: usize) -> Result<Vec<Manifest>, Error> {
    match after {
        None => tx.all(
            "list manifests",
            select!("where m.repository_id = ? order by m.sha256 limit ?"),
            args![repository_id, limit],
            manifest,
        ),
        Some(after) => tx.all(
            "list manifests",
            select!("where m.repository_id = ? and m.sha256 > ? order by m.sha256 limit ?"),
            args![repository_id, after, limit],
            manifest,
        ),
    }
}

/// The names of the manifests of a repository, sha256 and sha512, in the order of the first, after
/// `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page_names_of(
    tx: &mut Tx<'_>,
    repository_id: i64,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<(Digest, Option<Digest>)>, Error> {
    let row = |row: &Row<'_>| Ok((row.digest(0)?, row.opt_digest(1)?));
    // every digest is larger than no bytes
    let after = after.map_or(Value::Bytes(&[]), Value::from);
    tx.all(
        "list the names of manifests",
        "select sha256, sha512 from manifests where repository_id = ? and sha256 > ? order by sha256 limit ?",
        &[repository_id.into(), after, limit.into()],
        row,
    )
}

/// Makes the row of a manifest what its bytes say; push time, who pushed it and its type stay as
/// they are. Answers whether anything differed; `false` too if there is no row.
///
/// # Errors
///
/// Failures of the index.
pub fn correct(tx: &mut Tx<'_>, repository_id: i64, manifest: &NewManifest<'_>) -> Result<bool, Error> {
    const OPERATION: &str = "correct a manifest";
    let Some(found) = find(tx, repository_id, &manifest.sha256)? else {
        return Ok(false);
    };
    if !differs(tx, &found, manifest)? {
        return Ok(false);
    }
    tx.changes_repository(repository_id);
    tx.execute(
        OPERATION,
        "update manifests set sha512 = ?, size = ?, artifact_type = ?, config_media_type = ?, subject = ?, \
         annotations = ? where id = ?",
        args![
            found.sha512.or(manifest.sha512).as_ref(),
            manifest.size,
            manifest.artifact_type,
            manifest.config_media_type,
            manifest.subject.as_ref(),
            &annotations_text(manifest.annotations)?,
            found.id
        ],
    )?;
    delete_references(tx, found.id)?;
    insert_references(tx, repository_id, found.id, manifest.references)?;
    Ok(true)
}

/// Whether the row of a manifest, or what it points to, is not what its bytes say.
///
/// # Errors
///
/// Failures of the index.
pub fn differs(tx: &mut Tx<'_>, found: &Manifest, manifest: &NewManifest<'_>) -> Result<bool, Error> {
    let is_row_right = found.size == manifest.size
        && found.artifact_type.as_deref() == manifest.artifact_type
        && found.config_media_type.as_deref() == manifest.config_media_type
        && found.subject == manifest.subject
        && (manifest.sha512.is_none() || found.sha512 == manifest.sha512);
    Ok(!is_row_right
        || annotations(tx, found.id)? != *manifest.annotations
        || references(tx, found.id)? != manifest.references)
}

/// The annotations of a manifest.
///
/// # Errors
///
/// Failures of the index.
pub fn annotations(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Annotations, Error> {
    let found = tx.one(
        "read annotations",
        "select annotations from manifests where id = ?",
        args![manifest_id],
        |row| parse_annotations(row, 0),
    )?;
    Ok(found.unwrap_or_default())
}

pub(crate) fn parse_annotations(row: &Row<'_>, column: usize) -> Result<Annotations, Error> {
    let text = row.str(column)?;
    if text == "{}" {
        return Ok(Annotations::new());
    }
    serde_json::from_str(text).map_err(|_| row.corrupt("annotations are not a JSON object of texts"))
}

/// Removes a manifest by either of its names, with the tags that point to it, which are noted in
/// their history. `None` if it was not there. What it held and what refers to it is queued for the
/// collector.
///
/// # Errors
///
/// Failures of the index.
pub fn delete(
    tx: &mut Tx<'_>,
    repository_id: i64,
    digest: &Digest,
    by: &str,
    now: Timestamp,
) -> Result<Option<Deleted>, Error> {
    let Some(found) = lock(tx, repository_id, digest)? else {
        return Ok(None);
    };
    tx.changes_repository(repository_id);
    let references = references(tx, found.id)?;
    let tags = tags::of_manifest(tx, found.id)?;
    for tag in &tags {
        tags::delete(
            tx,
            &Change {
                repository_id,
                tag,
                action: tags::Action::Deleted,
                by,
                at: now,
            },
        )?;
    }
    delete_references(tx, found.id)?;
    for sql in [
        "delete from manifest_statistics where manifest_id = ?",
        "delete from manifests where id = ?",
    ] {
        tx.execute("delete a manifest", sql, args![found.id])?;
    }
    let gone = garbage_collection::Gone {
        repository_id,
        sha256: &found.sha256,
        sha512: found.sha512.as_ref(),
        references: &references,
    };
    garbage_collection::manifest_gone(tx, gone, now)?;
    Ok(Some(Deleted {
        sha256: found.sha256,
        sha512: found.sha512,
        subject: found.subject,
        tags,
    }))
}

/// The canonical digests of manifests of the repository that point to a digest, as what they may.
///
/// # Errors
///
/// Failures of the index.
pub fn parents(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, limit: usize) -> Result<Vec<Digest>, Error> {
    tx.all(
        "list manifests that point to a digest",
        "select distinct m.sha256 from manifest_references r join manifests m on m.id = r.manifest_id \
         where r.repository_id = ? and r.digest = ? order by m.sha256 limit ?",
        args![repository_id, digest, limit],
        |row| row.digest(0),
    )
}

/// Whether an index of the repository lists a digest.
///
/// # Errors
///
/// Failures of the index.
pub fn is_referenced_by_index(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    tx.any(
        "find an index that lists a digest",
        "select 1 from manifest_references where repository_id = ? and digest = ? and kind = 2",
        args![repository_id, digest],
    )
}

/// Whether any manifest of the repository points to a digest.
///
/// # Errors
///
/// Failures of the index.
pub fn is_referenced(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    tx.any(
        "find a manifest that points to a digest",
        "select 1 from manifest_references where repository_id = ? and digest = ?",
        args![repository_id, digest],
    )
}

/// How many manifests a repository has. Costs their number: not for hot paths.
///
/// # Errors
///
/// Failures of the index.
pub fn count(tx: &mut Tx<'_>, repository_id: i64) -> Result<u64, Error> {
    tx.count(
        "count manifests",
        "select count(*) from manifests where repository_id = ?",
        args![repository_id],
    )
}

pub(crate) fn manifest(row: &Row<'_>) -> Result<Manifest, Error> {
    Ok(Manifest {
        id: row.int(0)?,
        sha256: row.digest(1)?,
        sha512: row.opt_digest(2)?,
        is_sha512: row.bool(3)?,
        media_type: row.text(4)?,
        size: row.size(5)?,
        artifact_type: row.opt_text(6)?,
        config_media_type: row.opt_text(7)?,
        subject: row.opt_digest(8)?,
        pushed_at: row.time(9)?,
        pushed_by: row.text(10)?,
    })
}
