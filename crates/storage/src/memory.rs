//! The driver that keeps everything in the memory of the process: for tests and trials.

use crate::{
    Error, ErrorKind, Result,
    driver::{
        Appender, ByteStore, Detail, Durability, Entry, Fingerprint, Hold, Lister, Object, Probe, Reader, Removal,
        Stat, Ticket, Written,
    },
    paths::Location,
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Storage in memory. Cloning gives another handle to the same bytes.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Object>,
    /// Counts changes; stands for times and inode numbers.
    changes: i64,
    locks: BTreeSet<String>,
    folders: BTreeMap<String, i64>,
}

impl State {
    fn store(&mut self, path: &str, bytes: Bytes, inode: Option<u64>) -> Fingerprint {
        let is_new = !self.files.contains_key(path);
        let inode = inode.unwrap_or(self.changes.unsigned_abs() + 1);
        let fingerprint = self.replace(path, bytes, inode);
        if is_new {
            self.touch_folders(path);
        }
        fingerprint
    }

    fn replace(&mut self, path: &str, bytes: Bytes, inode: u64) -> Fingerprint {
        self.changes += 1;
        let fingerprint = Fingerprint {
            size: bytes.len() as u64,
            modified: self.changes,
            changed: self.changes,
            inode,
        };
        let object = Object { bytes, fingerprint };
        self.files.insert(path.to_owned(), object);
        fingerprint
    }

    /// Notes that an entry of the folder of `path` came, and makes the folders above it.
    fn touch_folders(&mut self, path: &str) {
        let mut rest = path;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if self.folders.insert(folder.to_owned(), self.changes).is_some() {
                break;
            }
            rest = folder;
        }
    }

    fn remove(&mut self, path: &str) -> Option<Object> {
        let removed = self.files.remove(path)?;
        self.changes += 1;
        self.touch_parent(path);
        Some(removed)
    }

    fn touch_parent(&mut self, path: &str) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folders.insert(folder.to_owned(), self.changes);
        }
    }

    fn has_entries(&self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        let range = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let is_below = |path: &String| path.starts_with(&prefix);
        self.files
            .range::<str, _>(range)
            .next()
            .is_some_and(|(path, _)| is_below(path))
            || self
                .folders
                .range::<str, _>(range)
                .next()
                .is_some_and(|(path, _)| is_below(path))
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        match self.files.get(path) {
            Some(object) => Some(Stat::File(object.fingerprint)),
            None => self
                .folders
                .get(path)
                .map(|modified| Stat::Folder { modified: *modified }),
        }
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        // The maps are whole after each statement, also when a thread panicked between two.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lock inside this process; `None` when it is taken.
    pub(crate) fn lock(&self, file: &Location) -> Option<MemoryLock> {
        let name = file.as_str().to_owned();
        let is_free = self.state().locks.insert(name.clone());
        is_free.then(|| MemoryLock {
            memory: self.clone(),
            name,
        })
    }
}

impl Memory {
    fn entries(&self, folder: &Location, links: Option<(&str, Detail)>) -> Vec<Entry> {
        let state = self.state();
        let prefix = format!("{folder}/");
        let direct = |path: &String| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let look = |name: &str| {
            let (suffix, detail) = links?;
            Some(match state.files.get(&format!("{prefix}{name}/{suffix}")) {
                None => Probe::Missing,
                Some(object) if detail == Detail::Stat => Probe::Stat(object.fingerprint),
                Some(object) => Probe::Object(object.clone()),
            })
        };
        let folders = state.folders.keys().filter_map(direct).map(|name| Entry {
            link: look(&name),
            name,
            is_folder: true,
            modified: 0,
        });
        let files = state.files.keys().filter_map(direct).map(|name| Entry {
            name,
            is_folder: false,
            link: None,
            modified: 0,
        });
        folders.chain(files).collect()
    }
}

/// A lock inside this process, held until it is dropped.
#[derive(Debug)]
pub struct MemoryLock {
    memory: Memory,
    name: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.memory.state().locks.remove(&self.name);
    }
}

