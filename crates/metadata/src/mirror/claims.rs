//! Whose turn it is to write an entry, where several processes do (consistency rule 3).
//!
//! A claim is a lease in the pending row. Whoever has it reads the committed state after that, makes
//! the storage equal to it and settles the version that it read. A claim that has lapsed may be
//! taken by anybody; but its holder may have a request under way that arrives late. So an entry that
//! was taken over stays pending until no such request can be left, and is written once more then.
//!
//! A row of version 0 is pending for nobody: it holds an entry still that somebody looks at.

use super::Pending;
use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Entry, Error, Timestamp, Tx};

/// Who claims, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The process, by a unique name.
    pub holder: &'a str,
    /// The time.
    pub now: Timestamp,
    /// When the claim lapses.
    pub until: Timestamp,
    /// When nothing can be under way any more that the holder of a lapsed claim has begun.
    pub again_at: Timestamp,
}

/// A row that was looked at under its lock.
struct Row {
    version: i64,
    claimed_by: Option<String>,
    claimed_until: Option<Timestamp>,
}

static HOLD: Upsert = Upsert::new(
    "mirror",
    "repository_id, entry",
    "repository_id, entry, version, claimed_by, claimed_until",
    &[Set::New("claimed_by"), Set::New("claimed_until")],
);

/// Claims those of `entries`, which are in order, that are pending, all or none of them. Answers
/// them, or `None` while somebody else has one.
///
/// # Errors
///
/// Failures of the index.
pub fn claim(
    tx: &mut Tx<'_>,
    repository_id: i64,
    entries: &[Entry],
    claim: Claim<'_>,
) -> Result<Option<Vec<Entry>>, Error> {
    let Some(rows) = look(tx, repository_id, entries, claim)? else {
        return Ok(None);
    };
    let mut claimed = Vec::new();
    for (entry, row) in entries.iter().zip(rows) {
        if let Some(row) = row {
            take(tx, (repository_id, entry), &row, claim)?;
            claimed.push(entry.clone());
        }
    }
    Ok(Some(claimed))
}

/// Claims all of `entries`, which are in order, whether they are pending or not, so that nobody
/// writes them. `false` while somebody else has one.
///
/// # Errors
///
/// Failures of the index.
pub fn hold(tx: &mut Tx<'_>, repository_id: i64, entries: &[Entry], claim: Claim<'_>) -> Result<bool, Error> {
    let Some(rows) = look(tx, repository_id, entries, claim)? else {
        return Ok(false);
    };
    for (entry, row) in entries.iter().zip(rows) {
        match row {
            Some(row) => take(tx, (repository_id, entry), &row, claim)?,
            None => {
                let (entry, none) = (entry.to_string(), 0_i64);
                let args = args![repository_id, &entry, none, claim.holder, claim.until];
                tx.upsert("hold an entry still", &HOLD, args)?;
            }
        }
    }
    Ok(true)
}

/// Locks and reads the rows; `None` when one is claimed by somebody else.
fn look(
    tx: &mut Tx<'_>,
    repository_id: i64,
    entries: &[Entry],
    claim: Claim<'_>,
) -> Result<Option<Vec<Option<Row>>>, Error> {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let row = tx.lock_one(
            "look at a pending entry",
            "select version, claimed_by, claimed_until from mirror where repository_id = ? and entry = ?",
            args![repository_id, &entry.to_string()],
            |row| {
                Ok(Row {
                    version: row.int(0)?,
                    claimed_by: row.opt_text(1)?,
                    claimed_until: row.opt_time(2)?,
                })
            },
        )?;
        if row.as_ref().is_some_and(|row| row.is_taken(claim)) {
            return Ok(None);
        }
        rows.push(row);
    }
    Ok(Some(rows))
}

impl Row {
    /// Whether somebody else has it.
    fn is_taken(&self, claim: Claim<'_>) -> bool {
        self.is_others(claim) && self.claimed_until.is_some_and(|until| until > claim.now)
    }

    fn is_others(&self, claim: Claim<'_>) -> bool {
        self.claimed_by.as_deref().is_some_and(|holder| holder != claim.holder)
    }
}

fn take(tx: &mut Tx<'_>, (repository_id, entry): (i64, &Entry), row: &Row, claim: Claim<'_>) -> Result<(), Error> {
    const OPERATION: &str = "claim a pending entry";
    tx.execute(
        OPERATION,
        "update mirror set claimed_by = ?, claimed_until = ? where repository_id = ? and entry = ?",
        args![claim.holder, claim.until, repository_id, &entry.to_string()],
    )?;
    // one that was only held still was not written
    if row.is_others(claim) && row.version > 0 {
        tx.execute(
            OPERATION,
            "update mirror set again_at = ? where repository_id = ? and entry = ?",
            args![claim.again_at, repository_id, &entry.to_string()],
        )?;
    }
    Ok(())
}

/// Ends a claim after the storage was made equal to `version`: forgets the entry, unless it has
/// changed since, was taken over, or has to be written once more later. `true` if it was forgotten.
///
/// # Errors
///
/// Failures of the index.
pub fn settle_claimed(
    tx: &mut Tx<'_>,
    repository_id: i64,
    entry: &Entry,
    version: i64,
    (holder, now): (&str, Timestamp),
) -> Result<bool, Error> {
    let settled = tx.execute(
        "settle a mirror version",
        "delete from mirror where repository_id = ? and entry = ? and version = ? and claimed_by = ? \
         and (again_at is null or again_at <= ?)",
        args![repository_id, &entry.to_string(), version, holder, now],
    )?;
    if settled == 0 {
        release(tx, repository_id, std::slice::from_ref(entry), holder)?;
    }
    Ok(settled == 1)
}

/// Gives claims back without having settled anything.
///
/// # Errors
///
/// Failures of the index.
pub fn release(tx: &mut Tx<'_>, repository_id: i64, entries: &[Entry], holder: &str) -> Result<(), Error> {
    const OPERATION: &str = "release a pending entry";
    for entry in entries {
        let entry = entry.to_string();
        tx.execute(
            OPERATION,
            "delete from mirror where repository_id = ? and entry = ? and version = 0 and claimed_by = ?",
            args![repository_id, &entry, holder],
        )?;
        tx.execute(
            OPERATION,
            "update mirror set claimed_by = null, claimed_until = null \
             where repository_id = ? and entry = ? and claimed_by = ?",
            args![repository_id, &entry, holder],
        )?;
    }
    Ok(())
}

/// Pending entries that anybody may claim now, in the order of repository and entry, after the one
/// given; also those that were held still by a process that died.
///
/// # Errors
///
/// Failures of the index.
pub fn claimable(
    tx: &mut Tx<'_>,
    after: Option<(i64, &Entry)>,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Pending>, Error> {
    const OPERATION: &str = "list what nobody mirrors";
    let (repository_id, entry) = after.map_or((i64::MIN, String::new()), |(id, entry)| (id, entry.to_string()));
    tx.all(
        OPERATION,
        "select repository_id, entry, version from mirror \
         where repository_id >= ? and (repository_id > ? or entry > ?) \
         and (claimed_by is null or claimed_until <= ?) and (again_at is null or again_at <= ?) \
         order by repository_id, entry limit ?",
        args![repository_id, repository_id, &entry, now, now, limit],
        |row| {
            Ok(Pending {
                repository_id: row.int(0)?,
                entry: Entry::parse(OPERATION, row.str(1)?)?,
                version: row.int(2)?,
            })
        },
    )
}
