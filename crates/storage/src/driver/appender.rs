//! Adding bytes to the end of a file.

use crate::{Result, filesystem, memory};
use bytes::Bytes;

/// A file that is open for adding bytes. Its writes block: they belong on a blocking thread.
#[derive(Debug)]
pub enum Appender {
    /// In a folder.
    Filesystem(filesystem::FileAppender),
    /// In memory.
    Memory(memory::MemoryAppender),
}

impl Appender {
    /// Writes `chunks` one after the other at `offset`, all or an error (after which some of them
    /// may have been written).
    pub fn write(&self, offset: u64, chunks: &[Bytes]) -> Result<()> {
        match self {
            Self::Filesystem(appender) => appender.write(offset, chunks),
            Self::Memory(appender) => appender.write(offset, chunks),
        }
    }
}
