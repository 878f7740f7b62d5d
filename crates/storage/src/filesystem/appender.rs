//! Adding bytes to the end of a file in a folder.

use super::{Tree, disk::Disk, fresh::lock, volume};
use crate::{Error, ErrorKind, Result, paths::Location};
use rustix::fs::OFlags;
use std::{fs::File, io, ops::Range, sync::Mutex};

/// Places, lengths and addresses of what is written past the page cache are multiples of this.
/// Disks ask for 512 or 4096.
const ALIGNMENT: usize = 4096;

/// Less is not worth a disk's answer: the page cache gathers it.
const LEAST: usize = 256 << 10;

/// A file that is open for adding bytes.
///
/// Its first bytes go through the page cache. Those behind the size that
/// [`Storage::caching`](crate::Storage::caching) sets go past it (O_DIRECT), but for what is not
/// aligned: a page of the file takes one of the two ways. Where the filesystem or the way it is
/// reached does not support that, everything goes through the cache.
#[derive(Debug)]
pub struct FileAppender {
    file: File,
    disk: Disk,
    location: Location,
    /// So many first bytes of the file go through the page cache.
    cached: u64,
    way: Mutex<Way>,
}

/// What the descriptor does, and may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nobody has tried to write past the page cache.
    Untried,
    /// Writes go past it now.
    Direct,
    /// Writes go through it now.
    Cached,
    /// Writes past it are refused.
    CachedOnly,
}

impl FileAppender {
    pub(super) fn open(tree: &Tree, location: Location, offset: u64, cached: u64) -> Result<Self> {
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
            cached,
            way: Mutex::new(Way::Untried),
        })
    }

    /// Writes all of `bytes`. They go past the page cache only if they lie in memory at the same
    /// step within a page as in the file.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut way = lock(&self.way);
        self.write_parts(&mut way, offset, bytes)
            .map_err(|error| Error::io("write", &self.location, error))
    }

    fn write_parts(&self, way: &mut Way, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let middle = self.direct_part(offset, bytes);
        if middle.is_empty() || !self.go_past_cache(way) {
            return self.write_cached(way, offset, bytes);
        }
        let (head, rest) = bytes.split_at(middle.start);
        let (middle, tail) = rest.split_at(middle.len());
        self.write_cached(way, offset, head)?;
        self.write_direct(way, offset + head.len() as u64, middle)?;
        self.write_cached(way, offset + (head.len() + middle.len()) as u64, tail)
    }

    /// The part of `bytes` that is to go past the page cache.
    fn direct_part(&self, offset: u64, bytes: &[u8]) -> Range<usize> {
        let start = offset.max(self.cached).checked_next_multiple_of(ALIGNMENT as u64);
        let end = (offset + bytes.len() as u64) / ALIGNMENT as u64 * ALIGNMENT as u64;
        let index = |place: u64| usize::try_from(place.saturating_sub(offset)).unwrap_or(usize::MAX);
        let part = index(start.unwrap_or(u64::MAX))..index(end);
        let is_aligned = (bytes.as_ptr().addr() % ALIGNMENT) as u64 == offset % ALIGNMENT as u64;
        if is_aligned && part.len() >= LEAST { part } else { 0..0 }
    }

    /// Makes the descriptor go past the page cache; whether it does.
    fn go_past_cache(&self, way: &mut Way) -> bool {
        if *way == Way::Untried && volume::is_remote(&self.file) {
            // The server would have to make each write durable before it answers.
            *way = Way::CachedOnly;
        }
        if matches!(way, Way::Untried | Way::Cached) {
            let is_accepted = rustix::fs::fcntl_setfl(&self.file, OFlags::DIRECT).is_ok();
            *way = if is_accepted { Way::Direct } else { Way::CachedOnly };
        }
        *way == Way::Direct
    }

    fn write_direct(&self, way: &mut Way, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.disk.write_direct(&self.file, offset, bytes)?;
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        self.write_cached(way, offset + written as u64, rest)?;
        *way = Way::CachedOnly;
        Ok(())
    }

    fn write_cached(&self, way: &mut Way, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if *way == Way::Direct {
            rustix::fs::fcntl_setfl(&self.file, OFlags::empty())?;
            *way = Way::Cached;
        }
        self.disk.write(&self.file, offset, bytes)
    }
}

#[cfg(test)]
mod tests;
