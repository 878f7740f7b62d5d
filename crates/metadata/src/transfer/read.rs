//! From tables to chunks.

use super::chunk::{Cell, Chunk};
use super::tables::{Kind, Table};
use crate::value::{Row, Value};
use crate::{Error, Tx};

/// About how many bytes of rows a chunk holds at most; a single larger row is one of its own.
const BUDGET: usize = 1 << 20;
/// Rows that are asked for in one go.
const PAGE: usize = 1_000;
/// The same when rows are large.
const SMALL_PAGE: usize = 16;

const OPERATION: &str = "read a table as a whole";

/// Reads the rows of one table in the order of its key and hands them on in chunks.
pub(super) fn table<E: From<Error>>(
    tx: &mut Tx<'_>,
    table: &Table,
    hand_on: &mut dyn FnMut(Chunk) -> Result<(), E>,
) -> Result<(), E> {
    let mut last: Option<Vec<Cell>> = None;
    let mut limit = PAGE;
    loop {
        let page = page(tx, table, last.as_deref(), limit)?;
        if page.cells.is_empty() {
            return Ok(());
        }
        let width = table.columns.len();
        let last_row = &page.cells[page.cells.len() - width..];
        last = Some(last_row[..table.key].to_vec());
        limit = if page.is_cut { SMALL_PAGE } else { PAGE.min(limit * 4) };
        let columns = table.columns.iter().map(|column| column.name.to_owned()).collect();
        hand_on(Chunk::new(table.name, columns, page.cells))?;
    }
}

struct Page {
    cells: Vec<Cell>,
    /// Whether there were rows for which there was no room.
    is_cut: bool,
}

/// The next rows behind a key. On every engine each statement is a walk along the key: for
/// `(a, b) > (1, 2)` first the rows with `a = 1 and b > 2`, then those with `a > 1`.
fn page(tx: &mut Tx<'_>, table: &Table, after: Option<&[Cell]>, limit: usize) -> Result<Page, Error> {
    let mut page = Page {
        cells: Vec::new(),
        is_cut: false,
    };
    let Some(after) = after else {
        add(tx, table, "", &[], limit, &mut page)?;
        return Ok(page);
    };
    let width = table.columns.len();
    for equal in (0..table.key).rev() {
        let room = limit.saturating_sub(page.cells.len() / width);
        if room == 0 || page.is_cut {
            break;
        }
        let mut condition = String::from("where ");
        for column in &table.columns[..equal] {
            condition.push_str(column.name);
            condition.push_str(" = ? and ");
        }
        condition.push_str(table.columns[equal].name);
        condition.push_str(" > ? ");
        add(tx, table, &condition, &after[..=equal], room, &mut page)?;
    }
    Ok(page)
}

fn add(
    tx: &mut Tx<'_>,
    table: &Table,
    condition: &str,
    after: &[Cell],
    limit: usize,
    page: &mut Page,
) -> Result<(), Error> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let (columns, key) = (names.join(", "), names[..table.key].join(", "));
    let sql = format!("select {columns} from {} {condition}order by {key} limit ?", table.name);
    let mut args: Vec<Value<'_>> = after.iter().map(Cell::value).collect();
    args.push(limit.into());
    let mut size: usize = page.cells.iter().map(Cell::size).sum();
    let rows = tx.all(OPERATION, &sql, &args, |row| {
        if page.is_cut {
            return Ok(());
        }
        let start = page.cells.len();
        for (position, column) in table.columns.iter().enumerate() {
            let cell = cell(row, position, column.kind)?;
            size += cell.size();
            page.cells.push(cell);
        }
        if size > BUDGET && start > 0 {
            page.cells.truncate(start);
            page.is_cut = true;
        }
        Ok(())
    });
    rows.map(drop)
}

fn cell(row: &Row<'_>, position: usize, kind: Kind) -> Result<Cell, Error> {
    Ok(match kind {
        Kind::Int => row.opt_int(position)?.map_or(Cell::Null, Cell::Int),
        Kind::Text => row.opt_text(position)?.map_or(Cell::Null, Cell::Text),
        Kind::Bytes => row.opt_bytes(position)?.map_or(Cell::Null, Cell::Bytes),
    })
}
