//! The review queue: fed by the changes themselves, worked off by the collector.

use wharf_oci::Digest;

use crate::dialect::{Set, Upsert};
use crate::manifests::{Reference, ReferenceKind};
use crate::value::args;
use crate::{Error, Timestamp, Tx, blobs, manifests, settings};

/// What waits for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A repository's link of a blob.
    Link,
    /// A blob.
    Blob,
    /// A manifest whose subject may be gone.
    Referrer,
    /// A manifest that may be without a tag, where such manifests go by themselves.
    Untagged,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Link, Self::Blob, Self::Referrer, Self::Untagged];

    pub(super) const fn column(self) -> i64 {
        match self {
            Self::Link => 0,
            Self::Blob => 1,
            Self::Referrer => 2,
            Self::Untagged => 3,
        }
    }
}

/// A row of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) kind: Kind,
    pub(super) repository_id: i64,
    pub(super) target_id: i64,
    pub(super) since: Timestamp,
}

/// How much waits for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// When the first of them was last changed.
    pub oldest: Option<Timestamp>,
}

/// A manifest that is gone, for what it held.
#[derive(Clone, Copy, Debug)]
pub struct Gone<'a> {
    /// Where it was.
    pub repository_id: i64,
    /// The canonical name.
    pub sha256: &'a Digest,
    /// The other name, where it had one.
    pub sha512: Option<&'a Digest>,
    /// What it pointed to.
    pub references: &'a [Reference],
}

static ENQUEUE: Upsert = Upsert::new(
    "gc_queue",
    "kind, repository_id, target_id",
    "kind, repository_id, target_id, since",
    &[Set::Max("since")],
);

static ENQUEUE_NEW: Upsert = Upsert::new(
    "gc_queue",
    "kind, repository_id, target_id",
    "kind, repository_id, target_id, since",
    &[],
);

/// The setting that holds how long manifests without a tag stay, in microseconds, as text.
const UNTAGGED_AFTER: &str = "gc.untagged_after";

/// Queues a blob: something that held it may be gone.
///
/// # Errors
///
/// Failures of the index.
pub fn queue_blob(tx: &mut Tx<'_>, blob_id: i64, since: Timestamp) -> Result<(), Error> {
    enqueue(tx, (Kind::Blob, 0, blob_id), since)
}

/// Queues a link: it was made, or something that needs it may be gone.
pub(crate) fn queue_link(tx: &mut Tx<'_>, repository_id: i64, blob_id: i64, since: Timestamp) -> Result<(), Error> {
    enqueue(tx, (Kind::Link, repository_id, blob_id), since)
}

/// Queues a manifest that a tag or an index has let go of, or that came without a tag.
pub(crate) fn queue_manifest(
    tx: &mut Tx<'_>,
    repository_id: i64,
    manifest_id: i64,
    since: Timestamp,
) -> Result<(), Error> {
    let is_referrer = tx.any(
        "find a manifest that had a subject",
        "select 1 from manifests where id = ? and subject is not null and subject_seen = 1",
        args![manifest_id],
    )?;
    if is_referrer {
        enqueue(tx, (Kind::Referrer, repository_id, manifest_id), since)?;
    }
    queue_untagged(tx, repository_id, manifest_id, since)
}

/// The same for a manifest that is new: its subject cannot be gone yet.
pub(crate) fn queue_untagged(
    tx: &mut Tx<'_>,
    repository_id: i64,
    manifest_id: i64,
    since: Timestamp,
) -> Result<(), Error> {
    if untagged_after(tx)?.is_some() {
        enqueue(tx, (Kind::Untagged, repository_id, manifest_id), since)?;
    }
    Ok(())
}

/// Queues all that a manifest held, and what refers to it: for the transaction in which it goes,
/// be it from its repository or, later, from the trash.
///
/// # Errors
///
/// Failures of the index.
pub fn manifest_gone(tx: &mut Tx<'_>, gone: Gone<'_>, now: Timestamp) -> Result<(), Error> {
    references_gone(tx, gone.repository_id, gone.references, now)?;
    if let Some(bytes) = blobs::find(tx, gone.sha256)? {
        queue_blob(tx, bytes.id, now)?;
    }
    for name in std::iter::once(gone.sha256).chain(gone.sha512) {
        for id in referrers(tx, gone.repository_id, name)? {
            enqueue(tx, (Kind::Referrer, gone.repository_id, id), now)?;
        }
    }
    Ok(())
}

/// Queues what a manifest pointed to.
pub(crate) fn references_gone(
    tx: &mut Tx<'_>,
    repository_id: i64,
    references: &[Reference],
    now: Timestamp,
) -> Result<(), Error> {
    for reference in references {
        match reference.kind {
            ReferenceKind::Config | ReferenceKind::Layer => {
                if let Some(blob) = blobs::find(tx, &reference.digest)? {
                    queue_link(tx, repository_id, blob.id, now)?;
                }
            }
            ReferenceKind::Child => {
                if let Some(child) = manifests::head(tx, repository_id, &reference.digest)? {
                    queue_manifest(tx, repository_id, child.id, now)?;
                }
            }
        }
    }
    Ok(())
}

