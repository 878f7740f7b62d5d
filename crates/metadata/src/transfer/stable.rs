//! Chunks whose borders depend on the rows at them and on nothing else.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::chunk::{Cell, Chunk};

/// One row in so many ends its chunk.
const USUAL: u64 = 512;
/// Rows of a chunk at most.
const MOST: usize = 4_096;
/// About how many bytes of rows a chunk holds at most.
const BUDGET: usize = 1 << 20;

/// Puts the rows of one table together anew.
pub(super) struct Regroup {
    key: usize,
    open: Option<Open>,
}

/// A chunk that more rows may come to.
struct Open {
    table: String,
    columns: Vec<String>,
    cells: Vec<Cell>,
    size: usize,
}

impl Regroup {
    /// For a table whose first `key` columns are its key.
    pub(super) const fn new(key: usize) -> Self {
        Self { key, open: None }
    }

    pub(super) fn add<E>(&mut self, chunk: Chunk, hand_on: &mut impl FnMut(Chunk) -> Result<(), E>) -> Result<(), E> {
        for row in chunk.row_cells() {
            let open = self.open.get_or_insert_with(|| Open {
                table: chunk.table().to_owned(),
                columns: chunk.columns().to_vec(),
                cells: Vec::new(),
                size: 0,
            });
            open.cells.extend_from_slice(row);
            open.size += row.iter().map(Cell::size).sum::<usize>();
            let is_full = open.cells.len() >= MOST * row.len() || open.size >= BUDGET;
            if is_full || ends_here(&row[..self.key]) {
                self.finish(hand_on)?;
            }
        }
        Ok(())
    }

    /// Hands on what is left.
    pub(super) fn finish<E>(&mut self, hand_on: &mut impl FnMut(Chunk) -> Result<(), E>) -> Result<(), E> {
        match self.open.take() {
            Some(open) => hand_on(Chunk::new(&open.table, open.columns, open.cells)),
            None => Ok(()),
        }
    }
}

/// Whether the row with this key is the last of its chunk. Another version may draw other borders:
/// its chunks are then only not the same.
fn ends_here(key: &[Cell]) -> bool {
    let mut hasher = DefaultHasher::new();
    for cell in key {
        match cell {
            Cell::Null => 0_u8.hash(&mut hasher),
            Cell::Int(value) => value.hash(&mut hasher),
            Cell::Text(text) => text.hash(&mut hasher),
            Cell::Bytes(bytes) => bytes.hash(&mut hasher),
        }
    }
    hasher.finish().is_multiple_of(USUAL)
}
