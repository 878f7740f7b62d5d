//! Who may write (consistency rule 9): the owner record with heartbeat and fencing number.
//!
//! A lock outside of the index decides who becomes owner; the record makes the decision
//! known, and its number stops a former owner that has not noticed.

use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// The owner record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Raised with every claim.
    pub fencing: i64,
    /// The process, by a unique name.
    pub holder: String,
    /// Where it runs, for a person.
    pub detail: String,
    /// When it claimed the index.
    pub claimed_at: Timestamp,
    /// When it last said that it lives.
    pub heartbeat_at: Timestamp,
    /// When it gave the index back.
    pub released_at: Option<Timestamp>,
}

/// The last owner; `None` if there never was one.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>) -> Result<Option<Owner>, Error> {
    tx.one(
        "find the owner",
        "select fencing, holder, detail, claimed_at, heartbeat_at, released_at from owner where id = 1",
        args![],
        owner,
    )
}

fn owner(row: &Row<'_>) -> Result<Owner, Error> {
    Ok(Owner {
        fencing: row.int(0)?,
        holder: row.text(1)?,
        detail: row.text(2)?,
        claimed_at: row.time(3)?,
        heartbeat_at: row.time(4)?,
        released_at: row.opt_time(5)?,
    })
}

/// Makes `holder` the owner with a new number. Called through `Metadata::claim`.
pub(crate) fn claim(tx: &mut Tx<'_>, holder: &str, detail: &str, now: Timestamp) -> Result<i64, Error> {
    const OPERATION: &str = "claim the index";
    tx.exclude_writers(OPERATION)?;
    // one that is not there cannot be locked: of two that insert it the second one runs again
    let Some(former) = locked_fencing(tx)? else {
        tx.execute(
            OPERATION,
            "insert into owner (id, fencing, holder, detail, claimed_at, heartbeat_at) values (1, 1, ?, ?, ?, ?)",
            args![holder, detail, now, now],
        )?;
        return Ok(1);
    };
    let fencing = former + 1;
    tx.execute(
        OPERATION,
        "update owner set fencing = ?, holder = ?, detail = ?, claimed_at = ?, heartbeat_at = ?, released_at = null \
         where id = 1",
        args![fencing, holder, detail, now, now],
    )?;
    Ok(fencing)
}

/// The number that the owner record holds, which stays until the transaction ends; 0 without a record.
pub(crate) fn fencing(tx: &mut Tx<'_>) -> Result<i64, Error> {
    Ok(locked_fencing(tx)?.unwrap_or_default())
}

fn locked_fencing(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    tx.lock_one(
        "check the owner",
        "select fencing from owner where id = 1",
        args![],
        |row| row.int(0),
    )
}

/// Says that the owner lives; `false` if somebody else owns the index.
///
/// # Errors
///
/// Failures of the index.
pub fn heartbeat(tx: &mut Tx<'_>, fencing: i64, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "renew the owner record",
        "update owner set heartbeat_at = ? where id = 1 and fencing = ?",
        args![now, fencing],
    )?;
    Ok(changed == 1)
}

/// Gives the index back, so that a process that stands by need not wait.
///
/// # Errors
///
/// Failures of the index.
pub fn release(tx: &mut Tx<'_>, fencing: i64, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "release the index",
        "update owner set released_at = ? where id = 1 and fencing = ?",
        args![now, fencing],
    )?;
    Ok(changed == 1)
}
