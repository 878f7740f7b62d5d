//! What holds a link, a blob or a manifest: the one place that says so.
//!
//! The trash holds as manifests do (consistency rule 13): it is asked with each question here. It is
//! asked in between, so that what goes there or comes back meanwhile is seen in one place or the
//! other.

use wharf_oci::{Digest, RepositoryName, Tag};

use crate::blobs::Blob;
use crate::manifests::{Manifest, head, is_referenced, is_referenced_by_index};
use crate::value::args;
use crate::{Error, Timestamp, Tx, trash};

/// Whether a manifest of the repository needs the blob's link.
pub(super) fn is_link_needed(tx: &mut Tx<'_>, repository_id: i64, blob: &Blob) -> Result<bool, Error> {
    for name in names(&blob.sha256, blob.sha512.as_ref()) {
        if is_referenced(tx, repository_id, name)?
            || trash::needs_link(tx, repository_id, name)?
            || is_referenced(tx, repository_id, name)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a tag points to the manifest, or can come back to it.
pub(super) fn is_tagged(tx: &mut Tx<'_>, repository_id: i64, manifest: &Manifest) -> Result<bool, Error> {
    Ok(has_tag(tx, manifest)? || trash::has_tag_of(tx, repository_id, &manifest.sha256)? || has_tag(tx, manifest)?)
}

fn has_tag(tx: &mut Tx<'_>, manifest: &Manifest) -> Result<bool, Error> {
    tx.any(
        "find a tag of a manifest",
        "select 1 from tags where manifest_id = ?",
        args![manifest.id],
    )
}

/// Whether a repository links the blob, or it is a manifest's bytes.
pub(super) fn is_blob_held(tx: &mut Tx<'_>, blob: &Blob) -> Result<bool, Error> {
    Ok(is_in_use(tx, blob)? || trash::holds_blob(tx, &blob.sha256, blob.sha512.as_ref())? || is_in_use(tx, blob)?)
}

fn is_in_use(tx: &mut Tx<'_>, blob: &Blob) -> Result<bool, Error> {
    const OPERATION: &str = "count what holds a blob";
    Ok(tx.any(
        OPERATION,
        "select 1 from repository_blobs where blob_id = ?",
        args![blob.id],
    )? || tx.any(
        OPERATION,
        "select 1 from manifests where sha256 = ?",
        args![&blob.sha256],
    )?)
}

/// Whether an index of the repository lists the manifest, under one of its names.
pub(super) fn is_child(
    tx: &mut Tx<'_>,
    repository_id: i64,
    sha256: &Digest,
    sha512: Option<&Digest>,
) -> Result<bool, Error> {
    for name in names(sha256, sha512) {
        if is_referenced_by_index(tx, repository_id, name)?
            || trash::lists_child(tx, repository_id, name)?
            || is_referenced_by_index(tx, repository_id, name)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the manifest is in the repository or its trash, as the subject of another one.
pub(super) fn is_subject_here(tx: &mut Tx<'_>, repository_id: i64, subject: &Digest) -> Result<bool, Error> {
    Ok(head(tx, repository_id, subject)?.is_some()
        || trash::has_manifest(tx, repository_id, subject)?
        || head(tx, repository_id, subject)?.is_some())
}

fn names<'d>(sha256: &'d Digest, sha512: Option<&'d Digest>) -> impl Iterator<Item = &'d Digest> {
    std::iter::once(sha256).chain(sha512)
}

/// What holds a blob, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// One for each repository that links the blob or has it as a manifest.
    pub repositories: Vec<Holder>,
    /// Whether there are more than were asked for.
    pub is_cut: bool,
}

/// What holds a blob in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The repository's row.
    pub repository_id: i64,
    /// Its name.
    pub repository: RepositoryName,
    /// When it linked the blob, if it did.
    pub linked_at: Option<Timestamp>,
    /// Its manifests that point to the blob, canonical names; at most as many as were asked for.
    pub referenced_by: Vec<Digest>,
    /// The manifest that the blob is the bytes of.
    pub manifest: Option<HeldManifest>,
}

/// What is known of a manifest for saying why it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldManifest {
    /// Its row.
    pub id: i64,
    /// When it was last pushed.
    pub pushed_at: Timestamp,
    /// When a tag last left it.
    pub tag_left_at: Option<Timestamp>,
    /// The tags that point to it.
    pub tags: Vec<Tag>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
}

/// What holds a blob: for each of at most `limit` repositories, at most `limit` manifests.
///
/// # Errors
///
/// Failures of the index.
pub fn holders(tx: &mut Tx<'_>, blob: &Blob, limit: usize) -> Result<Holders, Error> {
    let mut found = tx.all(
        "list the repositories that hold a blob",
        "select r.id, r.name from repositories r \
         where r.id in (select l.repository_id from repository_blobs l where l.blob_id = ?) \
         or r.id in (select m.repository_id from manifests m where m.sha256 = ?) order by r.name limit ?",
        args![blob.id, &blob.sha256, limit + 1],
        |row| Ok((row.int(0)?, row.name(1)?)),
    )?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    let mut repositories = Vec::with_capacity(found.len());
    for (id, name) in found {
        repositories.push(holder(tx, blob, (id, name), limit)?);
    }
    Ok(Holders { repositories, is_cut })
}

fn holder(
    tx: &mut Tx<'_>,
    blob: &Blob,
    (repository_id, repository): (i64, RepositoryName),
    limit: usize,
) -> Result<Holder, Error> {
    let linked_at = tx.one(
        "find a link of a blob",
        "select linked_at from repository_blobs where repository_id = ? and blob_id = ?",
        args![repository_id, blob.id],
        |row| row.time(0),
    )?;
    let mut referenced_by = Vec::new();
    for name in names(&blob.sha256, blob.sha512.as_ref()) {
        referenced_by.extend(crate::manifests::parents(tx, repository_id, name, limit)?);
    }
    referenced_by.sort_unstable();
    referenced_by.dedup();
    referenced_by.truncate(limit);
    let manifest = held_manifest(tx, repository_id, &blob.sha256)?;
    Ok(Holder {
        repository_id,
        repository,
        linked_at,
        referenced_by,
        manifest,
    })
}

fn held_manifest(tx: &mut Tx<'_>, repository_id: i64, sha256: &Digest) -> Result<Option<HeldManifest>, Error> {
    let found = tx.one(
        "find a manifest by its bytes",
        "select id, pushed_at, tag_left_at, subject from manifests where repository_id = ? and sha256 = ?",
        args![repository_id, sha256],
        |row| {
            Ok(HeldManifest {
                id: row.int(0)?,
                pushed_at: row.time(1)?,
                tag_left_at: row.opt_time(2)?,
                subject: row.opt_digest(3)?,
                tags: Vec::new(),
            })
        },
    )?;
    let Some(mut manifest) = found else { return Ok(None) };
    manifest.tags = crate::tags::of_manifest(tx, manifest.id)?;
    Ok(Some(manifest))
}
