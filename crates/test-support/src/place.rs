//! Where a registry's files and its index are.
//!
//! `WHARF_TEST_INDEX` says what the indexes lie in: `sqlite`, which is the default, `postgresql` or
//! `mariadb`, for a run of the same tests on a server.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use wharf_metadata::sqlite::Config;
use wharf_metadata::{Location, Metadata};

use crate::databases::{Database, Kind};
use crate::{ManualClock, quick_folder};

/// Where a registry's files are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) root: Arc<TempDir>,
    pub(crate) index: Arc<Index>,
    pub(crate) clock: ManualClock,
    pub(crate) starts: u64,
}

/// A folder with an index in it, or beside a database that has it.
#[derive(Debug)]
pub(crate) struct Index {
    folder: TempDir,
    database: Option<Database>,
}

impl Index {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            folder: quick_folder(),
            database: kind().map(Kind::database),
        }
    }

    /// The same on a server, whatever else tests run on.
    pub(crate) fn on(kind: Kind) -> Self {
        Self {
            folder: quick_folder(),
            database: Some(kind.database()),
        }
    }

    /// What is no row.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A handle on it.
    pub(crate) fn open(&self) -> Metadata {
        let location = match &self.database {
            Some(database) => Location::parse(&database.url()).unwrap(),
            None => Location::Sqlite(Config::new(self.folder().join("index.db"))),
        };
        Metadata::open(location).unwrap()
    }

    /// Whether a transaction waits for another one. In a file the one that writes is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        let database = self.database.as_ref();
        database.is_none_or(|database| database.server().is_waiting(database.name()))
    }

    /// The same moment of it, while it is in use.
    pub(crate) fn copy(&self) -> Self {
        let folder = quick_folder();
        for entry in std::fs::read_dir(self.folder()).unwrap().flatten() {
            // the shared memory of the log is made anew from the log
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        Self {
            folder,
            database: self.database.as_ref().map(Database::copy),
        }
    }
}

/// Whether indexes lie on a server, where making one takes a second: for tests that make very many.
pub fn is_index_on_server() -> bool {
    kind().is_some()
}

fn kind() -> Option<Kind> {
    match std::env::var("WHARF_TEST_INDEX").as_deref() {
        Err(_) | Ok("sqlite") => None,
        Ok("postgresql") => Some(Kind::Postgresql),
        Ok("mariadb") => Some(Kind::Mariadb),
        Ok(other) => panic!("WHARF_TEST_INDEX is {other}, not sqlite, postgresql or mariadb"),
    }
}
