//! Running statements: prepared once per connection, values bound without copying.

use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql};

use super::changes;
use crate::Error;
use crate::error::Kind;
use crate::value::{Cells, Row, Value};

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Digest(digest) => ValueRef::Blob(digest.as_bytes()),
        }))
    }
}

pub(crate) fn execute(
    connection: &Connection,
    operation: &'static str,
    sql: &str,
    args: &[Value<'_>],
) -> Result<u64, Error> {
    let mut statement = prepare(connection, operation, sql)?;
    changes::note(sql);
    let changed = statement
        .execute(rusqlite::params_from_iter(args))
        .map_err(|error| translate(operation, error))?;
    Ok(changed as u64)
}

pub(crate) fn one<T>(
    connection: &Connection,
    operation: &'static str,
    sql: &str,
    args: &[Value<'_>],
    read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut statement = prepare(connection, operation, sql)?;
    let mut rows = statement
        .query(rusqlite::params_from_iter(args))
        .map_err(|error| translate(operation, error))?;
    match rows.next().map_err(|error| translate(operation, error))? {
        Some(row) => read(&Row::new(operation, Cells::Sqlite(row))).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn all<T>(
    connection: &Connection,
    operation: &'static str,
    sql: &str,
    args: &[Value<'_>],
    mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = prepare(connection, operation, sql)?;
    let mut rows = statement
        .query(rusqlite::params_from_iter(args))
        .map_err(|error| translate(operation, error))?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(|error| translate(operation, error))? {
        answer.push(read(&Row::new(operation, Cells::Sqlite(row)))?);
    }
    Ok(answer)
}

fn prepare<'c>(connection: &'c Connection, operation: &'static str, sql: &str) -> Result<CachedStatement<'c>, Error> {
    connection
        .prepare_cached(sql)
        .map_err(|error| translate(operation, error))
}

/// The kind of one of SQLite's failures.
pub(crate) fn translate(operation: &'static str, error: rusqlite::Error) -> Error {
    let kind = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => Kind::NoSpace,
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Kind::ReadOnly,
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed => Kind::Unavailable,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Kind::Corrupt,
            ErrorCode::ConstraintViolation if is_unique(failure.extended_code) => Kind::Unique,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    };
    Error::new(kind, operation, error)
}

const fn is_unique(extended_code: i32) -> bool {
    matches!(
        extended_code,
        SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_ROWID
    )
}
