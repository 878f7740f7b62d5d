//! Turns that processes take: work at a start that only one of several may do at a time.
//!
//! A lease is a row with a holder and an end. Whoever holds one renews it; one that has lapsed may
//! be taken by anybody. The times are those of the processes, whose clocks agree to some seconds.

use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// Takes a lease, or renews the one that the holder has. `false` while somebody else holds it.
///
/// # Errors
///
/// Failures of the index.
pub fn take(tx: &mut Tx<'_>, name: &str, holder: &str, (now, until): (Timestamp, Timestamp)) -> Result<bool, Error> {
    const OPERATION: &str = "take a lease";
    let found = tx.lock_one(
        OPERATION,
        "select holder, held_until from leases where name = ?",
        args![name],
        |row| Ok((row.text(0)?, row.time(1)?)),
    )?;
    let Some((former, held_until)) = found else {
        // of two that insert it the second one runs again
        tx.execute(
            OPERATION,
            "insert into leases (name, holder, held_until) values (?, ?, ?)",
            args![name, holder, until],
        )?;
        return Ok(true);
    };
    if former != holder && held_until > now {
        return Ok(false);
    }
    tx.execute(
        OPERATION,
        "update leases set holder = ?, held_until = ? where name = ?",
        args![holder, until, name],
    )?;
    Ok(true)
}

/// Gives a lease back; `false` if it is somebody else's by now.
///
/// # Errors
///
/// Failures of the index.
pub fn release(tx: &mut Tx<'_>, name: &str, holder: &str) -> Result<bool, Error> {
    let released = tx.execute(
        "release a lease",
        "delete from leases where name = ? and holder = ?",
        args![name, holder],
    )?;
    Ok(released == 1)
}
