//! Reviews of links and blobs, in batches of one transaction each.

use wharf_oci::Digest;

use super::queue::{Kind, Queued};
use super::{Pass, held, queue, queue_blob};
use crate::blobs::{self, Blob, CONDEMNED, DELETING, PRESENT, State};
use crate::links::Link;
use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// What a batch of link reviews came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// How many were looked at; fewer than the limit when no more are due.
    pub looked_at: usize,
    /// Those that are gone from the index; storage is to follow.
    pub removed: Vec<Removed>,
}

/// A link that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Where it was.
    pub repository_id: i64,
    /// What it was.
    pub link: Link,
}

/// What a batch of blob reviews came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blobs {
    /// How many were looked at; fewer than the limit when no more are due.
    pub looked_at: usize,
    /// How many are condemned now.
    pub condemned: usize,
    /// Those whose bytes are to be deleted now, before the deadline of the pass.
    pub deleting: Vec<Blob>,
}

/// Reviews links that are due, in the order of their digests; `None` when nothing may be
/// collected.
///
/// # Errors
///
/// Failures of the index.
pub fn review_links(tx: &mut Tx<'_>, pass: &Pass, limit: usize) -> Result<Option<Links>, Error> {
    if !pass.is_allowed(tx)? {
        return Ok(None);
    }
    let mut due = tx.all(
        "list links to review",
        "select q.repository_id, q.target_id, q.since, b.sha256 from gc_queue q left join blobs b on b.id = q.target_id \
         where q.kind = 0 and q.since <= ? order by q.since limit ?",
        args![pass.cutoff(), limit],
        |row| {
            let queued = Queued {
                kind: Kind::Link,
                repository_id: row.int(0)?,
                target_id: row.int(1)?,
                since: row.time(2)?,
            };
            Ok((row.opt_digest(3)?, queued))
        },
    )?;
    // as a push locks them
    due.sort_unstable_by_key(|(sha256, _)| *sha256);
    let mut reviewed = Links {
        looked_at: due.len(),
        removed: Vec::new(),
    };
    for (sha256, queued) in due {
        match sha256 {
            Some(sha256) => reviewed.removed.extend(review_one_link(tx, pass, &queued, &sha256)?),
            None => queued.settle(tx)?,
        }
    }
    Ok(Some(reviewed))
}

