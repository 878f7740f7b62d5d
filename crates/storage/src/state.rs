//! Our own small files, beside what other registries know.

use crate::{
    Error, Result,
    driver::{ByteStore, Driver, Durability, Kind},
    filesystem::{FolderLock, Volume},
    memory::MemoryLock,
    paths::{self, StateName},
};
use bytes::Bytes;
use std::path::PathBuf;

/// The largest state file.
const MOST_CONTENT: u64 = 16 << 20;

/// The small files under `wharf/`: the identity of the storage, the epoch, what cannot be derived
/// from the registry's own files (consistency rules 1, 11, 16).
#[derive(Clone, Debug)]
pub struct State {
    driver: Driver,
}

/// An exclusive lock, held until it is dropped or the process ends.
#[derive(Debug)]
#[expect(dead_code, reason = "the fields are there for their drop")]
pub struct StateLock(Held);

#[derive(Debug)]
#[expect(dead_code, reason = "the fields are there for their drop")]
enum Held {
    File(FolderLock),
    Memory(MemoryLock),
}

impl State {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver }
    }

    /// The content of a file, or `None` when it is not there.
    pub async fn read(&self, name: &StateName) -> Result<Option<Bytes>> {
        let object = self.driver.get(&paths::state(name), MOST_CONTENT).await?;
        Ok(object.map(|object| object.bytes))
    }

    /// Replaces the content of a file in one step; durable on return.
    pub async fn write(&self, name: &StateName, content: Bytes) -> Result<()> {
        self.driver.put(&paths::state(name), content, Durability::Now).await?;
        Ok(())
    }

    /// The same, durable with the next [`Links::flush`](crate::Links::flush).
    pub async fn write_batched(&self, name: &StateName, content: Bytes) -> Result<()> {
        let durability = Durability::Batched;
        self.driver.put(&paths::state(name), content, durability).await?;
        Ok(())
    }

    /// Removes a file; a missing one is no error. Durable with the next
    /// [`Links::flush`](crate::Links::flush).
    pub async fn remove_batched(&self, name: &StateName) -> Result<()> {
        self.remove_file(name, Durability::Batched).await
    }

    /// Removes a file; a missing one is no error. Durable on return.
    pub async fn remove(&self, name: &StateName) -> Result<()> {
        self.remove_file(name, Durability::Now).await
    }

    async fn remove_file(&self, name: &StateName, durability: Durability) -> Result<()> {
        let removal = crate::driver::Removal {
            file: paths::state(name),
            prune: 0,
        };
        self.driver.delete(vec![removal], durability, None).await?;
        Ok(())
    }

    /// The names of all files in the folder `name` below `wharf/`.
    pub async fn list(&self, folder: &StateName) -> Result<Vec<StateName>> {
        let mut lister = self.driver.list(&paths::state(folder));
        let mut names = Vec::new();
        while let Some(entries) = lister.next().await? {
            let files = entries.into_iter().filter(|entry| !entry.is_folder);
            names.extend(files.filter_map(|entry| StateName::new(&format!("{}/{}", folder.as_str(), entry.name))));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes the exclusive lock `name`; `None` when another process holds it.
    ///
    /// A bucket has no locks: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub async fn lock(&self, name: &StateName) -> Result<Option<StateLock>> {
        let file = paths::state(name);
        let held = match &self.driver.kind {
            Kind::Filesystem(driver) => driver.lock(&file).await?.map(Held::File),
            Kind::Memory(driver) => driver.lock(&file).map(Held::Memory),
            Kind::Objects(_) => return Err(Error::new(crate::ErrorKind::Unsupported, "lock", file)),
        };
        Ok(held.map(StateLock))
    }

    /// The folder `wharf/` as a path for files that other libraries open, such as a database or a
    /// socket; it is made when it is missing. `None` when the storage is not a local folder.
    pub async fn folder(&self) -> Result<Option<PathBuf>> {
        match &self.driver.kind {
            Kind::Filesystem(driver) => driver.own_folder().await.map(Some),
            Kind::Memory(_) | Kind::Objects(_) => Ok(None),
        }
    }

    /// The volume below the storage; `None` when it is not a local folder.
    pub async fn volume(&self) -> Result<Option<Volume>> {
        match &self.driver.kind {
            Kind::Filesystem(driver) => driver.volume().await.map(Some),
            Kind::Memory(_) | Kind::Objects(_) => Ok(None),
        }
    }

    /// Whether this process may write our own files, and read, with `writes` also write, the folders
    /// that images lie in. What is missing is no error, and no right is tried by using it; but in a
    /// bucket that is the only way: there everything is done once below `wharf/`, and the error names
    /// the right that is missing.
    pub async fn check_rights(&self, writes: bool) -> Result<()> {
        match &self.driver.kind {
            Kind::Filesystem(driver) => driver.check_rights(writes).await,
            Kind::Memory(_) => Ok(()),
            Kind::Objects(driver) => driver.check_rights(writes).await,
        }
    }

    /// Removes what interrupted writes left behind. For the only process that writes, before it
    /// writes.
    pub async fn clear_temporaries(&self) -> Result<()> {
        match &self.driver.kind {
            Kind::Filesystem(driver) => driver.clear_temporaries().await,
            Kind::Memory(_) | Kind::Objects(_) => Ok(()),
        }
    }

    /// Tells whether the storage can be written and read now, by doing it.
    pub async fn check(&self) -> Result<()> {
        let location = paths::health();
        let content = Bytes::from_static(b"ok");
        self.driver.put(&location, content.clone(), Durability::Lazy).await?;
        match self.driver.get(&location, MOST_CONTENT).await? {
            Some(object) if object.bytes == content => Ok(()),
            _ => Err(Error::new(crate::ErrorKind::Unavailable, "read back", location)),
        }
    }
}
