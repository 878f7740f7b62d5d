//! Blobs: the bytes under their sha256 digests, whatever repositories link them.
//!
//! Consistency rules 4 and 5: a row exists before its bytes do, and a push and the collector
//! meet on the row, never on a clock.

use wharf_oci::Digest;

use crate::value::{Row, Value, args};
use crate::{Error, Timestamp, Tx};

/// One blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its row; never used again for another.
    pub id: i64,
    /// The name of its bytes in storage.
    pub sha256: Digest,
    /// Its other name, where it is known.
    pub sha512: Option<Digest>,
    /// Its size in bytes.
    pub size: u64,
    /// What is true of its bytes.
    pub state: State,
    /// Raised by every change that a collector must notice.
    pub generation: i64,
    /// When the state last changed.
    pub state_at: Timestamp,
    /// When somebody last asked for it, roughly.
    pub touched_at: Timestamp,
    /// Until when somebody may be bringing the same bytes: they are not collected before.
    pub reserved_until: Option<Timestamp>,
}

/// What is true of a blob's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// They may be appearing; a crash may have left them half-way.
    Writing,
    /// They are there and stay.
    Present,
    /// They are there; the collector will delete them unless somebody asks for them.
    Condemned,
    /// They are being deleted by somebody, no longer than until the deadline.
    Deleting {
        /// When the deletion has ended at the latest.
        deadline: Timestamp,
    },
}

impl State {
    /// Whether bytes of this state may be served.
    pub const fn is_readable(self) -> bool {
        matches!(self, Self::Present | Self::Condemned)
    }
}

pub(crate) const WRITING: i64 = 0;
pub(crate) const PRESENT: i64 = 1;
pub(crate) const CONDEMNED: i64 = 2;
pub(crate) const DELETING: i64 = 3;

/// Who announces bytes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Who.
    pub owner: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Until when bytes that are there already are kept for the announcer.
    pub reserved_until: Timestamp,
    /// Deletions with an earlier deadline have ended, whoever was at them (consistency rule 5).
    pub ended_before: Timestamp,
}

/// What [`begin_writing`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Begin {
    /// Nobody had it: the bytes may be written.
    Fresh,
    /// Somebody else writes the same bytes, or crashed over it: write them too.
    Writing,
    /// The bytes are there already and are not collected for a while; a condemned blob was saved.
    Present,
    /// Somebody was deleting the bytes and must have ended: write them, and look whether they are
    /// there before they are promised.
    TakenOver,
    /// The bytes are being deleted: wait for the row to go, or for the deadline.
    Deleting {
        /// When the deletion has ended at the latest.
        deadline: Timestamp,
    },
}

/// A digest that [`lock_present`] could not promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The digest as it was asked for.
    pub digest: Digest,
    /// `None` when there is no row; else why the row does not do.
    pub state: Option<State>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select b.id, b.sha256, b.sha512, b.size, b.state, b.deadline, b.generation, b.state_at, b.touched_at ",
            "from blobs b ",
            $rest
        )
    };
}

/// The blob with a digest of either algorithm.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Blob>, Error> {
    tx.one("find a blob", by_digest(digest), args![digest], blob)
}

/// The blob with a row.
///
/// # Errors
///
/// Failures of the index.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<Blob>, Error> {
    tx.one("find a blob by its row", select!("where b.id = ?"), args![id], blob)
}

