//! The operations on a folder, blocking.

use super::{
    disk::Disk,
    fresh::{FreshFolders, Pending, lock},
};
use crate::{
    Error, Result,
    driver::{Durability, Fingerprint, Removal, Stat, Ticket, Written},
    paths::{self, Location},
};
use bytes::Bytes;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Up to so many changed files are synced one by one; more are cheaper with one syncfs: 100 new
/// links took 48 ms file by file and 3 ms with syncfs (ext4 on a virtio disk).
const FEW_FILES: usize = 2;

/// How often an operation begins anew when another one removes the folder under it.
const ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    pub(super) disk: Disk,
    fresh: FreshFolders,
    pending: Pending,
    next_temporary: AtomicU64,
    /// Whether the kernel answers "is this cached?" (openat2 with RESOLVE_CACHED, Linux 5.12).
    has_cached_lookup: AtomicBool,
}

impl Tree {
    pub(super) fn new(root: PathBuf, disk: Disk) -> Self {
        Self {
            root,
            disk,
            fresh: FreshFolders::default(),
            pending: Pending::default(),
            next_temporary: AtomicU64::new(1),
            has_cached_lookup: AtomicBool::new(true),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, location: &Location) -> PathBuf {
        self.root.join(location.as_str())
    }

    pub(super) fn open(&self, location: &Location) -> io::Result<Option<(File, Stat)>> {
        let Some(file) = present(File::open(self.path(location)))? else {
            return Ok(None);
        };
        let stat = stat_of(&file.metadata()?);
        Ok(Some((file, stat)))
    }

    pub(super) fn stat(&self, location: &Location) -> io::Result<Option<Stat>> {
        Ok(present(fs::metadata(self.path(location)))?.map(|metadata| stat_of(&metadata)))
    }

    /// Like [`open`](Self::open) but only when that does not wait for a disk; else `None`.
    pub(super) fn open_cached(&self, location: &Location) -> Option<io::Result<Option<(File, Stat)>>> {
        self.look_up(location, OFlags::RDONLY)
    }

    /// Like [`stat`](Self::stat) but only when that does not wait for a disk; else `None`.
    pub(super) fn stat_cached(&self, location: &Location) -> Option<io::Result<Option<Stat>>> {
        let answer = self.look_up(location, OFlags::PATH)?;
        Some(answer.map(|found| found.map(|(_, stat)| stat)))
    }

    fn look_up(&self, location: &Location, flags: OFlags) -> Option<io::Result<Option<(File, Stat)>>> {
        if !self.has_cached_lookup.load(Ordering::Relaxed) {
            return None;
        }
        let flags = flags | OFlags::CLOEXEC;
        let path = self.path(location);
        match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
            Ok(descriptor) => {
                let file = File::from(descriptor);
                Some(file.metadata().map(|metadata| Some((file, stat_of(&metadata)))))
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Some(Ok(None)),
            Err(rustix::io::Errno::AGAIN) => None,
            // An old kernel, or a sandbox that forbids the call: the slow way tells what is wrong.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {
                self.has_cached_lookup.store(false, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }

    pub(super) fn put(&self, location: &Location, bytes: &Bytes, durability: Durability) -> io::Result<Written> {
        let path = self.path(location);
        match self.put_over(&path, bytes, durability, false) {
            // Part of the tree is mounted from elsewhere: write beside the file.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.put_over(&path, bytes, durability, true)
            }
            outcome => outcome,
        }
    }

    fn put_over(&self, path: &Path, bytes: &Bytes, durability: Durability, is_beside: bool) -> io::Result<Written> {
        let beside = is_beside.then_some(path);
        let (temporary, file) = self.create_temporary(beside)?;
        let outcome = self.fill(&file, bytes, durability).and_then(|()| {
            self.in_folder(path, || self.disk.rename(&temporary, path))?;
            fingerprint_of(&file.metadata()?)
        });
        let fingerprint = match outcome {
            Ok(fingerprint) => fingerprint,
            Err(error) => {
                // The first error counts; a file that cannot be removed now is cleared at start.
                let _ = self.disk.remove_file(&temporary);
                return Err(error);
            }
        };
        let ticket = self.settle([path.to_owned()], durability)?;
        Ok(Written { fingerprint, ticket })
    }

    fn fill(&self, file: &File, bytes: &Bytes, durability: Durability) -> io::Result<()> {
        if !bytes.is_empty() {
            self.disk.write(file, 0, bytes)?;
        }
        if durability == Durability::Now {
            self.disk.sync_file(file)?;
        }
        Ok(())
    }

    /// Creates a file in the folder of temporary files, or beside `beside`.
    fn create_temporary(&self, beside: Option<&Path>) -> io::Result<(PathBuf, File)> {
        loop {
            let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
            let path = match beside {
                Some(path) => {
                    let mut name = path.file_name().unwrap_or_default().to_owned();
                    name.push(format!(".{number}.tmp"));
                    path.with_file_name(name)
                }
                None => self.path(&paths::temporaries()).join(number.to_string()),
            };
            match self.in_folder(&path, || self.disk.create(&path)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                outcome => return outcome.map(|file| (path, file)),
            }
        }
    }

    /// Opens a file for writing; with `is_new_allowed` a missing one is created.
    pub(super) fn open_for_writing(&self, location: &Location, is_new_allowed: bool) -> io::Result<File> {
        let path = self.path(location);
        match self.disk.open_for_writing(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_new_allowed => {
                self.in_folder(&path, || self.disk.create(&path))
            }
            outcome => outcome,
        }
    }

    pub(super) fn sync_content(&self, location: &Location) -> io::Result<()> {
        self.disk.sync_file(&File::open(self.path(location))?)
    }

    pub(super) fn sync(&self, location: &Location) -> io::Result<()> {
        self.sync_content(location)?;
        self.settle([self.path(location)], Durability::Now)?;
        Ok(())
    }

    /// Moves a file; its new name and new folders are durable afterwards.
    pub(super) fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        self.in_folder(&to, || self.disk.rename(&from, &to))?;
        self.settle([to], Durability::Now)?;
        Ok(())
    }

    pub(super) fn delete(&self, files: &[Removal], durability: Durability) -> Result<Ticket> {
        let mut changed = Vec::new();
        for Removal { file, prune } in files {
            let path = self.path(file);
            let fail = |error| Error::io("delete", file, error);
            let is_gone = present(self.disk.remove_file(&path)).map_err(fail)?.is_none();
            for folder in path.ancestors().skip(1).take(*prune) {
                if !self.remove_empty(folder).map_err(fail)? {
                    break;
                }
            }
            if !is_gone || *prune > 0 {
                changed.push(path);
            }
        }
        let fail = |error| Error::io("delete", "files", error);
        self.settle(changed, durability).map_err(fail)
    }

    /// Removes a folder unless something is in it; whether it is gone.
    fn remove_empty(&self, folder: &Path) -> io::Result<bool> {
        match self.fresh.remove(folder, || self.disk.remove_folder(folder)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            outcome => present(outcome).map(|_| true),
        }
    }

    pub(super) fn delete_folder(&self, folder: &Location, durability: Durability) -> io::Result<Ticket> {
        let path = self.path(folder);
        self.remove_all(&path)?;
        self.settle([path], durability)
    }

    fn remove_all(&self, folder: &Path) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(entries) = present(fs::read_dir(folder))? else {
                return Ok(());
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    self.remove_all(&entry.path())?;
                } else {
                    present(self.disk.remove_file(&entry.path()))?;
                }
            }
            match self.fresh.remove(folder, || self.disk.remove_folder(folder)) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                outcome => return present(outcome).map(|_| ()),
            }
        }
        Err(io::ErrorKind::DirectoryNotEmpty.into())
    }

    pub(super) fn make_parents(&self, location: &Location) -> io::Result<()> {
        self.in_folder(&self.path(location), || Ok(()))
    }

    /// Does `work` on `path`, making the folder that holds it when that is missing.
    fn in_folder<T>(&self, path: &Path, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let Some(folder) = path.parent() else { return work() };
        if !folder.is_dir() {
            self.make_folders(folder)?;
        }
        for _ in 0..ATTEMPTS {
            match work() {
                // Somebody removed the folder after it became empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_folders(folder)?;
                }
                outcome => return outcome,
            }
        }
        work()
    }

    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let mode = self.mode_of(folder);
            match self.fresh.make(folder, || self.disk.make_folder(folder, mode)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let Some(parent) = folder.parent() else {
                        return Err(error);
                    };
                    self.make_folders(parent)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {
                    return Ok(());
                }
                outcome => return outcome,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Our own folder holds password hashes and keys: nobody else reads it. Everything else is as
    /// open as the umask lets it be, so that another registry can take the folder over.
    fn mode_of(&self, folder: &Path) -> u32 {
        if folder == self.path(&paths::own()) {
            0o700
        } else {
            0o777
        }
    }

    /// Makes changed names durable, now or with the next flush.
    fn settle(&self, paths: impl IntoIterator<Item = PathBuf>, durability: Durability) -> io::Result<Ticket> {
        match durability {
            Durability::Lazy => Ok(Ticket::default()),
            Durability::Batched => Ok(Ticket(self.pending.note(paths))),
            Durability::Now => {
                self.sync_names(paths.into_iter().collect())?;
                Ok(Ticket::default())
            }
        }
    }

    /// Syncs the folders that hold `paths` and those that hold their fresh ancestors.
    fn sync_names(&self, paths: BTreeSet<PathBuf>) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        let mut settled = Vec::new();
        for path in paths {
            let fresh = self.fresh.above(&path);
            for entry in fresh.iter().map(|(folder, _)| folder).chain([&path]) {
                folders.extend(entry.parent().map(Path::to_owned));
            }
            settled.extend(fresh);
        }
        for folder in &folders {
            self.sync_nearest(folder)?;
        }
        self.fresh.forget(&settled);
        Ok(())
    }

    /// Syncs a folder, or the nearest one above it that still exists.
    fn sync_nearest(&self, folder: &Path) -> io::Result<()> {
        for folder in folder.ancestors() {
            if present(self.disk.sync_folder(folder))?.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn flush(&self) -> io::Result<Ticket> {
        let _flushing = lock(&self.pending.flushing);
        let (paths, last) = self.pending.take();
        let outcome = if paths.len() <= FEW_FILES {
            self.flush_each(&paths)
        } else {
            self.flush_filesystems(&paths)
        };
        match outcome {
            Ok(()) => Ok(Ticket(last)),
            Err(error) => {
                self.pending.restore(paths);
                Err(error)
            }
        }
    }

    fn flush_each(&self, paths: &BTreeSet<PathBuf>) -> io::Result<()> {
        for path in paths {
            if let Some(file) = present(File::open(path))? {
                self.disk.sync_file(&file)?;
            }
        }
        self.sync_names(paths.clone())
    }

    fn flush_filesystems(&self, paths: &BTreeSet<PathBuf>) -> io::Result<()> {
        let fresh = self.fresh.all();
        let mut filesystems: HashMap<u64, File> = HashMap::new();
        for path in paths {
            for folder in path.ancestors().skip(1) {
                if let Some(folder) = present(File::open(folder))? {
                    filesystems.entry(folder.metadata()?.dev()).or_insert(folder);
                    break;
                }
            }
        }
        for folder in filesystems.values() {
            self.disk.sync_filesystem(folder)?;
        }
        self.fresh.forget(&fresh);
        Ok(())
    }
}

/// Turns "there is nothing" into `None`.
pub(super) fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn stat_of(metadata: &Metadata) -> Stat {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
    if metadata.is_dir() {
        return Stat::Folder { modified };
    }
    Stat::File(Fingerprint {
        size: metadata.size(),
        modified,
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    })
}

fn fingerprint_of(metadata: &Metadata) -> io::Result<Fingerprint> {
    match stat_of(metadata) {
        Stat::File(fingerprint) => Ok(fingerprint),
        Stat::Folder { .. } => Err(io::ErrorKind::IsADirectory.into()),
    }
}
