//! Numbers that are never used twice: history may speak of a row that is gone, and a new row must
//! not get its number.

use super::tables::{TABLES, Table};
use crate::value::args;
use crate::{Error, Tx};

/// The last number that the engine gave to a row of each table that it numbers.
///
/// # Errors
///
/// Failures of the index.
pub fn sequences(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>, Error> {
    let mut found = Vec::new();
    for table in numbered() {
        let last = last(tx, table)?;
        if last > 0 {
            found.push((table.name.to_owned(), last));
        }
    }
    Ok(found)
}

/// Makes the engine go on behind these numbers.
///
/// # Errors
///
/// Failures of the index.
pub fn set_sequences(tx: &mut Tx<'_>, sequences: &[(String, i64)]) -> Result<(), Error> {
    for table in numbered() {
        let given = sequences.iter().find(|(name, _)| name == table.name);
        let wanted = given.map_or(0, |(_, last)| *last);
        if wanted > last(tx, table)? {
            set(tx, table, wanted)?;
        }
    }
    Ok(())
}

fn numbered() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.is_numbered)
}

fn last(tx: &mut Tx<'_>, table: &Table) -> Result<i64, Error> {
    let last = tx.one(
        "read the last number of a table",
        "select seq from sqlite_sequence where name = ?",
        args![table.name],
        |row| row.int(0),
    );
    Ok(last?.unwrap_or_default())
}

fn set(tx: &mut Tx<'_>, table: &Table, value: i64) -> Result<(), Error> {
    const OPERATION: &str = "set the last number of a table";
    let changed = tx.execute(
        OPERATION,
        "update sqlite_sequence set seq = ? where name = ?",
        args![value, table.name],
    )?;
    if changed == 0 {
        tx.execute(
            OPERATION,
            "insert into sqlite_sequence (name, seq) values (?, ?)",
            args![table.name, value],
        )?;
    }
    Ok(())
}
