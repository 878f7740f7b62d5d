//! The index as a stream of rows, the same for every engine: for backups, for snapshots, and to
//! move from one engine to another.
//!
//! Reading takes one snapshot of the index and bounded memory. What goes along depends on the
//! [`Purpose`]; `transfer/tables.rs` is the list.

mod chunk;
mod copy;
mod read;
mod restored;
mod sequences;
mod stable;
pub(crate) mod tables;
mod write;

pub use chunk::Chunk;
pub use copy::{Copied, copy};
pub use restored::settle;
pub use sequences::{sequences, set_sequences};
pub use write::{clear, count, insert, is_empty};

use crate::error::Kind;
use crate::{Error, Tx, migrations, settings};
use tables::{Holds, TABLES};

/// What the rows are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Another engine goes on where this one stops: everything.
    Move,
    /// A file that may be read much later: without pending work and sessions, which mean nothing
    /// then, or harm.
    Backup,
    /// What the storage cannot rebuild.
    Snapshot,
}

impl Purpose {
    const fn takes(self, holds: Holds) -> bool {
        match (self, holds) {
            (_, Holds::Own) | (Self::Backup | Self::Snapshot, Holds::Passing) | (Self::Snapshot, Holds::Derived) => {
                false
            }
            (_, Holds::Rights | Holds::Records | Holds::Counts | Holds::Derived | Holds::Passing) => true,
        }
    }
}

/// Transactions that changed what the storage cannot rebuild, counted: equal counts mean that nothing
/// was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who may do what: accounts, projects, keys, settings.
    pub rights: u64,
    /// The rest: names, history, trash, the audit log.
    pub records: u64,
}

/// Reads everything that `purpose` takes along, in an order in which it can be inserted.
///
/// # Errors
///
/// Failures of the index, and what `hand_on` returns.
pub fn read<E: From<Error>>(
    tx: &mut Tx<'_>,
    purpose: Purpose,
    mut hand_on: impl FnMut(Chunk) -> Result<(), E>,
) -> Result<(), E> {
    for table in TABLES.iter().filter(|table| purpose.takes(table.holds)) {
        read::table(tx, table, &mut hand_on)?;
    }
    Ok(())
}

/// The same in chunks that begin and end at the same rows as long as these are there, so that a
/// change shows in few of them.
///
/// # Errors
///
/// As [`read`].
pub fn read_stable<E: From<Error>>(
    tx: &mut Tx<'_>,
    purpose: Purpose,
    mut hand_on: impl FnMut(Chunk) -> Result<(), E>,
) -> Result<(), E> {
    for table in TABLES.iter().filter(|table| purpose.takes(table.holds)) {
        let mut stable = stable::Regroup::new(table.key);
        read::table(tx, table, &mut |chunk| stable.add(chunk, &mut hand_on))?;
        stable.finish(&mut hand_on)?;
    }
    Ok(())
}

/// How many schema steps the index has: what [`check_step`] wants to know of what was saved.
///
/// # Errors
///
/// Failures of the index.
pub fn step(tx: &mut Tx<'_>) -> Result<i64, Error> {
    let step = tx.one(
        "read the schema's step",
        "select max(step) from schema_steps",
        crate::value::args![],
        |row| row.opt_int(0),
    )?;
    Ok(step.flatten().unwrap_or_default())
}

/// Refuses rows of a newer version.
///
/// # Errors
///
/// [`Kind::NewerSchema`].
pub fn check_step(step: i64) -> Result<(), Error> {
    let known = migrations::newest();
    if step > known {
        return Err(Error::new(
            Kind::NewerSchema,
            "check what was saved",
            format!(
                "it has schema {step}, this version knows up to {known}: use the version that saved it, or a newer one"
            ),
        ));
    }
    Ok(())
}

/// Marks an index that is being loaded.
const UNFINISHED: &str = "transfer.unfinished";

/// Where rows that are loaded come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Another index.
    Index,
    /// A backup.
    Backup,
    /// A snapshot in the storage: there to be loaded once more.
    Snapshot,
}

impl Origin {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Index => b"index",
            Self::Backup => b"backup",
            Self::Snapshot => b"snapshot",
        }
    }
}

/// Begins to load rows: the index counts as unfinished until [`finish`]. Without `force` it must
/// be empty.
///
/// # Errors
///
/// [`Kind::Unique`] when it is not empty.
pub fn begin(tx: &mut Tx<'_>, origin: Origin, force: bool) -> Result<(), Error> {
    mark(tx, origin, force)?;
    clear(tx)?;
    settings::set(tx, UNFINISHED, origin.as_bytes())
}

/// Marks an index as unfinished if it may be; answers whether it was so already.
fn mark(tx: &mut Tx<'_>, origin: Origin, force: bool) -> Result<bool, Error> {
    let was_marked = settings::get(tx, UNFINISHED)?.is_some();
    if !was_marked && !force && !is_empty(tx)? {
        return Err(Error::new(
            Kind::Unique,
            "begin to load saved rows",
            "the index is not empty",
        ));
    }
    settings::set(tx, UNFINISHED, origin.as_bytes())?;
    Ok(was_marked)
}

fn unmark(tx: &mut Tx<'_>) -> Result<(), Error> {
    settings::remove(tx, UNFINISHED)
}

/// Ends what [`begin`] began and [`set_sequences`] went on with, if every table has the rows that were counted when they were read.
///
/// # Errors
///
/// [`Kind::Corrupt`] when one has not.
pub fn finish(tx: &mut Tx<'_>, rows: &[(String, u64)]) -> Result<(), Error> {
    const OPERATION: &str = "finish loading saved rows";
    unmark(tx)?;
    for (table, expected) in rows {
        let found = count(tx, table)?;
        // the schema may have brought rows that an older version did not have
        let fits = found == *expected || table == "counters" && found > *expected;
        if !fits {
            let why = format!("the table {table} has {found} rows instead of {expected}");
            return Err(Error::new(Kind::Corrupt, OPERATION, why));
        }
    }
    Ok(())
}

/// What loading was begun from and never finished: such an index must not be served.
///
/// # Errors
///
/// Failures of the index.
pub fn unfinished(tx: &mut Tx<'_>) -> Result<Option<Origin>, Error> {
    let found = settings::get(tx, UNFINISHED)?;
    Ok(found.map(|value| {
        let all = [Origin::Index, Origin::Snapshot];
        let known = all.into_iter().find(|origin| origin.as_bytes() == value);
        known.unwrap_or(Origin::Backup)
    }))
}

#[cfg(test)]
mod tests;
