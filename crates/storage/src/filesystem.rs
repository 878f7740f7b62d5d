//! The driver for a folder.

use crate::{
    Error, ErrorKind, Result, blocking,
    driver::{Appender, ByteStore, Detail, Durability, Hold, Lister, Object, Reader, Removal, Stat, Ticket, Written},
    paths::Location,
};
use bytes::Bytes;
use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

mod appender;
mod disk;
mod fresh;
mod lister;
mod probe;
#[cfg(feature = "test-layer")]
mod recorder;
mod rights;
mod tree;
mod volume;

pub use appender::FileAppender;
pub(crate) use disk::Disk;
pub use lister::FolderLister;
#[cfg(feature = "test-layer")]
pub use recorder::{Cut, Fault, Recorder};
pub use volume::{FolderLock, Volume};

use tree::Tree;

/// Where the folder is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The storage root: the folder that holds `docker/`. It is made at the first write when it
    /// does not exist.
    pub root: PathBuf,
}

/// A folder as storage. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Filesystem {
    tree: Arc<Tree>,
    /// So many first bytes of an upload go through the page cache.
    pub(crate) cached: u64,
}

/// The first bytes of an upload that stay in the page cache unless something else is set: small
/// blobs are pulled from memory, and large ones begin there.
const CACHED: u64 = 8 << 20;

impl Filesystem {
    /// Looks at the root: a file in its place is an error, a missing folder is none.
    pub fn open(config: Config) -> Result<Self> {
        Self::with_disk(config, Disk::Real)
    }

    pub(crate) fn with_disk(config: Config, disk: Disk) -> Result<Self> {
        let fail = |error| Error::io("open", config.root.display(), error);
        let root = std::path::absolute(&config.root).map_err(fail)?;
        match root.metadata() {
            Ok(found) if !found.is_dir() => return Err(fail(io::ErrorKind::NotADirectory.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        Ok(Self {
            tree: Arc::new(Tree::new(root, disk)),
            cached: CACHED,
        })
    }

    /// The storage root as an absolute path.
    pub fn root(&self) -> &Path {
        self.tree.root()
    }

    /// Runs a blocking operation on the tree.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        location: &Location,
        work: impl FnOnce(&Tree, &Location) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tree, location) = (Arc::clone(&self.tree), location.clone());
        blocking::run(move || work(&tree, &location).map_err(|error| Error::io(operation, &location, error))).await
    }

    /// Removes what interrupted writes left in the folder of temporary files. For the only process
    /// that writes, before it writes.
    pub async fn clear_temporaries(&self) -> Result<()> {
        let folder = crate::paths::temporaries();
        self.run("clear", &folder, |tree, folder| {
            tree.delete_folder(folder, Durability::Lazy)
        })
        .await?;
        Ok(())
    }

    /// The folder of our own files, made when it is missing.
    pub async fn own_folder(&self) -> Result<PathBuf> {
        let folder = crate::paths::own();
        self.run("make", &folder, |tree, folder| {
            tree.make_parents(&crate::paths::temporaries())?;
            Ok(tree.path(folder))
        })
        .await
    }

    /// What the system says about the volume.
    pub async fn volume(&self) -> Result<Volume> {
        self.run("inspect", &crate::paths::own(), |tree, _| Volume::of(tree.root()))
            .await
    }

    /// Whether this process may write our own files, and read, with `writes` also write, the folders
    /// that images lie in. What is missing is no error.
    pub async fn check_rights(&self, writes: bool) -> Result<()> {
        let tree = Arc::clone(&self.tree);
        blocking::run(move || {
            let own = crate::paths::own();
            let own_folder = tree.path(&own);
            rights::check(tree.root(), &tree.root().display().to_string(), !own_folder.exists())?;
            rights::check(&own_folder, own.as_str(), true)?;
            rights::check_files(&own_folder, own.as_str())?;
            for folder in crate::paths::frame() {
                rights::check(&tree.path(&folder), folder.as_str(), writes)?;
            }
            Ok(())
        })
        .await
    }

    /// Takes an exclusive lock that ends with the process; `None` when another one holds it.
    pub async fn lock(&self, file: &Location) -> Result<Option<FolderLock>> {
        self.run("lock", file, |tree, file| {
            tree.make_parents(file)?;
            FolderLock::take(&tree.path(file))
        })
        .await
    }
}

impl ByteStore for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    async fn get(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        let location = location.clone();
        let Some((reader, fingerprint)) = self.open_file(&location).await? else {
            return Ok(None);
        };
        let bytes = reader.read_all(limit).await?;
        Ok(Some(Object { bytes, fingerprint }))
    }

