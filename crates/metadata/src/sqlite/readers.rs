//! Read-only connections, one per thread that reads at the same time.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{Config, open, statement::translate};
use crate::{Error, Tx};

/// Idle connections, opened when they are needed first.
pub(crate) struct Readers {
    config: Config,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Reads one snapshot of the index on this thread.
    pub(crate) fn read<T, E: From<Error>>(&self, read: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::open_reader(&self.config)?,
        };
        run(&connection, "begin deferred")?;
        let answer = read(&mut Tx::sqlite(&connection));
        // a connection whose snapshot does not end is not used again
        if run(&connection, "commit").is_ok() {
            let mut idle = self.lock();
            if idle.len() < self.config.readers {
                idle.push(connection);
            }
        }
        answer
    }

    /// Closes the idle connections.
    pub(crate) fn clear(&self) {
        let connections = std::mem::take(&mut *self.lock());
        drop(connections);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // a panic elsewhere leaves whole connections in the list
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), Error> {
    let failed = |error| translate("read a snapshot of the database", error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.execute(()).map_err(failed)?;
    Ok(())
}
