//! Numbers that are never used twice: history may speak of a row that is gone, and a new row must
//! not get its number.

use super::tables::{TABLES, Table};
use crate::dialect::Dialect;
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

/// Makes the engine go on behind these numbers. In a transaction of its own: on MariaDB it ends the
/// one that it is in.
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
    const OPERATION: &str = "read the last number of a table";
    let id = table.columns[0].name;
    let last = match tx.dialect() {
        Dialect::Sqlite => tx.one(
            OPERATION,
            "select seq from sqlite_sequence where name = ?",
            args![table.name],
            |row| row.int(0),
        ),
        Dialect::Postgresql => tx.one(
            OPERATION,
            "select coalesce(pg_sequence_last_value(cast(pg_get_serial_sequence(?, ?) as regclass)), 0)",
            args![table.name, id],
            |row| row.int(0),
        ),
        Dialect::Mariadb => tx.one(
            OPERATION,
            "select cast(coalesce(auto_increment, 1) as signed) - 1 from information_schema.tables \
             where table_schema = database() and table_name = ?",
            args![table.name],
            |row| row.int(0),
        ),
    };
    Ok(last?.unwrap_or_default())
}

fn set(tx: &mut Tx<'_>, table: &Table, value: i64) -> Result<(), Error> {
    const OPERATION: &str = "set the last number of a table";
    let (name, id) = (table.name, table.columns[0].name);
    match tx.dialect() {
        Dialect::Sqlite => set_sqlite(tx, name, value),
        Dialect::Postgresql => {
            let sql = "select setval(cast(pg_get_serial_sequence(?, ?) as regclass), ?)";
            tx.one(OPERATION, sql, args![name, id, value], |_| Ok(())).map(drop)
        }
        Dialect::Mariadb => {
            let sql = format!("alter table {name} auto_increment = {}", value.saturating_add(1));
            tx.execute(OPERATION, &sql, args![]).map(drop)
        }
    }
}

fn set_sqlite(tx: &mut Tx<'_>, table: &str, value: i64) -> Result<(), Error> {
    const OPERATION: &str = "set the last number of a table";
    let changed = tx.execute(
        OPERATION,
        "update sqlite_sequence set seq = ? where name = ?",
        args![value, table],
    )?;
    if changed == 0 {
        let sql = "insert into sqlite_sequence (name, seq) values (?, ?)";
        tx.execute(OPERATION, sql, args![table, value])?;
    }
    Ok(())
}
