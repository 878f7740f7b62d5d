//! Rows of one table on their way, the same for every engine.

use crate::Error;
use crate::error::Kind as Failure;
use crate::value::Value;

/// Rows of one table with the names of their columns.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    table: String,
    columns: Vec<String>,
    /// All cells, row after row.
    cells: Vec<Cell>,
}

/// One value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

const DECODE: &str = "read saved rows";
const NULL: u8 = 0;
const INT: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

impl std::fmt::Debug for Chunk {
    /// Without the values: there are secrets among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("table", &self.table)
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

impl Cell {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(value) => Value::Int(*value),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }

    /// About how many bytes it takes.
    pub(crate) const fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Int(_) => 9,
            Self::Text(text) => 5 + text.len(),
            Self::Bytes(bytes) => 5 + bytes.len(),
        }
    }
}

impl Chunk {
    pub(crate) fn new(table: &str, columns: Vec<String>, cells: Vec<Cell>) -> Self {
        debug_assert!(!columns.is_empty() && cells.len().is_multiple_of(columns.len()));
        Self {
            table: table.to_owned(),
            columns,
            cells,
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How many rows these are.
    pub fn rows(&self) -> u64 {
        (self.cells.len() / self.columns.len().max(1)) as u64
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn row_cells(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks_exact(self.columns.len().max(1))
    }

    /// The bytes that [`Chunk::decode`] reads. Equal rows have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.cells.iter().map(Cell::size).sum();
        let mut bytes = Vec::with_capacity(size + 256);
        put(&mut bytes, self.table.as_bytes());
        put_count(&mut bytes, self.columns.len());
        for column in &self.columns {
            put(&mut bytes, column.as_bytes());
        }
        put_count(&mut bytes, self.cells.len());
        for cell in &self.cells {
            match cell {
                Cell::Null => bytes.push(NULL),
                Cell::Int(value) => {
                    bytes.push(INT);
                    bytes.extend_from_slice(&value.to_be_bytes());
                }
                Cell::Text(text) => {
                    bytes.push(TEXT);
                    put(&mut bytes, text.as_bytes());
                }
                Cell::Bytes(value) => {
                    bytes.push(BYTES);
                    put(&mut bytes, value);
                }
            }
        }
        bytes
    }

    /// Rows from the bytes that [`Chunk::encode`] made.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](Failure::Corrupt) for any others.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = Rest(bytes);
        let table = rest.text()?;
        let width = rest.count()?;
        let columns = (0..width).map(|_| rest.text()).collect::<Result<Vec<_>, _>>()?;
        let count = rest.count()?;
        if width == 0 || !count.is_multiple_of(width) {
            return Err(damaged("the number of values does not fit the columns"));
        }
        let cells = (0..count).map(|_| rest.cell()).collect::<Result<Vec<_>, _>>()?;
        if !rest.0.is_empty() {
            return Err(damaged("there is something behind the last row"));
        }
        Ok(Self { table, columns, cells })
    }
}

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    put_count(bytes, value.len());
    bytes.extend_from_slice(value);
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    // rows are smaller than 4 GiB on every engine; a longer one would be refused when it is read
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn damaged(why: &'static str) -> Error {
    Error::new(Failure::Corrupt, DECODE, why)
}

/// What is not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| damaged("the rows end too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| damaged("the rows end too early"))
    }

    /// A number of things of one byte and more that follow.
    fn count(&mut self) -> Result<usize, Error> {
        let count = u32::from_be_bytes(self.array()?) as usize;
        if count > self.0.len() {
            return Err(damaged("the rows end too early"));
        }
        Ok(count)
    }

    fn bytes(&mut self) -> Result<&'b [u8], Error> {
        let count = self.count()?;
        self.take(count)
    }

    fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| damaged("a text is not UTF-8"))
    }

    fn cell(&mut self) -> Result<Cell, Error> {
        let [kind] = self.array()?;
        match kind {
            NULL => Ok(Cell::Null),
            INT => Ok(Cell::Int(i64::from_be_bytes(self.array()?))),
            TEXT => self.text().map(Cell::Text),
            BYTES => Ok(Cell::Bytes(self.bytes()?.to_vec())),
            _ => Err(damaged("a value is of no known kind")),
        }
    }
}