/// The rows of manifests that refer to a digest.
fn referrers(tx: &mut Tx<'_>, repository_id: i64, subject: &Digest) -> Result<Vec<i64>, Error> {
    tx.all(
        "list the referrers of a manifest that is gone",
        "select id from manifests where repository_id = ? and subject = ?",
        args![repository_id, subject],
        |row| row.int(0),
    )
}

/// How long manifests without a tag stay, in microseconds; `None` where they stay for ever.
///
/// # Errors
///
/// Failures of the index.
pub fn untagged_after(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    let text = settings::get_text(tx, UNTAGGED_AFTER)?;
    text.map(|text| {
        text.parse()
            .map_err(|_| Error::corrupt("read a setting", "gc.untagged_after is no number"))
    })
    .transpose()
}

/// Says how long manifests without a tag stay. Answers whether it was another time before: then
/// manifests that are untagged already are not queued, and only a sweep finds them.
///
/// # Errors
///
/// Failures of the index.
pub fn set_untagged_after(tx: &mut Tx<'_>, after: Option<i64>) -> Result<bool, Error> {
    if untagged_after(tx)? == after {
        return Ok(false);
    }
    match after {
        Some(after) => settings::set(tx, UNTAGGED_AFTER, after.to_string().as_bytes())?,
        None => settings::remove(tx, UNTAGGED_AFTER)?,
    }
    Ok(true)
}

/// How much waits. Costs its number: not for hot paths.
///
/// # Errors
///
/// Failures of the index.
pub fn waiting(tx: &mut Tx<'_>) -> Result<Vec<Waiting>, Error> {
    const OPERATION: &str = "count what waits for the collector";
    let mut waiting = Vec::new();
    for kind in Kind::ALL {
        let count = tx.count(
            OPERATION,
            "select count(*) from gc_queue where kind = ?",
            args![kind.column()],
        )?;
        let oldest = oldest(tx, kind)?;
        waiting.push(Waiting { kind, count, oldest });
    }
    Ok(waiting)
}

/// For each kind, when the first that waits was last changed.
///
/// # Errors
///
/// Failures of the index.
pub fn next(tx: &mut Tx<'_>) -> Result<Vec<(Kind, Timestamp)>, Error> {
    let mut next = Vec::new();
    for kind in Kind::ALL {
        next.extend(oldest(tx, kind)?.map(|since| (kind, since)));
    }
    Ok(next)
}

fn oldest(tx: &mut Tx<'_>, kind: Kind) -> Result<Option<Timestamp>, Error> {
    tx.one(
        "find what waits longest for the collector",
        "select since from gc_queue where kind = ? order by since limit 1",
        args![kind.column()],
        |row| row.time(0),
    )
}

/// When a thing that waits was last changed; `repository_id` is 0 for a blob.
///
/// # Errors
///
/// Failures of the index.
pub fn queued(tx: &mut Tx<'_>, (kind, repository_id, target_id): (Kind, i64, i64)) -> Result<Option<Timestamp>, Error> {
    tx.one(
        "find a queued review",
        "select since from gc_queue where kind = ? and repository_id = ? and target_id = ?",
        args![kind.column(), repository_id, target_id],
        |row| row.time(0),
    )
}

fn enqueue(tx: &mut Tx<'_>, (kind, repository_id, target): (Kind, i64, i64), since: Timestamp) -> Result<(), Error> {
    tx.upsert(
        "queue a review",
        &ENQUEUE,
        args![kind.column(), repository_id, target, since],
    )?;
    Ok(())
}

/// Queues what a sweep found; what waits already keeps its time.
pub(super) fn enqueue_found(
    tx: &mut Tx<'_>,
    (kind, repository_id, target): (Kind, i64, i64),
    since: Timestamp,
) -> Result<bool, Error> {
    let added = tx.upsert(
        "queue a review",
        &ENQUEUE_NEW,
        args![kind.column(), repository_id, target, since],
    )?;
    Ok(added == 1)
}

impl Queued {
    /// Its review is done, unless it has changed meanwhile.
    pub(super) fn settle(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.execute(
            "end a review",
            "delete from gc_queue where kind = ? and repository_id = ? and target_id = ? and since = ?",
            args![self.kind.column(), self.repository_id, self.target_id, self.since],
        )?;
        Ok(())
    }

    /// It is looked at again when it has been left alone since `since`, unless it has changed
    /// meanwhile.
    pub(super) fn postpone(&self, tx: &mut Tx<'_>, since: Timestamp) -> Result<(), Error> {
        tx.execute(
            "postpone a review",
            "update gc_queue set since = ? where kind = ? and repository_id = ? and target_id = ? and since = ?",
            args![
                since,
                self.kind.column(),
                self.repository_id,
                self.target_id,
                self.since
            ],
        )?;
        Ok(())
    }
}

/// Ends the review of something that is gone, whatever time it has.
pub(super) fn forget(tx: &mut Tx<'_>, (kind, repository_id, target): (Kind, i64, i64)) -> Result<(), Error> {
    tx.execute(
        "end a review",
        "delete from gc_queue where kind = ? and repository_id = ? and target_id = ?",
        args![kind.column(), repository_id, target],
    )?;
    Ok(())
}