/// The bytes of a manifest.
///
/// # Errors
///
/// Failures of the index.
pub fn of_manifest(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Option<Blob>, Error> {
    tx.one(
        "find the bytes of a manifest",
        select!("join manifests m on m.sha256 = b.sha256 where m.id = ?"),
        args![manifest_id],
        blob,
    )
}

/// The blob with a digest, locked until the transaction ends.
pub(crate) fn lock(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Blob>, Error> {
    tx.lock_one("lock a blob", by_digest(digest), args![digest], blob)
}

const fn by_digest(digest: &Digest) -> &'static str {
    match digest {
        Digest::Sha256(_) => select!("where b.sha256 = ?"),
        Digest::Sha512(_) => select!("where b.sha512 = ?"),
    }
}

/// Announces bytes (sha256 digest and size each) before they appear in storage, in the order of
/// the answer. A condemned blob becomes present again.
///
/// # Errors
///
/// Failures of the index.
pub fn begin_writing(tx: &mut Tx<'_>, blobs: &[(Digest, u64)], writing: Writing<'_>) -> Result<Vec<Begin>, Error> {
    let mut begun = Vec::with_capacity(blobs.len());
    for (sha256, size) in blobs {
        begun.push(match lock(tx, sha256)? {
            None => {
                insert(tx, (sha256, None), *size, WRITING, writing.owner, writing.now)?;
                Begin::Fresh
            }
            Some(found) => begin_again(tx, &found, writing)?,
        });
    }
    Ok(begun)
}

fn begin_again(tx: &mut Tx<'_>, found: &Blob, writing: Writing<'_>) -> Result<Begin, Error> {
    const OPERATION: &str = "announce a blob again";
    match found.state {
        State::Deleting { deadline } if deadline >= writing.ended_before => Ok(Begin::Deleting { deadline }),
        State::Deleting { .. } | State::Writing => {
            tx.execute(
                OPERATION,
                "update blobs set state = ?, state_at = ?, owner = ?, deadline = null, generation = generation + 1 \
                 where id = ?",
                args![WRITING, writing.now, writing.owner, found.id],
            )?;
            Ok(match found.state {
                State::Writing => Begin::Writing,
                _ => Begin::TakenOver,
            })
        }
        State::Present | State::Condemned => {
            hold(tx, found.id, writing.now)?;
            tx.execute(
                OPERATION,
                "update blobs set deadline = ? where id = ?",
                args![writing.reserved_until, found.id],
            )?;
            Ok(Begin::Present)
        }
    }
}

/// Says that the bytes are durably in storage. `false` if there is no row that is being written
/// or present: the bytes were deleted meanwhile.
///
/// # Errors
///
/// [`Kind::Unique`](crate::error::Kind::Unique) if another blob has this sha512 digest.
pub fn set_present(tx: &mut Tx<'_>, sha256: &Digest, sha512: Option<&Digest>, now: Timestamp) -> Result<bool, Error> {
    let Some(found) = lock(tx, sha256)? else {
        return Ok(false);
    };
    if matches!(found.state, State::Deleting { .. }) {
        return Ok(false);
    }
    hold(tx, found.id, now)?;
    if found.reserved_until.is_some() {
        tx.execute(
            "end the reservation of a blob",
            "update blobs set deadline = null where id = ?",
            args![found.id],
        )?;
    }
    if let Some(sha512) = sha512.filter(|sha512| found.sha512 != Some(**sha512)) {
        tx.execute(
            "name a blob by its sha512",
            "update blobs set sha512 = ? where id = ?",
            args![sha512, found.id],
        )?;
    }
    Ok(true)
}

/// Records bytes that were found in storage; leaves a row that is there as it is, except that a
/// condemned one is present again. Answers the row's id.
///
/// # Errors
///
/// Failures of the index.
pub fn adopt(
    tx: &mut Tx<'_>,
    (sha256, sha512): (&Digest, Option<&Digest>),
    size: u64,
    now: Timestamp,
) -> Result<i64, Error> {
    match lock(tx, sha256)? {
        Some(found) => {
            if found.state == State::Condemned {
                hold(tx, found.id, now)?;
            }
            if let Some(sha512) = sha512.filter(|_| found.sha512.is_none()) {
                tx.execute(
                    "name a blob by its sha512",
                    "update blobs set sha512 = ? where id = ?",
                    args![sha512, found.id],
                )?;
            }
            Ok(found.id)
        }
        None => insert(tx, (sha256, sha512), size, PRESENT, "", now),
    }
}

fn insert(
    tx: &mut Tx<'_>,
    (sha256, sha512): (&Digest, Option<&Digest>),
    size: u64,
    state: i64,
    owner: &str,
    now: Timestamp,
) -> Result<i64, Error> {
    tx.insert(
        "record a blob",
        "insert into blobs (sha256, sha512, size, state, generation, owner, state_at, touched_at, created_at) \
         values (?, ?, ?, ?, 0, ?, ?, ?, ?)",
        args![sha256, sha512, size, state, owner, now, now, now],
    )
}

/// Makes a row present, whatever it was, and tells a collector that read it before. Somebody's
/// reservation stays.
fn hold(tx: &mut Tx<'_>, id: i64, now: Timestamp) -> Result<(), Error> {
    // the deadline first: MariaDB lets an assignment see those before it
    tx.execute(
        "hold a blob",
        "update blobs set deadline = case when state = 1 then deadline end, \
         state_at = case when state = 1 then state_at else ? end, state = 1, owner = null, \
         generation = generation + 1, touched_at = ? where id = ?",
        args![now, now, id],
    )?;
    Ok(())
}

/// Requires every blob to be present until the transaction ends, in the order of the digests, as
/// a manifest PUT and a mount must (consistency rule 4). Condemned blobs become present; every
/// generation is raised. Answers those that are not there; then the caller rolls back.
///
/// # Errors
///
/// Failures of the index.
pub fn lock_present(tx: &mut Tx<'_>, digests: &[Digest], now: Timestamp) -> Result<Vec<Absent>, Error> {
    let mut sorted = digests.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut absent = Vec::new();
    for digest in sorted {
        let found = lock(tx, &digest)?;
        match found {
            Some(blob) if blob.state.is_readable() => hold(tx, blob.id, now)?,
            other => absent.push(Absent {
                digest,
                state: other.map(|blob| blob.state),
            }),
        }
    }
    Ok(absent)
}

/// Notes that somebody asked for blobs, in a batch; returns condemned ones to present.
///
/// # Errors
///
/// Failures of the index.
pub fn touch(tx: &mut Tx<'_>, digests: &[Digest], now: Timestamp) -> Result<(), Error> {
    lock_present(tx, digests, now).map(drop)
}

/// Removes the row of bytes that will not come, unless they are there already. `true` if it was
/// removed.
///
/// # Errors
///
/// Failures of the index.
pub fn abandon_writing(tx: &mut Tx<'_>, sha256: &Digest) -> Result<bool, Error> {
    let removed = tx.execute(
        "abandon a blob",
        "delete from blobs where sha256 = ? and state = 0",
        args![sha256],
    )?;
    Ok(removed == 1)
}

/// Blobs that were being written, by id: what a crash may have left.
///
/// # Errors
///
/// Failures of the index.
pub fn writing(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Vec<Blob>, Error> {
    in_state(tx, WRITING, (after, ANY_TIME), limit)
}

/// Blobs that were being deleted, by id.
///
/// # Errors
///
/// Failures of the index.
pub fn deleting(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Vec<Blob>, Error> {
    in_state(tx, DELETING, (after, ANY_TIME), limit)
}

const ANY_TIME: Timestamp = Timestamp(i64::MAX);

/// Blobs in a state since before a time, by row after another.
pub(crate) fn in_state(
    tx: &mut Tx<'_>,
    state: i64,
    (after, since_before): (i64, Timestamp),
    limit: usize,
) -> Result<Vec<Blob>, Error> {
    tx.all(
        "list blobs by state",
        select!("where b.state = ? and b.id > ? and b.state_at < ? order by b.id limit ?"),
        args![state, after, since_before, limit],
        blob,
    )
}

/// All blobs by id, for reconciliation and verification.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Vec<Blob>, Error> {
    tx.all(
        "list blobs",
        select!("where b.id > ? order by b.id limit ?"),
        args![after, limit],
        blob,
    )
}

/// Blobs whose digest begins with a byte, by digest, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page_of_prefix(tx: &mut Tx<'_>, prefix: u8, after: Option<&Digest>, limit: usize) -> Result<Vec<Blob>, Error> {
    const SHA256: u8 = 1;
    let (first, next) = ([SHA256, prefix], [SHA256, prefix.wrapping_add(1)]);
    let end: &[u8] = if prefix == u8::MAX { &[SHA256 + 1] } else { &next };
    let after = after.map_or(Value::Bytes(&first), Value::from);
    tx.all(
        "list blobs by digest",
        select!("where b.sha256 > ? and b.sha256 < ? order by b.sha256 limit ?"),
        &[after, Value::Bytes(end), limit.into()],
        blob,
    )
}

pub(crate) fn blob(row: &Row<'_>) -> Result<Blob, Error> {
    let state = state(row, 4, 5)?;
    let reserved_until = match state {
        State::Deleting { .. } => None,
        _ => row.opt_time(5)?,
    };
    Ok(Blob {
        id: row.int(0)?,
        sha256: row.digest(1)?,
        sha512: row.opt_digest(2)?,
        size: row.size(3)?,
        state,
        reserved_until,
        generation: row.int(6)?,
        state_at: row.time(7)?,
        touched_at: row.time(8)?,
    })
}

/// A state from its column and that of its deadline.
pub(crate) fn state(row: &Row<'_>, state: usize, deadline: usize) -> Result<State, Error> {
    match row.int(state)? {
        WRITING => Ok(State::Writing),
        PRESENT => Ok(State::Present),
        CONDEMNED => Ok(State::Condemned),
        DELETING => Ok(State::Deleting {
            deadline: row.opt_time(deadline)?.unwrap_or_default(),
        }),
        _ => Err(row.corrupt("a blob state is unknown")),
    }
}
