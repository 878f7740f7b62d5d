//! SQLite: one writer thread with group commit, many readers on the calling threads.

mod changes;
mod open;
mod readers;
pub(crate) mod statement;
mod writer;

use std::path::PathBuf;

pub use open::Checkpoint;
pub(crate) use open::{checkpoint, open_writer};
pub(crate) use readers::Readers;
pub(crate) use writer::{Job, Writer, job, stopped};

/// How to open an index in a file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database file; its folder must exist.
    pub path: PathBuf,
    /// How many idle read-only connections are kept. More are opened, and closed again, when
    /// more threads read at the same time.
    pub readers: usize,
    /// The page cache of each reader, in KiB.
    pub reader_cache_kib: u32,
    /// The page cache of the writer, in KiB.
    pub writer_cache_kib: u32,
    /// Whether this process owns the file or stands by.
    pub access: Access,
}

/// What this process may do with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It owns the index: it may create and migrate it, and write.
    Owner,
    /// It stands by: the file must exist with this version's schema; writes are refused.
    Standby,
}

impl Config {
    /// The defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            reader_cache_kib: 1024,
            writer_cache_kib: 2048,
            access: Access::Owner,
        }
    }

    /// The same, standing by.
    #[must_use]
    pub fn standby(mut self) -> Self {
        self.access = Access::Standby;
        self
    }
}

#[cfg(test)]
mod tests;
