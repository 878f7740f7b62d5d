//! What the system knows about the volume that the folder lies on.

use rustix::fs::FlockOperation;
use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// The volume that a storage folder lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The kind of network filesystem, such as `NFS`, or `None` on a local one. SQLite in WAL mode
    /// needs a local one (consistency rule 9).
    pub network: Option<&'static str>,
    /// Bytes that an ordinary user may still write.
    pub free: u64,
    /// Its size in bytes.
    pub total: u64,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
}

/// Magic numbers of statfs(2) whose filesystems are served over a network or by another process.
const NETWORK: [(u32, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x00c3_6400, "CephFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

impl Volume {
    /// Of the volume that holds `path`, or would hold it once it is made.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let Some(existing) = path.ancestors().find(|folder| folder.exists()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let found = rustix::fs::statvfs(existing)?;
        Ok(Self {
            network: network(&rustix::fs::statfs(existing)?),
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
            is_read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// Whether a file is served over a network or by another process, as far as the system tells.
pub(super) fn is_remote(file: &File) -> bool {
    rustix::fs::fstatfs(file).map_or(true, |found| network(&found).is_some())
}

fn network(found: &rustix::fs::StatFs) -> Option<&'static str> {
    // The type field is signed on some machines and wider than 32 bits on others.
    let kind = found.f_type as u32;
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// An exclusive lock on a file, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock on the file at `path`, which is made when it is missing; `None` when another
    /// process holds it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
