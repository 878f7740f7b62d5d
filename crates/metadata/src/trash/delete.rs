//! Deleting with or without a way back.

use wharf_oci::{Digest, RepositoryName, Tag};

use super::{Deletion, Key, Kind, Trashed, TrashedTag, ids_of, insert, list, raise_file, remove, remove_all_of};
use crate::manifests::{self, Manifest};
use crate::tags::{self, Action, Change};
use crate::{Entry, Error, Timestamp, Tx, mirror};

/// What a deletion has raised: what storage must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The file of the trash. It comes first: what is gone from the layout can still be brought back.
    pub file: Option<Key>,
    /// The entries of the repository.
    pub entries: Vec<Entry>,
}

/// Deletes a manifest of a repository with the tags that point to it, into the trash or for good,
/// and raises what storage must follow. `None` if there is no such manifest. What the
/// trash held of it before gives way; tags that were deleted alone stay there, unless the manifest
/// goes for good.
///
/// # Errors
///
/// Failures of the index.
pub fn delete_manifest(
    tx: &mut Tx<'_>,
    (repository_id, repository): (i64, &RepositoryName),
    digest: &Digest,
    deletion: &Deletion,
) -> Result<Option<Deleted>, Error> {
    // locked first: what is read here is what goes
    let Some(found) = manifests::lock(tx, repository_id, digest)? else {
        return Ok(None);
    };
    let key = Key::new(repository, &found.sha256);
    let is_changed = match deletion.expires_at {
        Some(expires_at) => {
            let tags = tags::targets_of(tx, found.id)?;
            let references = manifests::references(tx, found.id)?;
            for id in ids_of(tx, &key, Kind::Manifest)? {
                remove(tx, id)?;
            }
            let tags = tags.into_iter().map(|(tag, is_sha512)| TrashedTag { tag, is_sha512 });
            let place = (repository_id, repository);
            let entry = entry(place, found, (Kind::Manifest, tags.collect()), deletion, expires_at);
            insert(tx, &entry, &references)?;
            true
        }
        None => remove_all_of(tx, &key)? > 0,
    };
    let Some(gone) = manifests::delete(tx, repository_id, digest, &deletion.by, deletion.at)? else {
        return Ok(None);
    };
    let tags = gone.tags.into_iter().map(Entry::Tag);
    let names = std::iter::once(gone.sha256).chain(gone.sha512).map(Entry::Revision);
    raise(
        tx,
        repository_id,
        is_changed.then_some(key),
        tags.chain(names).collect(),
    )
    .map(Some)
}

/// Deletes a tag of a repository alone, as [`delete_manifest`] does a manifest; its manifest stays.
///
/// # Errors
///
/// Failures of the index.
pub fn delete_tag(
    tx: &mut Tx<'_>,
    (repository_id, repository): (i64, &RepositoryName),
    tag: &Tag,
    deletion: &Deletion,
) -> Result<Option<Deleted>, Error> {
    let change = Change {
        repository_id,
        tag,
        action: Action::Deleted,
        by: &deletion.by,
        at: deletion.at,
    };
    let Some(digest) = tags::delete(tx, &change)? else {
        return Ok(None);
    };
    let mut file = None;
    if let Some(found) = manifests::find(tx, repository_id, &digest)? {
        let key = Key::new(repository, &found.sha256);
        let mut is_changed = false;
        for id in ids_of(tx, &key, Kind::Tag)? {
            if list::tags_of(tx, id)?.iter().any(|old| old.tag == *tag) {
                is_changed |= remove(tx, id)?;
            }
        }
        if let Some(expires_at) = deletion.expires_at {
            let kept = TrashedTag {
                tag: tag.clone(),
                is_sha512: matches!(digest, Digest::Sha512(_)),
            };
            let place = (repository_id, repository);
            let entry = entry(place, found, (Kind::Tag, vec![kept]), deletion, expires_at);
            insert(tx, &entry, &[])?;
            is_changed = true;
        }
        file = is_changed.then_some(key);
    }
    raise(tx, repository_id, file, vec![Entry::Tag(tag.clone())]).map(Some)
}

fn raise(tx: &mut Tx<'_>, repository_id: i64, file: Option<Key>, entries: Vec<Entry>) -> Result<Deleted, Error> {
    if let Some(file) = &file {
        raise_file(tx, file)?;
    }
    for entry in &entries {
        mirror::raise(tx, repository_id, entry)?;
    }
    Ok(Deleted { file, entries })
}

fn entry(
    (repository_id, repository): (i64, &RepositoryName),
    found: Manifest,
    (kind, tags): (Kind, Vec<TrashedTag>),
    deletion: &Deletion,
    expires_at: Timestamp,
) -> Trashed {
    Trashed {
        id: 0,
        kind,
        repository_id,
        repository: repository.clone(),
        sha256: found.sha256,
        sha512: found.sha512,
        is_sha512: found.is_sha512,
        media_type: found.media_type,
        size: found.size,
        artifact_type: found.artifact_type,
        subject: found.subject,
        pushed_at: found.pushed_at,
        pushed_by: found.pushed_by,
        trashed_at: deletion.at,
        trashed_by: deletion.by.clone(),
        reason: deletion.reason.clone(),
        expires_at,
        tags,
    }
}
