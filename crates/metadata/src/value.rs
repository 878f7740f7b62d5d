//! Values that go into statements and rows that come out, for any engine.

mod cells;

use rusqlite::types::ValueRef;
use wharf_oci::{Algorithm, Digest, RepositoryName, Tag};

use crate::{Error, Timestamp};

/// One argument of a statement.
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Digest(PackedDigest),
}

/// A digest as it is stored: one byte for the algorithm, then the hash. Packed digests sort as
/// their texts do.
pub(crate) struct PackedDigest {
    bytes: [u8; 65],
    length: usize,
}

const SHA256: u8 = 1;
const SHA512: u8 = 2;

impl PackedDigest {
    fn new(digest: &Digest) -> Self {
        let hash = digest.bytes();
        let mut bytes = [0; 65];
        bytes[0] = match digest.algorithm() {
            Algorithm::Sha256 => SHA256,
            Algorithm::Sha512 => SHA512,
        };
        bytes[1..=hash.len()].copy_from_slice(hash);
        Self {
            bytes,
            length: hash.len() + 1,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The digest that `bytes` hold.
fn unpack(bytes: &[u8]) -> Option<Digest> {
    let (algorithm, hash) = bytes.split_first()?;
    let algorithm = match *algorithm {
        SHA256 => Algorithm::Sha256,
        SHA512 => Algorithm::Sha512,
        _ => return None,
    };
    Digest::from_hash(algorithm, hash).ok()
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// Limits of a page.
impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.0)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Tag> for Value<'a> {
    fn from(value: &'a Tag) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'a> From<&'a RepositoryName> for Value<'a> {
    fn from(value: &'a RepositoryName) -> Self {
        Self::Text(value.as_str())
    }
}

impl From<&Digest> for Value<'_> {
    fn from(value: &Digest) -> Self {
        Self::Digest(PackedDigest::new(value))
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// `args![a, b]` is a slice of [`Value`]s.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Value::from($value)),*] };
}
pub(crate) use args;

/// One row of an answer. Columns count from 0.
pub(crate) struct Row<'r> {
    operation: &'static str,
    cells: Cells<'r>,
}

/// A row as its engine's library has it.
#[derive(Clone, Copy)]
pub(crate) enum Cells<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgresql(&'r sqlx::postgres::PgRow),
    Mariadb(&'r sqlx::mysql::MySqlRow),
}

impl<'r> Row<'r> {
    pub(crate) const fn new(operation: &'static str, cells: Cells<'r>) -> Self {
        Self { operation, cells }
    }

    /// A column that does not hold what it must hold.
    pub(crate) fn corrupt(&self, what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::corrupt(self.operation, what)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, Error> {
        self.opt_int(column)?.ok_or_else(|| self.corrupt("a number is missing"))
    }

    pub(crate) fn opt_int(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.cells {
            Cells::Sqlite(row) => row.get(column).map_err(|error| self.corrupt(error)),
            Cells::Postgresql(row) => cells::postgresql_int(row, column).map_err(|error| self.corrupt(error)),
            Cells::Mariadb(row) => cells::mariadb_int(row, column).map_err(|error| self.corrupt(error)),
        }
    }

    /// The bytes of a text or blob, without copying them.
    fn opt_raw(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        match self.cells {
            Cells::Sqlite(row) => match row.get_ref(column).map_err(|error| self.corrupt(error))? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
                ValueRef::Integer(_) | ValueRef::Real(_) => Err(self.corrupt("a text is a number")),
            },
            Cells::Postgresql(row) => cells::postgresql_bytes(row, column).map_err(|error| self.corrupt(error)),
            Cells::Mariadb(row) => cells::mariadb_bytes(row, column).map_err(|error| self.corrupt(error)),
        }
    }

    pub(crate) fn bool(&self, column: usize) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    /// A count or a size in bytes.
    pub(crate) fn size(&self, column: usize) -> Result<u64, Error> {
        u64::try_from(self.int(column)?).map_err(|_| self.corrupt("a size is negative"))
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, Error> {
        self.int(column).map(Timestamp)
    }

    pub(crate) fn opt_time(&self, column: usize) -> Result<Option<Timestamp>, Error> {
        Ok(self.opt_int(column)?.map(Timestamp))
    }

    /// A text, without copying it.
    pub(crate) fn str(&self, column: usize) -> Result<&str, Error> {
        self.opt_str(column)?.ok_or_else(|| self.corrupt("a text is missing"))
    }

    fn opt_str(&self, column: usize) -> Result<Option<&str>, Error> {
        self.opt_raw(column)?
            .map(|bytes| std::str::from_utf8(bytes).map_err(|error| self.corrupt(error)))
            .transpose()
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, Error> {
        self.str(column).map(str::to_owned)
    }

    pub(crate) fn opt_text(&self, column: usize) -> Result<Option<String>, Error> {
        Ok(self.opt_str(column)?.map(str::to_owned))
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.opt_raw(column)?;
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| self.corrupt("a value is missing"))
    }

    pub(crate) fn opt_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.opt_raw(column)?.map(<[u8]>::to_vec))
    }

    pub(crate) fn opt_digest(&self, column: usize) -> Result<Option<Digest>, Error> {
        match self.opt_raw(column)? {
            None => Ok(None),
            Some(bytes) => unpack(bytes)
                .map(Some)
                .ok_or_else(|| self.corrupt("a digest is malformed")),
        }
    }

    pub(crate) fn digest(&self, column: usize) -> Result<Digest, Error> {
        self.opt_digest(column)?
            .ok_or_else(|| self.corrupt("a digest is missing"))
    }

    pub(crate) fn name(&self, column: usize) -> Result<RepositoryName, Error> {
        self.str(column)?.parse().map_err(|error| self.corrupt(error))
    }

    pub(crate) fn tag(&self, column: usize) -> Result<Tag, Error> {
        self.str(column)?.parse().map_err(|error| self.corrupt(error))
    }
}