impl ByteStore for Memory {
    fn name(&self) -> &'static str {
        "inmemory"
    }

    async fn get(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        match self.state().files.get(location.as_str()) {
            Some(object) if object.fingerprint.size > limit => Err(Error::new(ErrorKind::TooLarge, "read", location)),
            found => Ok(found.cloned()),
        }
    }

    async fn get_all(&self, locations: Vec<Location>, limit: u64) -> Result<Vec<Result<Option<Object>>>> {
        let mut found = Vec::with_capacity(locations.len());
        for location in &locations {
            found.push(self.get(location, limit).await);
        }
        Ok(found)
    }

    async fn stat(&self, location: &Location) -> Result<Option<Stat>> {
        Ok(self.state().stat(location.as_str()))
    }

    async fn stat_all(&self, locations: Vec<Location>) -> Result<Vec<Option<Stat>>> {
        let state = self.state();
        Ok(locations.iter().map(|location| state.stat(location.as_str())).collect())
    }

    async fn put(&self, location: &Location, bytes: Bytes, _: Durability) -> Result<Written> {
        let fingerprint = self.state().store(location.as_str(), bytes, None);
        Ok(Written {
            fingerprint,
            ticket: Ticket::default(),
        })
    }

    async fn open(&self, location: &Location) -> Result<Option<Reader>> {
        let state = self.state();
        let object = state.files.get(location.as_str());
        Ok(object.map(|object| Reader::of_memory(object.bytes.clone(), location.clone())))
    }

    async fn append(&self, location: &Location, offset: u64, _: Hold) -> Result<Appender> {
        let mut state = self.state();
        let bytes = match state.files.get(location.as_str()) {
            Some(object) if object.fingerprint.size < offset => {
                return Err(Error::new(ErrorKind::Corrupt, "resume", location));
            }
            Some(object) => object.bytes.slice(..offset as usize),
            None if offset == 0 => Bytes::new(),
            None => return Err(Error::new(ErrorKind::NotFound, "resume", location)),
        };
        state.store(location.as_str(), bytes, None);
        let (memory, location) = (self.clone(), location.clone());
        Ok(Appender::Memory(MemoryAppender { memory, location }))
    }

    async fn sync_content(&self, _: &Location) -> Result<()> {
        Ok(())
    }

    async fn sync(&self, _: &Location) -> Result<()> {
        Ok(())
    }

    async fn rename(&self, from: &Location, to: &Location, _: Hold) -> Result<()> {
        let mut state = self.state();
        let Some(object) = state.remove(from.as_str()) else {
            return Err(Error::new(ErrorKind::NotFound, "publish", from));
        };
        state.store(to.as_str(), object.bytes, Some(object.fingerprint.inode));
        Ok(())
    }

    async fn delete(&self, files: Vec<Removal>, _: Durability, _: Hold) -> Result<Ticket> {
        let mut state = self.state();
        for Removal { file, prune } in files {
            state.remove(file.as_str());
            let mut folder = file.parent();
            for _ in 0..prune {
                let Some(empty) = folder.filter(|folder| !state.has_entries(folder.as_str())) else {
                    break;
                };
                if state.folders.remove(empty.as_str()).is_some() {
                    state.touch_parent(empty.as_str());
                }
                folder = empty.parent();
            }
        }
        Ok(Ticket::default())
    }

    async fn delete_folder(&self, folder: &Location, _: Durability) -> Result<Ticket> {
        let mut state = self.state();
        let prefix = format!("{folder}/");
        state.files.retain(|path, _| !path.starts_with(&prefix));
        state.folders.retain(|path, _| !path.starts_with(&prefix));
        if state.folders.remove(folder.as_str()).is_some() {
            state.changes += 1;
            state.touch_parent(folder.as_str());
        }
        Ok(Ticket::default())
    }

    fn list(&self, folder: &Location) -> Lister {
        Lister::Memory(FolderLister::new(self.entries(folder, None)))
    }

    fn list_links(&self, folder: &Location, suffix: &'static str, detail: Detail) -> Lister {
        Lister::Memory(FolderLister::new(self.entries(folder, Some((suffix, detail)))))
    }

    async fn flush(&self) -> Result<Ticket> {
        Ok(Ticket::default())
    }
}

/// An object that grows.
#[derive(Debug)]
pub struct MemoryAppender {
    memory: Memory,
    location: Location,
}

impl MemoryAppender {
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.memory.state();
        let Some(object) = state.files.remove(self.location.as_str()) else {
            return Err(Error::new(ErrorKind::NotFound, "write", &self.location));
        };
        // Copies only when somebody reads the object now.
        let mut buffer = BytesMut::from(object.bytes);
        buffer.truncate(offset as usize);
        buffer.extend_from_slice(bytes);
        state.replace(self.location.as_str(), buffer.freeze(), object.fingerprint.inode);
        Ok(())
    }
}

/// The entries of one folder, all at once.
#[derive(Debug)]
pub struct FolderLister {
    entries: Option<Vec<Entry>>,
}

impl FolderLister {
    fn new(entries: Vec<Entry>) -> Self {
        Self { entries: Some(entries) }
    }

    pub(crate) fn next(&mut self) -> Option<Vec<Entry>> {
        self.entries.take().filter(|entries| !entries.is_empty())
    }
}
