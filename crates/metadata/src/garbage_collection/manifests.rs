//! Reviews of manifests: referrers whose subject is gone, and, where they go by themselves,
//! manifests without a tag (consistency rule 2).

use wharf_oci::Digest;

use super::queue::{Kind, Queued};
use super::{Pass, held};
use crate::manifests::Manifest;
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx, blobs};

/// A manifest that is due for a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueManifest {
    /// Where it is.
    pub repository_id: i64,
    sha256: Option<Digest>,
    queued: Queued,
}

/// What is to become of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Stays,
    /// The caller removes it in the same transaction.
    Goes(Box<Manifest>, Reason),
}

/// Why a manifest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The manifest that it refers to was here and is gone.
    SubjectGone,
    /// No tag has pointed to it for longer than such manifests stay.
    Untagged,
}

/// Manifests that are due, the longest left alone first; in the order of their digests.
///
/// # Errors
///
/// Failures of the index.
pub fn due(tx: &mut Tx<'_>, pass: &Pass, limit: usize) -> Result<Vec<DueManifest>, Error> {
    let untagged = untagged_cutoff(pass);
    let mut due = due_of(tx, Kind::Referrer, pass.cutoff(), limit)?;
    let rest = limit.saturating_sub(due.len());
    due.extend(due_of(tx, Kind::Untagged, untagged.unwrap_or(pass.now), rest)?);
    due.sort_unstable_by_key(|due| due.sha256);
    Ok(due)
}

fn due_of(tx: &mut Tx<'_>, kind: Kind, cutoff: Timestamp, limit: usize) -> Result<Vec<DueManifest>, Error> {
    tx.all(
        "list manifests to review",
        "select q.repository_id, q.target_id, q.since, m.sha256 from gc_queue q \
         left join manifests m on m.id = q.target_id where q.kind = ? and q.since <= ? order by q.since limit ?",
        args![kind.column(), cutoff, limit],
        |row| {
            let queued = Queued {
                kind,
                repository_id: row.int(0)?,
                target_id: row.int(1)?,
                since: row.time(2)?,
            };
            Ok(DueManifest {
                repository_id: queued.repository_id,
                sha256: row.opt_digest(3)?,
                queued,
            })
        },
    )
}

/// What was untagged at this time or before goes; `None` where such manifests stay.
fn untagged_cutoff(pass: &Pass) -> Option<Timestamp> {
    pass.untagged_after.map(|after| pass.now.plus(-after.max(pass.grace)))
}

/// Reviews one manifest, with its bytes' row locked until the transaction ends. `None` when
/// nothing may be collected.
///
/// # Errors
///
/// Failures of the index.
pub fn review(tx: &mut Tx<'_>, pass: &Pass, due: &DueManifest) -> Result<Option<Decision>, Error> {
    if !pass.is_allowed(tx)? {
        return Ok(None);
    }
    let queued = &due.queued;
    let Some(sha256) = &due.sha256 else {
        queued.settle(tx)?;
        return Ok(Some(Decision::Stays));
    };
    // a push of it, or of an index that lists it, holds this row
    blobs::lock(tx, sha256)?;
    let Some((manifest, subject_seen, left_at)) = find(tx, queued.target_id)? else {
        queued.settle(tx)?;
        return Ok(Some(Decision::Stays));
    };
    if is_held(tx, queued.repository_id, &manifest)? {
        queued.settle(tx)?;
        return Ok(Some(Decision::Stays));
    }
    let is_orphan = match &manifest.subject {
        None => None,
        Some(subject) => Some(subject_seen && !held::is_subject_here(tx, queued.repository_id, subject)?),
    };
    match (queued.kind, is_orphan) {
        (Kind::Referrer, Some(true)) => {
            queued.settle(tx)?;
            Ok(Some(Decision::Goes(Box::new(manifest), Reason::SubjectGone)))
        }
        (Kind::Untagged, None | Some(true)) => review_untagged(tx, pass, queued, (manifest, left_at)).map(Some),
        _ => {
            queued.settle(tx)?;
            Ok(Some(Decision::Stays))
        }
    }
}

fn review_untagged(
    tx: &mut Tx<'_>,
    pass: &Pass,
    queued: &Queued,
    (manifest, left_at): (Manifest, Option<Timestamp>),
) -> Result<Decision, Error> {
    let Some(cutoff) = untagged_cutoff(pass) else {
        queued.settle(tx)?;
        return Ok(Decision::Stays);
    };
    let since = manifest.pushed_at.max(left_at.unwrap_or(manifest.pushed_at));
    if since > cutoff {
        queued.postpone(tx, since)?;
        return Ok(Decision::Stays);
    }
    queued.settle(tx)?;
    Ok(Decision::Goes(Box::new(manifest), Reason::Untagged))
}

/// Whether a tag points to it, or can come back to it, or an index lists it.
fn is_held(tx: &mut Tx<'_>, repository_id: i64, manifest: &Manifest) -> Result<bool, Error> {
    Ok(held::is_tagged(tx, repository_id, manifest)?
        || held::is_child(tx, repository_id, &manifest.sha256, manifest.sha512.as_ref())?)
}

fn find(tx: &mut Tx<'_>, id: i64) -> Result<Option<(Manifest, bool, Option<Timestamp>)>, Error> {
    tx.one(
        "find a manifest to review",
        "select m.id, m.sha256, m.sha512, m.is_sha512, m.media_type, m.size, m.artifact_type, m.config_media_type, \
         m.subject, m.pushed_at, m.pushed_by, m.subject_seen, m.tag_left_at from manifests m where m.id = ?",
        args![id],
        |row: &Row<'_>| Ok((crate::manifests::manifest(row)?, row.bool(11)?, row.opt_time(12)?)),
    )
}
