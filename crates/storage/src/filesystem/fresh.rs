//! What is not durable yet: new folders, and changes that wait for the next flush.

use std::{
    collections::{BTreeSet, HashMap},
    io, mem,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Locks even when another thread panicked while it held the lock: the data are sets of names,
/// whole after each step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folders that were made but whose name in their parent has not been synced yet. Whoever promises
/// that something below them is durable has to sync those parents too, whoever made the folder.
///
/// Folders are made and removed under the lock, so that nobody can use a new folder before it is
/// noted. Each carries a number, for a folder may go and come back while somebody syncs it.
#[derive(Debug, Default)]
pub(super) struct FreshFolders(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    folders: HashMap<PathBuf, u64>,
    last: u64,
}

/// A fresh folder as it was found.
pub(super) type Fresh = (PathBuf, u64);

impl FreshFolders {
    /// Makes a folder by `make` and notes it.
    pub(super) fn make(&self, folder: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut noted = lock(&self.0);
        make()?;
        noted.last += 1;
        let number = noted.last;
        noted.folders.insert(folder.to_owned(), number);
        Ok(())
    }

    /// Removes a folder by `remove` and forgets it.
    pub(super) fn remove(&self, folder: &Path, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut noted = lock(&self.0);
        remove()?;
        noted.folders.remove(folder);
        Ok(())
    }

    /// The fresh folders among the ancestors of `path`.
    pub(super) fn above(&self, path: &Path) -> Vec<Fresh> {
        let noted = lock(&self.0);
        if noted.folders.is_empty() {
            return Vec::new();
        }
        let fresh = |folder: &Path| Some((folder.to_owned(), *noted.folders.get(folder)?));
        path.ancestors().skip(1).filter_map(fresh).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Fresh> {
        lock(&self.0)
            .folders
            .iter()
            .map(|(folder, number)| (folder.clone(), *number))
            .collect()
    }

    /// Forgets those that have been synced since they were found.
    pub(super) fn forget(&self, synced: &[Fresh]) {
        let mut noted = lock(&self.0);
        for (folder, number) in synced {
            if noted.folders.get(folder) == Some(number) {
                noted.folders.remove(folder);
            }
        }
    }
}

/// The changes that wait for a flush.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Mutex<Changes>,
    /// One flush at a time, so that a ticket is never reported before its own flush has ended.
    pub(super) flushing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Changes {
    paths: BTreeSet<PathBuf>,
    last: u64,
}

impl Pending {
    /// Notes a finished change and gives it a number.
    pub(super) fn note(&self, paths: impl IntoIterator<Item = PathBuf>) -> u64 {
        let mut changes = lock(&self.changes);
        changes.paths.extend(paths);
        changes.last += 1;
        changes.last
    }

    /// Takes all changes so far and the number of the last one.
    pub(super) fn take(&self) -> (BTreeSet<PathBuf>, u64) {
        let mut changes = lock(&self.changes);
        (mem::take(&mut changes.paths), changes.last)
    }

    /// Gives back what could not be flushed.
    pub(super) fn restore(&self, paths: BTreeSet<PathBuf>) {
        lock(&self.changes).paths.extend(paths);
    }
}