fn review_one_link(tx: &mut Tx<'_>, pass: &Pass, queued: &Queued, sha256: &Digest) -> Result<Option<Removed>, Error> {
    let Some(blob) = blobs::lock(tx, sha256)? else {
        queued.settle(tx)?;
        return Ok(None);
    };
    let found = tx.one(
        "find a link to review",
        "select is_alias, linked_at from repository_blobs where repository_id = ? and blob_id = ?",
        args![queued.repository_id, blob.id],
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
    let Some(link) = found else {
        queued.settle(tx)?;
        return Ok(None);
    };
    if held::is_link_needed(tx, queued.repository_id, &blob)? {
        queued.settle(tx)?;
        return Ok(None);
    }
    let alone_since = link.linked_at.max(blob.touched_at);
    if alone_since > pass.cutoff() {
        queued.postpone(tx, alone_since)?;
        return Ok(None);
    }
    tx.changes_repository(queued.repository_id);
    tx.execute(
        "remove an unneeded blob link",
        "delete from repository_blobs where repository_id = ? and blob_id = ?",
        args![queued.repository_id, blob.id],
    )?;
    queued.settle(tx)?;
    queue_blob(tx, blob.id, alone_since)?;
    Ok(Some(Removed {
        repository_id: queued.repository_id,
        link,
    }))
}

/// Reviews blobs that are due, in the order of their digests: condemns those that nothing holds,
/// and begins the deletion of those that were condemned a grace period ago. `None` when nothing
/// may be collected.
///
/// # Errors
///
/// Failures of the index.
pub fn review_blobs(tx: &mut Tx<'_>, pass: &Pass, limit: usize) -> Result<Option<Blobs>, Error> {
    if !pass.is_allowed(tx)? {
        return Ok(None);
    }
    let mut due = tx.all(
        "list blobs to review",
        "select q.target_id, q.since, b.sha256, b.generation from gc_queue q left join blobs b on b.id = q.target_id \
         where q.kind = 1 and q.since <= ? order by q.since limit ?",
        args![pass.cutoff(), limit],
        |row| {
            let queued = Queued {
                kind: Kind::Blob,
                repository_id: 0,
                target_id: row.int(0)?,
                since: row.time(1)?,
            };
            Ok((row.opt_digest(2)?, row.opt_int(3)?, queued))
        },
    )?;
    due.sort_unstable_by_key(|(sha256, ..)| *sha256);
    let mut reviewed = Blobs {
        looked_at: due.len(),
        ..Blobs::default()
    };
    for (sha256, generation, queued) in due {
        let locked = match sha256 {
            Some(sha256) => blobs::lock(tx, &sha256)?,
            None => None,
        };
        match locked {
            // a push came between; the next review sees it
            Some(blob) if generation != Some(blob.generation) => {}
            Some(blob) => review_one_blob(tx, pass, &queued, (blob, &mut reviewed))?,
            None => queued.settle(tx)?,
        }
    }
    Ok(Some(reviewed))
}

fn review_one_blob(
    tx: &mut Tx<'_>,
    pass: &Pass,
    queued: &Queued,
    (blob, reviewed): (Blob, &mut Blobs),
) -> Result<(), Error> {
    if held::is_blob_held(tx, &blob)? {
        if blob.state == State::Condemned {
            set_state(tx, &blob, PRESENT, ("", None), pass.now)?;
        }
        return queued.settle(tx);
    }
    let alone_since = match blob.state {
        // whoever deletes it queues it again if it does not go
        State::Deleting { .. } => return queued.settle(tx),
        State::Writing | State::Condemned => blob.state_at,
        State::Present => blob.touched_at,
    };
    let alone_since = alone_since.max(blob.reserved_until.unwrap_or(alone_since));
    if alone_since > pass.cutoff() {
        return queued.postpone(tx, alone_since);
    }
    if blob.state == State::Condemned {
        set_state(tx, &blob, DELETING, (&pass.owner, Some(pass.deadline)), pass.now)?;
        reviewed.deleting.push(blob);
        return queued.settle(tx);
    }
    // bytes that a crash or a refused push has left half-way go the same way
    set_state(tx, &blob, CONDEMNED, ("", None), pass.now)?;
    reviewed.condemned += 1;
    queued.postpone(tx, pass.now)
}

/// Queues rows of bytes that somebody began to write before `before` and never finished; answers
/// how many there are.
///
/// # Errors
///
/// Failures of the index.
pub fn queue_stale_writing(tx: &mut Tx<'_>, before: Timestamp, limit: usize) -> Result<usize, Error> {
    let stale = blobs::in_state(tx, blobs::WRITING, (0, before), limit)?;
    for blob in &stale {
        queue::enqueue_found(tx, (Kind::Blob, 0, blob.id), blob.state_at)?;
    }
    Ok(stale.len())
}

/// Keeps a repository's link for who was told that the blob is there: as a push does. `false` if it is
/// not there any more.
///
/// # Errors
///
/// Failures of the index.
pub fn keep_link(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest, now: Timestamp) -> Result<bool, Error> {
    if !blobs::lock_present(tx, &[*digest], now)?.is_empty() {
        return Ok(false);
    }
    crate::links::is_linked(tx, repository_id, digest)
}

/// How many blobs are condemned.
///
/// # Errors
///
/// Failures of the index.
pub fn condemned(tx: &mut Tx<'_>) -> Result<u64, Error> {
    tx.count(
        "count condemned blobs",
        "select count(*) from blobs where state = ?",
        args![CONDEMNED],
    )
}

/// Whether bytes that were on their way, or a deletion, were left by somebody before a time.
///
/// # Errors
///
/// Failures of the index.
pub fn has_left_over(tx: &mut Tx<'_>, before: Timestamp) -> Result<bool, Error> {
    for state in [blobs::WRITING, DELETING] {
        if !blobs::in_state(tx, state, (0, before), 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends deletions: the bytes are gone. Rows that are not this owner's any more stay, and so do those
/// that something holds after all: what it holds is lost, which a pull will say. Answers how many
/// rows went.
///
/// # Errors
///
/// Failures of the index.
pub fn finish_deleting(tx: &mut Tx<'_>, blobs: &[Blob], owner: &str) -> Result<usize, Error> {
    let mut finished = 0;
    for blob in blobs {
        if held::is_blob_held(tx, blob)? {
            continue;
        }
        let deleted = tx.execute(
            "finish deleting a blob",
            "delete from blobs where id = ? and state = 3 and owner = ?",
            args![blob.id, owner],
        )?;
        if deleted == 1 {
            queue::forget(tx, (Kind::Blob, 0, blob.id))?;
            finished += 1;
        }
    }
    Ok(finished)
}

/// Gives deletions up: the bytes are still there, and present again; they are left alone until a
/// grace period after `until`. Answers how many rows were this owner's.
///
/// # Errors
///
/// Failures of the index.
pub fn abandon_deleting(
    tx: &mut Tx<'_>,
    blobs: &[Blob],
    owner: &str,
    (now, until): (Timestamp, Timestamp),
) -> Result<usize, Error> {
    let mut abandoned = 0;
    for blob in blobs {
        let changed = tx.execute(
            "give up deleting a blob",
            "update blobs set state = ?, owner = null, deadline = null, state_at = ?, touched_at = ?, \
             generation = generation + 1 where id = ? and state = 3 and owner = ?",
            args![PRESENT, now, now, blob.id, owner],
        )?;
        if changed == 1 {
            queue_blob(tx, blob.id, until)?;
            abandoned += 1;
        }
    }
    Ok(abandoned)
}

/// Takes over deletions whose deadline lies before `before`: their owner died or hangs. Answers
/// those that are this pass's now. `before` of [`Timestamp`]'s largest value takes all, for the
/// only process that can be working on the storage.
///
/// # Errors
///
/// Failures of the index.
pub fn deleting_overdue(tx: &mut Tx<'_>, pass: &Pass, before: Timestamp, limit: usize) -> Result<Vec<Blob>, Error> {
    let overdue = tx.all(
        "list overdue deletions",
        "select sha256 from blobs where state = 3 and deadline < ? order by sha256 limit ?",
        args![before, limit],
        |row| row.digest(0),
    )?;
    let mut taken = Vec::with_capacity(overdue.len());
    for sha256 in overdue {
        let locked = blobs::lock(tx, &sha256)?;
        let Some(blob) = locked.filter(|blob| matches!(blob.state, State::Deleting { deadline } if deadline < before))
        else {
            continue;
        };
        set_state(tx, &blob, DELETING, (&pass.owner, Some(pass.deadline)), pass.now)?;
        taken.push(blob);
    }
    Ok(taken)
}

fn set_state(
    tx: &mut Tx<'_>,
    blob: &Blob,
    state: i64,
    (owner, deadline): (&str, Option<Timestamp>),
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "change the state of a blob",
        "update blobs set state = ?, owner = ?, deadline = ?, state_at = ?, generation = generation + 1 where id = ?",
        args![state, owner, deadline, now, blob.id],
    )?;
    Ok(())
}
