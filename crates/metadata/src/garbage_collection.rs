//! What nothing holds (consistency rules 1, 2 and 4).
//!
//! Candidates are found without locks; every step that follows locks its row and asks again.

use wharf_oci::Digest;

use crate::blobs::{self, Blob, CONDEMNED, PRESENT, State};
use crate::links::{Link, link_row};
use crate::manifests::{Manifest, manifest};
use crate::value::args;
use crate::{Error, Timestamp, Tx, adoption};

/// What became of an attempt to condemn or delete a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was done.
    Done,
    /// The blob is held, was asked for meanwhile, or is gone.
    Spared,
    /// The index is not complete, or another pass has begun: nothing may be collected.
    Incomplete,
}

/// Manifests of a repository, by row after `after`, that nobody would miss: without a tag, in no
/// present index, pushed before `pushed_before`, and referring to nothing or to a manifest that was
/// here and is gone.
///
/// # Errors
///
/// Failures of the index.
pub fn untagged(
    tx: &mut Tx<'_>,
    repository_id: i64,
    after: Option<&Digest>,
    pushed_before: Timestamp,
    limit: usize,
) -> Result<Vec<Manifest>, Error> {
    let after = after.copied().unwrap_or(Digest::Sha256([0; 32]));
    tx.all(
        "list untagged manifests",
        "select m.id, m.sha256, m.sha512, m.is_sha512, m.media_type, m.size, m.artifact_type, m.config_media_type, \
         m.subject, m.pushed_at, m.pushed_by from manifests m \
         where m.repository_id = ? and m.sha256 > ? and m.pushed_at < ? \
         and not exists (select 1 from tags t where t.manifest_id = m.id) \
         and not exists (select 1 from manifest_references r \
             where r.repository_id = m.repository_id and r.digest = m.sha256 and r.kind = 2) \
         and not exists (select 1 from manifest_references r \
             where r.repository_id = m.repository_id and r.digest = m.sha512 and r.kind = 2) \
         and (m.subject is null or (m.subject_seen = 1 \
             and not exists (select 1 from manifests s \
                 where s.repository_id = m.repository_id and s.sha256 = m.subject) \
             and not exists (select 1 from manifests s \
                 where s.repository_id = m.repository_id and s.sha512 = m.subject))) \
         order by m.sha256 limit ?",
        args![repository_id, &after, pushed_before, limit],
        manifest,
    )
}

/// Links of a repository, by blob row after `after`, that no manifest of it needs and that were
/// made, and their blobs asked for, before `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn unneeded_links(
    tx: &mut Tx<'_>,
    repository_id: i64,
    after: i64,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Link>, Error> {
    tx.all(
        "list unneeded blob links",
        "select l.blob_id, b.sha256, b.sha512, l.is_alias, l.linked_at from repository_blobs l \
         join blobs b on b.id = l.blob_id \
         where l.repository_id = ? and l.blob_id > ? and l.linked_at < ? and b.touched_at < ? \
         and not exists (select 1 from manifest_references r \
             where r.repository_id = l.repository_id and r.digest = b.sha256) \
         and not exists (select 1 from manifest_references r \
             where r.repository_id = l.repository_id and r.digest = b.sha512) \
         order by l.blob_id limit ?",
        args![repository_id, after, before, before, limit],
        link_row,
    )
}

/// Removes one of [`unneeded_links`], if that is still true; `epoch` is the index's, which must be
/// complete.
///
/// # Errors
///
/// Failures of the index.
pub fn remove_link(
    tx: &mut Tx<'_>,
    repository_id: i64,
    sha256: &Digest,
    before: Timestamp,
    epoch: i64,
) -> Result<Verdict, Error> {
    if !is_complete(tx, epoch)? {
        return Ok(Verdict::Incomplete);
    }
    let Some(blob) = blobs::lock(tx, sha256)? else {
        return Ok(Verdict::Spared);
    };
    let still = unneeded_links(tx, repository_id, blob.id - 1, before, 1)?;
    if still.first().is_none_or(|link| link.blob_id != blob.id) {
        return Ok(Verdict::Spared);
    }
    tx.execute(
        "remove an unneeded blob link",
        "delete from repository_blobs where repository_id = ? and blob_id = ?",
        args![repository_id, blob.id],
    )?;
    Ok(Verdict::Done)
}

/// Present blobs, by row after `after`, that no repository links, that are no manifest's bytes and
/// that nobody asked for since `touched_before`.
///
/// # Errors
///
/// Failures of the index.
pub fn candidates(tx: &mut Tx<'_>, after: i64, touched_before: Timestamp, limit: usize) -> Result<Vec<Blob>, Error> {
    tx.all(
        "list unreferenced blobs",
        "select b.id, b.sha256, b.sha512, b.size, b.state, b.deadline, b.generation, b.state_at, b.touched_at \
         from blobs b where b.state = 1 and b.id > ? and b.touched_at < ? \
         and not exists (select 1 from repository_blobs l where l.blob_id = b.id) \
         and not exists (select 1 from manifests m where m.sha256 = b.sha256) order by b.id limit ?",
        args![after, touched_before, limit],
        blobs::blob,
    )
}

