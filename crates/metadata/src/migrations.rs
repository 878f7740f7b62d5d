//! Schema steps, applied in order, each exactly once, all or none.

pub(crate) mod sqlite;

use sha2::{Digest as _, Sha256};

use crate::error::Kind;
use crate::value::args;
use crate::{Error, Tx};

/// One step of the schema. Its text never changes once released: its checksum is remembered.
pub(crate) struct Step {
    /// Counts from 1 without gaps.
    pub number: i64,
    pub name: &'static str,
    pub sql: &'static str,
}

const OPERATION: &str = "check the schema";

impl Step {
    fn checksum(&self) -> String {
        Sha256::digest(self.sql)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Which steps are still to be applied.
///
/// # Errors
///
/// [`Kind::NewerSchema`] when there are steps that this version does not know, [`Kind::Corrupt`]
/// when an applied step was altered.
fn pending<'s>(tx: &mut Tx<'_>, steps: &'s [Step]) -> Result<&'s [Step], Error> {
    let applied = tx.all(
        OPERATION,
        "select step, name, checksum, applied_by from schema_steps order by step",
        args![],
        |row| Ok((row.int(0)?, row.text(1)?, row.text(2)?, row.text(3)?)),
    )?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if let Some((number, name, _, version)) = applied.last()
        && *number > known
    {
        return Err(Error::new(
            Kind::NewerSchema,
            OPERATION,
            format!(
                "the index has schema {number} ({name}) of wharf {version}, this version knows up to {known}: \
                 start the newer version, or restore a backup from before the upgrade"
            ),
        ));
    }
    for (step, (number, _, checksum, _)) in steps.iter().zip(&applied) {
        if step.number != *number || step.checksum() != *checksum {
            return Err(Error::corrupt(
                OPERATION,
                format!(
                    "schema step {number} ({}) differs from the one that was applied",
                    step.name
                ),
            ));
        }
    }
    Ok(&steps[applied.len().min(steps.len())..])
}

/// Notes that a step was applied.
fn record(tx: &mut Tx<'_>, step: &Step) -> Result<(), Error> {
    tx.execute(
        "record a schema step",
        "insert into schema_steps (step, name, checksum, applied_by) values (?, ?, ?, ?)",
        args![step.number, step.name, &step.checksum(), env!("CARGO_PKG_VERSION")],
    )?;
    Ok(())
}

/// The number of the newest step of this version.
pub(crate) fn newest() -> i64 {
    sqlite::STEPS.last().map_or(0, |step| step.number)
}

/// Fails unless the index has exactly this version's schema, for a process that only reads.
pub(crate) fn check_current(tx: &mut Tx<'_>) -> Result<(), Error> {
    match pending(tx, sqlite::STEPS)? {
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
