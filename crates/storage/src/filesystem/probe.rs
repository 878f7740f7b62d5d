//! Looking at small files relative to an open folder, which saves the way from the root for each.

use super::tree::{present, stat_of};
use crate::driver::{Detail, Fingerprint, Object, Probe, Stat};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
};

/// Link files hold 71 or 135 bytes; what is longer is no link whatever follows.
const MOST_CONTENT: u64 = 4096;

/// Looks at the file `path` below `folder`.
pub(super) fn look(folder: &OwnedFd, path: &str, detail: Detail) -> io::Result<Probe> {
    let found = match detail {
        Detail::Stat => stat(folder, path).map(|found| found.map(Probe::Stat)),
        Detail::Content => read(folder, path).map(|found| found.map(Probe::Object)),
    };
    Ok(present(found)?.flatten().unwrap_or(Probe::Missing))
}

fn stat(folder: &OwnedFd, path: &str) -> io::Result<Option<Fingerprint>> {
    let found = rustix::fs::statat(folder, path, rustix::fs::AtFlags::empty())?;
    if !rustix::fs::FileType::from_raw_mode(found.st_mode).is_file() {
        return Ok(None);
    }
    let nanoseconds = |seconds: i64, rest: u64| seconds.saturating_mul(1_000_000_000).saturating_add_unsigned(rest);
    Ok(Some(Fingerprint {
        size: found.st_size.try_into().unwrap_or(0),
        modified: nanoseconds(found.st_mtime, found.st_mtime_nsec),
        changed: nanoseconds(found.st_ctime, found.st_ctime_nsec),
        inode: found.st_ino,
    }))
}

fn read(folder: &OwnedFd, path: &str) -> io::Result<Option<Object>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::openat(folder, path, flags, Mode::empty())?);
    let Stat::File(fingerprint) = stat_of(&file.metadata()?) else {
        return Ok(None);
    };
    let mut bytes = Vec::with_capacity(fingerprint.size.min(MOST_CONTENT) as usize + 1);
    file.by_ref().take(MOST_CONTENT).read_to_end(&mut bytes)?;
    Ok(Some(Object {
        bytes: bytes.into(),
        fingerprint,
    }))
}
