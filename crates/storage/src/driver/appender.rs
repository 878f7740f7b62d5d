//! Adding bytes to the end of a file.

use crate::{Result, filesystem, memory};

/// A file that is open for adding bytes. Its writes block: they belong on a blocking thread.
#[derive(Debug)]
pub enum Appender {
    /// In a folder.
    Filesystem(filesystem::FileAppender),
    /// In memory.
    Memory(memory::MemoryAppender),
}

impl Appender {
    /// Writes `bytes` at `offset`, all or an error (after which some of them may have been written).
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Filesystem(appender) => appender.write(offset, bytes),
            Self::Memory(appender) => appender.write(offset, bytes),
        }
    }
}