/// Condemns a candidate: locks its row, then counts what holds it, and applies only if nobody
/// touched it since it was read.
///
/// # Errors
///
/// Failures of the index.
pub fn condemn(tx: &mut Tx<'_>, candidate: &Blob, epoch: i64, now: Timestamp) -> Result<Verdict, Error> {
    if !is_complete(tx, epoch)? {
        return Ok(Verdict::Incomplete);
    }
    let locked = blobs::lock(tx, &candidate.sha256)?;
    let is_same = locked.is_some_and(|blob| {
        blob.id == candidate.id && blob.generation == candidate.generation && blob.state == State::Present
    });
    if !is_same || is_held(tx, candidate)? {
        return Ok(Verdict::Spared);
    }
    let none: Option<i64> = None;
    set_state(tx, candidate, CONDEMNED, ("", none), now)
}

/// Condemned blobs by row after `after`, condemned before `condemned_before`.
///
/// # Errors
///
/// Failures of the index.
pub fn condemned(tx: &mut Tx<'_>, after: i64, condemned_before: Timestamp, limit: usize) -> Result<Vec<Blob>, Error> {
    blobs::in_state(tx, CONDEMNED, (after, condemned_before), limit)
}

/// Starts the deletion of a condemned blob's bytes, which must have ended by `deadline`
/// (consistency rule 5). Nobody may have touched it since it was read.
///
/// # Errors
///
/// Failures of the index.
pub fn begin_deleting(
    tx: &mut Tx<'_>,
    condemned: &Blob,
    epoch: i64,
    (owner, deadline): (&str, Timestamp),
    now: Timestamp,
) -> Result<Verdict, Error> {
    if !is_complete(tx, epoch)? {
        return Ok(Verdict::Incomplete);
    }
    let locked = blobs::lock(tx, &condemned.sha256)?;
    let is_same = locked.is_some_and(|blob| {
        blob.id == condemned.id && blob.generation == condemned.generation && blob.state == State::Condemned
    });
    if !is_same || is_held(tx, condemned)? {
        return Ok(Verdict::Spared);
    }
    set_state(tx, condemned, blobs::DELETING, (owner, Some(deadline.0)), now)
}

/// Ends a deletion: the bytes are gone. `false` if the row is not this owner's any more.
///
/// # Errors
///
/// Failures of the index.
pub fn finish_deleting(tx: &mut Tx<'_>, blob_id: i64, owner: &str) -> Result<bool, Error> {
    let deleted = tx.execute(
        "finish deleting a blob",
        "delete from blobs where id = ? and state = 3 and owner = ?",
        args![blob_id, owner],
    )?;
    Ok(deleted == 1)
}

/// Gives a deletion up: the bytes are still there, and present again after all.
///
/// # Errors
///
/// Failures of the index.
pub fn abandon_deleting(tx: &mut Tx<'_>, blob_id: i64, owner: &str, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "give up deleting a blob",
        "update blobs set state = ?, owner = null, deadline = null, state_at = ?, generation = generation + 1 \
         where id = ? and state = 3 and owner = ?",
        args![PRESENT, now, blob_id, owner],
    )?;
    Ok(changed == 1)
}

/// Takes over deletions whose deadline has passed: their owner died. Answers those that are this
/// owner's now; the generation is raised.
///
/// # Errors
///
/// Failures of the index.
pub fn take_over(
    tx: &mut Tx<'_>,
    (owner, deadline): (&str, Timestamp),
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Blob>, Error> {
    let taken = tx.all(
        "list overdue deletions",
        "select b.id, b.sha256, b.sha512, b.size, b.state, b.deadline, b.generation, b.state_at, b.touched_at \
         from blobs b where b.state = 3 and b.deadline < ? order by b.id limit ?",
        args![now, limit],
        blobs::blob,
    )?;
    for blob in &taken {
        set_state(tx, blob, blobs::DELETING, (owner, Some(deadline.0)), now)?;
    }
    Ok(taken)
}

fn is_complete(tx: &mut Tx<'_>, epoch: i64) -> Result<bool, Error> {
    let state = adoption::completeness(tx)?;
    Ok(state.is_complete && state.epoch == epoch)
}

fn is_held(tx: &mut Tx<'_>, blob: &Blob) -> Result<bool, Error> {
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

fn set_state(
    tx: &mut Tx<'_>,
    blob: &Blob,
    state: i64,
    (owner, deadline): (&str, Option<i64>),
    now: Timestamp,
) -> Result<Verdict, Error> {
    tx.execute(
        "change the state of a blob",
        "update blobs set state = ?, owner = ?, deadline = ?, state_at = ?, generation = generation + 1 where id = ?",
        args![state, owner, deadline, now, blob.id],
    )?;
    Ok(Verdict::Done)
}
