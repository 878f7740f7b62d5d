//! The handle that every function of a table group takes.

use crate::dialect::{Dialect, Upsert};
use crate::value::{Row, Value, args};
use crate::{Error, sqlite};

/// A connection inside a transaction, or for reading. Synchronous on every engine.
///
/// Every statement carries the name of what it does, for errors.
pub struct Tx<'c> {
    connection: Connection<'c>,
}

enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
}

impl<'c> Tx<'c> {
    pub(crate) const fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self {
            connection: Connection::Sqlite(connection),
        }
    }

    const fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs a statement; answers how many rows it changed.
    pub(crate) fn execute(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<u64, Error> {
        match self.connection {
            Connection::Sqlite(connection) => sqlite::statement::execute(connection, operation, sql, args),
        }
    }

    /// Inserts one row into a table whose key `id` is given by the engine; answers that key.
    pub(crate) fn insert(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<i64, Error> {
        match self.connection {
            Connection::Sqlite(connection) => {
                sqlite::statement::execute(connection, operation, sql, args)?;
                Ok(connection.last_insert_rowid())
            }
        }
    }

    /// Inserts a row or updates the one that has its key.
    pub(crate) fn upsert(
        &mut self,
        operation: &'static str,
        upsert: &Upsert,
        args: &[Value<'_>],
    ) -> Result<u64, Error> {
        self.execute(operation, upsert.sql(self.dialect()), args)
    }

    /// The statement that [`Self::upsert`] runs, for one row.
    pub(crate) fn upsert_sql<'u>(&self, upsert: &'u Upsert) -> &'u str {
        upsert.sql(self.dialect())
    }

    /// The first row of the answer.
    pub(crate) fn one<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.connection {
            Connection::Sqlite(connection) => sqlite::statement::one(connection, operation, sql, args, read),
        }
    }

    /// The first row of the answer, locked until the transaction ends (`for update`; on SQLite
    /// the one writer holds the lock already).
    pub(crate) fn lock_one<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.dialect() {
            Dialect::Sqlite => self.one(operation, sql, args, read),
        }
    }

    /// All rows of the answer; the statement must limit their number or be known to be short.
    pub(crate) fn all<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match self.connection {
            Connection::Sqlite(connection) => sqlite::statement::all(connection, operation, sql, args, read),
        }
    }

    /// Whether the answer has a row.
    pub(crate) fn any(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<bool, Error> {
        Ok(self.one(operation, sql, args, |_| Ok(()))?.is_some())
    }

    /// The number in the first column of the only row.
    pub(crate) fn count(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<u64, Error> {
        Ok(self.one(operation, sql, args, |row| row.size(0))?.unwrap_or_default())
    }

    /// The next number of a sequence: larger than all before it. A transaction that rolls back
    /// may give its numbers back. `sequence` is one of those that the migrations made.
    pub(crate) fn next(&mut self, sequence: &'static str) -> Result<i64, Error> {
        const OPERATION: &str = "take the next number of a sequence";
        match self.dialect() {
            Dialect::Sqlite => {
                self.execute(
                    OPERATION,
                    "update counters set value = value + 1 where name = ?",
                    args![sequence],
                )?;
                let value = self.one(
                    OPERATION,
                    "select value from counters where name = ?",
                    args![sequence],
                    |row| row.int(0),
                )?;
                value.ok_or_else(|| Error::corrupt(OPERATION, format!("sequence {sequence} is missing")))
            }
        }
    }
}
