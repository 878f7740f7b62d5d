//! Adding bytes to the end of a file in a folder.

use super::{Tree, disk::Disk};
use crate::{Error, ErrorKind, Result, paths::Location};
use bytes::Bytes;
use std::fs::File;

/// A file that is open for adding bytes.
#[derive(Debug)]
pub struct FileAppender {
    file: File,
    disk: Disk,
    location: Location,
}

impl FileAppender {
    pub(super) fn open(tree: &Tree, location: Location, offset: u64) -> Result<Self> {
        let fail = |error| Error::io("open for writing", &location, error);
        let file = tree.open_for_writing(&location, offset == 0).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        if size < offset {
            return Err(Error::because(
                ErrorKind::Corrupt,
                "resume",
                &location,
                format!("it holds {size} bytes and should hold at least {offset}"),
            ));
        }
        if size > offset {
            tree.disk.set_length(&file, offset).map_err(fail)?;
        }
        Ok(Self {
            file,
            disk: tree.disk.clone(),
            location,
        })
    }

    pub(crate) fn write(&self, offset: u64, chunks: &[Bytes]) -> Result<()> {
        self.disk
            .write(&self.file, offset, chunks)
            .map_err(|error| Error::io("write", &self.location, error))
    }
}
