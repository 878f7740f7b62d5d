//! Opening connections, and checkpoints.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{Config, statement::translate};
use crate::error::Kind;
use crate::{Error, migrations};

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// Above this many pages (64 MiB) the writer checkpoints by itself, in case nobody else does.
const WRITER_CHECKPOINT_PAGES: u32 = 16_384;

/// Statements that stay prepared on a connection.
const PREPARED: usize = 128;

/// Opens the writing connection: creates the file when there is none, and migrates it.
pub(crate) fn open_writer(config: &Config) -> Result<Connection, Error> {
    const OPERATION: &str = "open the database for writing";
    let failed = |error| explain(OPERATION, &config.path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags).map_err(failed)?;
    prepare(&connection, config.writer_cache_kib).map_err(failed)?;
    migrations::sqlite::check(&connection)?;
    let mode: String = connection
        .query_row("pragma journal_mode = wal", (), |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(Error::new(
            Kind::Other,
            OPERATION,
            format!(
                "{}: the file system does not support a write-ahead log",
                config.path.display()
            ),
        ));
    }
    connection
        .execute_batch(&format!(
            "pragma synchronous = full; pragma foreign_keys = on; pragma journal_size_limit = {}; \
             pragma wal_autocheckpoint = {WRITER_CHECKPOINT_PAGES};",
            u64::from(WRITER_CHECKPOINT_PAGES) * 4096
        ))
        .map_err(failed)?;
    migrations::sqlite::run(&connection)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(config: &Config) -> Result<Connection, Error> {
    let failed = |error| explain("open the database for reading", &config.path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags).map_err(failed)?;
    prepare(&connection, config.reader_cache_kib).map_err(failed)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // without it SQLite plans a prepared statement anew whenever a value is bound that the plan may
    // depend on: that alone made a point read four times as expensive
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(&format!(
        "pragma cache_size = -{cache_kib}; pragma temp_store = memory;"
    ))
}

/// The failure with the file's name, which a person needs.
fn explain(operation: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let error = translate(operation, error);
    Error::new(error.kind(), operation, format!("{}: {error}", path.display()))
}

/// What a checkpoint found and did, in pages of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many pages the write-ahead log held.
    pub logged: u64,
    /// How many of them are in the database file now.
    pub copied: u64,
}

/// Copies the write-ahead log into the database file without making a writer or reader wait.
pub(crate) fn checkpoint(path: &Path) -> Result<Checkpoint, Error> {
    let failed = |error| explain("checkpoint the database", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection
        .execute_batch("pragma cache_size = -64; pragma synchronous = full;")
        .map_err(failed)?;
    let (logged, copied): (i64, i64) = connection
        .query_row("pragma wal_checkpoint(passive)", (), |row| {
            Ok((row.get(1)?, row.get(2)?))
        })
        .map_err(failed)?;
    let pages = |count| u64::try_from(count).unwrap_or_default();
    Ok(Checkpoint {
        logged: pages(logged),
        copied: pages(copied),
    })
}
