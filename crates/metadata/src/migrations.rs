//! Schema steps, applied in order, each exactly once.
//!
//! A step has the same meaning on every engine. Each remembers how many steps a program must know
//! to work on the schema after it: a step that only adds (a table, a column with a default, an
//! index) keeps the number of the step before it, so that the previous version of Wharf goes on
//! working, and can be started again, on what the newer one has made.

pub(crate) mod mariadb;
pub(crate) mod postgresql;
pub(crate) mod server;
pub(crate) mod sqlite;

use sha2::{Digest as _, Sha256};

use crate::dialect::Dialect;
use crate::error::Kind;
use crate::value::args;
use crate::{Error, Tx};

/// One step of the schema. Its texts never change once released: their checksums are remembered.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// Counts from 1 without gaps.
    pub number: i64,
    pub name: &'static str,
    /// The steps that a program must know to work on the schema after this one: that of the step
    /// before for one that only adds, else this step's own number.
    pub needs: i64,
    pub sqlite: &'static str,
    pub postgresql: &'static str,
    pub mariadb: &'static str,
}

macro_rules! step {
    ($number:literal, $name:literal, needs $needs:literal, $file:literal) => {
        Step {
            number: $number,
            name: $name,
            needs: $needs,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgresql: include_str!(concat!("../migrations/postgresql/", $file)),
            mariadb: include_str!(concat!("../migrations/mariadb/", $file)),
        }
    };
}

/// All steps.
pub(crate) const STEPS: &[Step] = &[
    step!(1, "initial", needs 1, "0001_initial.sql"),
    step!(2, "jobs", needs 1, "0002_jobs.sql"),
    step!(3, "garbage_collection", needs 1, "0003_garbage_collection.sql"),
    step!(4, "verification", needs 1, "0004_verification.sql"),
    step!(5, "trash", needs 1, "0005_trash.sql"),
    step!(6, "replicas", needs 1, "0006_replicas.sql"),
];

const OPERATION: &str = "check the schema";

impl Step {
    const fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgresql => self.postgresql,
            Dialect::Mariadb => self.mariadb,
        }
    }

    fn checksum(&self, dialect: Dialect) -> String {
        Sha256::digest(self.sql(dialect))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A step as it was applied.
struct Applied {
    number: i64,
    name: String,
    checksum: String,
    version: String,
    needs: i64,
}

/// Which steps are still to be applied: none on a newer schema that this version can work on.
///
/// # Errors
///
/// [`Kind::NewerSchema`] when this version does not know enough steps, [`Kind::Corrupt`] when an
/// applied step was altered.
fn pending<'s>(tx: &mut Tx<'_>, steps: &'s [Step]) -> Result<&'s [Step], Error> {
    let dialect = tx.dialect();
    let applied = tx.all(
        OPERATION,
        "select step, name, checksum, applied_by, needs from schema_steps order by step",
        args![],
        |row| {
            Ok(Applied {
                number: row.int(0)?,
                name: row.text(1)?,
                checksum: row.text(2)?,
                version: row.text(3)?,
                needs: row.int(4)?,
            })
        },
    )?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if let Some(newer) = applied.iter().rev().find(|applied| applied.needs > known) {
        return Err(Error::new(
            Kind::NewerSchema,
            OPERATION,
            format!(
                "the index has schema {} ({}) of wharf {}, this version knows up to {known}: \
                 start the newer version, or restore a backup from before the upgrade",
                newer.number, newer.name, newer.version
            ),
        ));
    }
    for (step, applied) in steps.iter().zip(&applied) {
        if step.number != applied.number || step.checksum(dialect) != applied.checksum {
            return Err(Error::corrupt(
                OPERATION,
                format!(
                    "schema step {} ({}) differs from the one that was applied",
                    step.number, step.name
                ),
            ));
        }
    }
    Ok(&steps[applied.len().min(steps.len())..])
}

/// Notes that a step was applied.
fn record(tx: &mut Tx<'_>, step: &Step) -> Result<(), Error> {
    let checksum = step.checksum(tx.dialect());
    tx.execute(
        "record a schema step",
        "insert into schema_steps (step, name, checksum, applied_by, needs) values (?, ?, ?, ?, ?)",
        args![step.number, step.name, &checksum, env!("CARGO_PKG_VERSION"), step.needs],
    )?;
    Ok(())
}

/// The number of the newest step of this version.
pub(crate) fn newest() -> i64 {
    STEPS.last().map_or(0, |step| step.number)
}

/// Fails unless this version can read the index, for a process that stands by.
pub(crate) fn check_current(tx: &mut Tx<'_>) -> Result<(), Error> {
    match pending(tx, STEPS)? {
        [] => Ok(()),
        [step, ..] => Err(Error::new(
            Kind::Unavailable,
            OPERATION,
            format!(
                "schema step {} ({}) awaits the next owner of the index",
                step.number, step.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
