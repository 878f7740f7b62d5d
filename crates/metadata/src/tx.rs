//! The handle that every function of a table group takes.

use crate::dialect::{Dialect, Upsert};
use crate::server::{Session, Want};
use crate::value::{Row, Value, args};
use crate::{Error, cache_versions, sqlite};

/// A connection inside a transaction, or for reading. Synchronous on every engine.
///
/// Every statement carries the name of what it does, for errors. A statement that fails ends its
/// transaction: the job must return the error.
pub struct Tx<'c> {
    connection: Connection<'c>,
}

enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Server(&'c mut Session),
}

impl<'c> Tx<'c> {
    pub(crate) const fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self {
            connection: Connection::Sqlite(connection),
        }
    }

    pub(crate) const fn server(session: &'c mut Session) -> Self {
        Self {
            connection: Connection::Server(session),
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match &self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Server(session) => session.dialect(),
        }
    }

    /// Runs a statement; answers how many rows it changed: those that it found, whether or not
    /// their values were others before.
    pub(crate) fn execute(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<u64, Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::statement::execute(connection, operation, sql, args),
            Connection::Server(session) => session.execute(operation, sql, args),
        }
    }

    /// Inserts one row into a table whose key `id` is given by the engine; answers that key.
    pub(crate) fn insert(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<i64, Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                sqlite::statement::execute(connection, operation, sql, args)?;
                Ok(connection.last_insert_rowid())
            }
            Connection::Server(session) => session.insert(operation, sql, args),
        }
    }

    /// Inserts a row or updates the one that has its key; answers 1, or 0 when a row that was
    /// there stays as it is.
    pub(crate) fn upsert(
        &mut self,
        operation: &'static str,
        upsert: &Upsert,
        args: &[Value<'_>],
    ) -> Result<u64, Error> {
        let changed = self.execute(operation, upsert.sql(self.dialect()), args)?;
        // MariaDB counts an update as two
        Ok(changed.min(1))
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
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::statement::one(connection, operation, sql, args, read),
            Connection::Server(session) => session.one(operation, sql, args, Want::One, read),
        }
    }

    /// The first row of the answer, locked until the transaction ends (`for update`; on SQLite
    /// the one writer holds the lock already). What was read without it may have changed by the
    /// time that the job goes on.
    pub(crate) fn lock_one<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::statement::one(connection, operation, sql, args, read),
            Connection::Server(session) => session.one(operation, sql, args, Want::Locked, read),
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
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::statement::all(connection, operation, sql, args, read),
            Connection::Server(session) => session.all(operation, sql, args, read),
        }
    }

    /// Says that something changes that processes remember of a repository: its tags, manifests or
    /// blob links.
    pub(crate) fn changes_repository(&mut self, repository_id: i64) {
        self.changes(cache_versions::shard_of(repository_id));
    }

    /// Says that something changes that processes remember: a shard of [`cache_versions`].
    pub(crate) fn changes(&mut self, shard: usize) {
        if let Connection::Server(session) = &mut self.connection {
            session.changes.change(shard);
        }
    }

    /// Says that what a statement writes is remembered by nobody, although it is in a table of which
    /// processes remember something.
    pub(crate) fn changes_nothing_remembered(&mut self) {
        if let Connection::Server(session) = &mut self.connection {
            session.changes.change_nothing();
        }
    }

    /// Keeps writers out until this transaction ends, and waits for those under way.
    pub(crate) fn exclude_writers(&mut self, operation: &'static str) -> Result<(), Error> {
        match &mut self.connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Server(session) => session.exclude_writers(operation),
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

    /// The next number of a sequence: larger than all that other transactions have committed, and
    /// given to one at a time. A transaction that rolls back gives its number back. `sequence` is
    /// one of those that the migrations made.
    pub(crate) fn next(&mut self, sequence: &'static str) -> Result<i64, Error> {
        const OPERATION: &str = "take the next number of a sequence";
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

    /// A number that a sequence has never given before, in no order between transactions: unlike
    /// [`Self::next`] it makes nobody wait on a server.
    pub(crate) fn unique(&mut self, sequence: &'static str) -> Result<i64, Error> {
        let at_hand = match &self.connection {
            Connection::Sqlite(_) => None,
            Connection::Server(session) => session.number(sequence),
        };
        match at_hand {
            Some(number) => Ok(number),
            None => self.next(sequence),
        }
    }
}
