//! From chunks to tables.

use super::chunk::{Cell, Chunk};
use super::tables::{self, Absent, Column, Holds, Kind, Table};
use crate::error::Kind as Failure;
use crate::value::{Value, args};
use crate::{Error, Tx};

/// Rows of one statement: few enough for every engine's limit of arguments.
const BATCH: usize = 50;

const OPERATION: &str = "load saved rows";

/// Tables whose first rows come with the schema: a row that is loaded replaces the one of its key.
const SEEDED: &[&str] = &["settings", "counters"];

/// Inserts the rows of a chunk. Columns that it does not have get what they would have had.
///
/// # Errors
///
/// [`Kind::Corrupt`](Failure::Corrupt) for tables and columns that this version does not know and
/// values that their columns cannot hold; [`Kind::Unique`](Failure::Unique) for rows that are there
/// already.
pub fn insert(tx: &mut Tx<'_>, chunk: &Chunk) -> Result<(), Error> {
    let table = loadable(chunk.table())?;
    let sources = sources(table, chunk)?;
    let rows: Vec<&[Cell]> = chunk.row_cells().collect();
    if SEEDED.contains(&table.name) {
        remove_seeds(tx, table, &sources, &rows)?;
    }
    let (many, one) = (statement(table, BATCH), statement(table, 1));
    let mut batches = rows.chunks_exact(BATCH);
    for batch in &mut batches {
        let values = values(table, &sources, batch)?;
        tx.execute(OPERATION, &many, &values)?;
    }
    for row in batches.remainder() {
        let values = values(table, &sources, std::slice::from_ref(row))?;
        tx.execute(OPERATION, &one, &values)?;
    }
    Ok(())
}

fn loadable(name: &str) -> Result<&'static Table, Error> {
    tables::find(name)
        .filter(|table| table.holds != Holds::Own)
        .ok_or_else(|| refused(format!("there is no table {name} in this version")))
}

fn refused(why: String) -> Error {
    Error::new(Failure::Corrupt, OPERATION, why)
}

/// For each column of the table where the chunk has it.
fn sources(table: &Table, chunk: &Chunk) -> Result<Vec<Option<usize>>, Error> {
    let is_known = |name: &String| table.columns.iter().any(|column| column.name == name);
    if let Some(unknown) = chunk.columns().iter().find(|name| !is_known(name)) {
        return Err(refused(format!(
            "the table {} has no column {unknown} in this version",
            table.name
        )));
    }
    let source = |column: &Column| {
        let found = chunk.columns().iter().position(|name| name == column.name);
        if found.is_none() && column.absent == Absent::Never {
            let (table, column) = (table.name, column.name);
            return Err(refused(format!(
                "the column {column} of the table {table} was not saved"
            )));
        }
        Ok(found)
    };
    table.columns.iter().map(source).collect()
}

fn statement(table: &Table, rows: usize) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let row = format!("({})", vec!["?"; names.len()].join(", "));
    let rows = vec![row; rows].join(", ");
    format!("insert into {} ({}) values {rows}", table.name, names.join(", "))
}

fn remove_seeds(tx: &mut Tx<'_>, table: &Table, sources: &[Option<usize>], rows: &[&[Cell]]) -> Result<(), Error> {
    let key = &table.columns[0];
    let sql = format!("delete from {} where {} = ?", table.name, key.name);
    for row in rows {
        tx.execute(OPERATION, &sql, &[value(table, key, sources[0], row)?])?;
    }
    Ok(())
}

fn values<'r>(table: &Table, sources: &[Option<usize>], rows: &[&'r [Cell]]) -> Result<Vec<Value<'r>>, Error> {
    let mut values = Vec::with_capacity(rows.len() * sources.len());
    for row in rows {
        for (column, source) in table.columns.iter().zip(sources) {
            values.push(value(table, column, *source, row)?);
        }
    }
    Ok(values)
}

fn value<'r>(table: &Table, column: &Column, source: Option<usize>, row: &'r [Cell]) -> Result<Value<'r>, Error> {
    let Some(cell) = source.and_then(|position| row.get(position)) else {
        return Ok(match column.absent {
            Absent::Int(value) => Value::Int(value),
            Absent::Text(text) => Value::Text(text),
            Absent::Null | Absent::Never => Value::Null,
        });
    };
    let fits = matches!(
        (cell, column.kind),
        (Cell::Null, _) | (Cell::Int(_), Kind::Int) | (Cell::Text(_), Kind::Text) | (Cell::Bytes(_), Kind::Bytes)
    );
    if !fits {
        let (table, column) = (table.name, column.name);
        return Err(refused(format!(
            "the column {column} of the table {table} cannot hold what was saved"
        )));
    }
    Ok(cell.value())
}

/// Whether nothing was ever kept here: tables that the schema or the first start fills do not count.
///
/// # Errors
///
/// Failures of the index.
pub fn is_empty(tx: &mut Tx<'_>) -> Result<bool, Error> {
    for table in loadable_tables().filter(|table| !SEEDED.contains(&table.name)) {
        let sql = format!("select 1 from {} limit 1", table.name);
        if tx.any("look whether the index is empty", &sql, args![])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes every row, except what belongs to this database alone.
///
/// # Errors
///
/// Failures of the index.
pub fn clear(tx: &mut Tx<'_>) -> Result<(), Error> {
    // what refers to a row goes before it
    let tables: Vec<&Table> = loadable_tables().filter(|table| table.name != "counters").collect();
    for table in tables.into_iter().rev() {
        tx.execute("empty the index", &format!("delete from {}", table.name), args![])?;
    }
    Ok(())
}

/// How many rows a table has.
///
/// # Errors
///
/// [`Kind::Corrupt`](Failure::Corrupt) for a table that this version does not know.
pub fn count(tx: &mut Tx<'_>, table: &str) -> Result<u64, Error> {
    let table = loadable(table)?;
    let sql = format!("select count(*) from {}", table.name);
    tx.count("count loaded rows", &sql, args![])
}

fn loadable_tables() -> impl Iterator<Item = &'static Table> {
    tables::TABLES.iter().filter(|table| table.holds != Holds::Own)
}