    async fn get_all(&self, locations: Vec<Location>, limit: u64) -> Result<Vec<Result<Option<Object>>>> {
        let tree = Arc::clone(&self.tree);
        blocking::run(move || {
            Ok(locations
                .iter()
                .map(|location| read_whole(&tree, location, limit))
                .collect())
        })
        .await
    }

    async fn stat(&self, location: &Location) -> Result<Option<Stat>> {
        if let Some(answer) = self.tree.stat_cached(location) {
            return answer.map_err(|error| Error::io("inspect", location, error));
        }
        self.run("inspect", location, Tree::stat).await
    }

    async fn stat_all(&self, locations: Vec<Location>) -> Result<Vec<Option<Stat>>> {
        let tree = Arc::clone(&self.tree);
        blocking::run(move || {
            let stat = |location| {
                tree.stat(location)
                    .map_err(|error| Error::io("inspect", location, error))
            };
            locations.iter().map(stat).collect()
        })
        .await
    }

    async fn put(&self, location: &Location, bytes: Bytes, durability: Durability) -> Result<Written> {
        self.run("write", location, move |tree, location| {
            tree.put(location, &bytes, durability)
        })
        .await
    }

    async fn open(&self, location: &Location) -> Result<Option<Reader>> {
        Ok(self.open_file(location).await?.map(|(reader, _)| reader))
    }

    async fn append(&self, location: &Location, offset: u64, hold: Hold) -> Result<Appender> {
        let (tree, location, cached) = (Arc::clone(&self.tree), location.clone(), self.cached);
        blocking::run(move || {
            let _hold = hold;
            FileAppender::open(&tree, location, offset, cached).map(Appender::Filesystem)
        })
        .await
    }

    async fn sync_content(&self, location: &Location) -> Result<()> {
        self.run("sync", location, Tree::sync_content).await
    }

    async fn sync(&self, location: &Location) -> Result<()> {
        self.run("sync", location, Tree::sync).await
    }

    async fn rename(&self, from: &Location, to: &Location, hold: Hold) -> Result<()> {
        let to = to.clone();
        self.run("publish", from, move |tree, from| {
            let _hold = hold;
            tree.rename(from, &to)
        })
        .await
    }

    async fn delete(&self, files: Vec<Removal>, durability: Durability, hold: Hold) -> Result<Ticket> {
        let tree = Arc::clone(&self.tree);
        blocking::run(move || {
            let _hold = hold;
            tree.delete(&files, durability)
        })
        .await
    }

    async fn delete_folder(&self, folder: &Location, durability: Durability) -> Result<Ticket> {
        self.run("delete", folder, move |tree, folder| {
            tree.delete_folder(folder, durability)
        })
        .await
    }

    fn list(&self, folder: &Location) -> Lister {
        Lister::Filesystem(FolderLister::new(self.tree.path(folder), folder.clone()))
    }

    fn list_links(&self, folder: &Location, suffix: &'static str, detail: Detail) -> Lister {
        let lister = FolderLister::new(self.tree.path(folder), folder.clone());
        Lister::Filesystem(lister.with_links(suffix, detail))
    }

    async fn flush(&self) -> Result<Ticket> {
        let tree = Arc::clone(&self.tree);
        blocking::run(move || {
            tree.flush()
                .map_err(|error| Error::io("sync", "the changed links", error))
        })
        .await
    }
}

fn read_whole(tree: &Tree, location: &Location, limit: u64) -> Result<Option<Object>> {
    let fail = |error| Error::io("read", location, error);
    let Some((file, Stat::File(fingerprint))) = tree.open(location).map_err(fail)? else {
        return Ok(None);
    };
    if fingerprint.size > limit {
        return Err(Error::new(ErrorKind::TooLarge, "read", location));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(fingerprint.size).unwrap_or_default() + 1);
    file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(Object {
        bytes: bytes.into(),
        fingerprint,
    }))
}

impl Filesystem {
    async fn open_file(&self, location: &Location) -> Result<Option<(Reader, crate::Fingerprint)>> {
        let opened = match self.tree.open_cached(location) {
            Some(answer) => answer.map_err(|error| Error::io("open", location, error))?,
            None => self.run("open", location, Tree::open).await?,
        };
        let Some((file, Stat::File(fingerprint))) = opened else {
            return match opened {
                Some(_) => Err(Error::because(
                    ErrorKind::Corrupt,
                    "open",
                    location,
                    "a folder where a file belongs",
                )),
                None => Ok(None),
            };
        };
        Ok(Some((
            Reader::of_file(file, fingerprint.size, location.clone()),
            fingerprint,
        )))
    }
}
