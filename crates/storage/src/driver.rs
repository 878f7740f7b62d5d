//! Bytes at places: what every kind of storage can do. Blobs, uploads and links are built on it.

use crate::{Result, filesystem, memory, objects, paths::Location};
use bytes::Bytes;
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod appender;
mod reader;

pub use appender::Appender;
pub use reader::{ByteStream, Reader};

/// Identifies one state of a stored file: every rewrite changes it, also one by a program that
/// writes in place. On a filesystem these are the fields of `stat(2)`. Of an object they are its size
/// and, as `inode`, a hash of its entity tag: a rewrite with the same content may not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub modified: i64,
    /// Last change of content or attributes, in nanoseconds since 1970.
    pub changed: i64,
    /// Inode number.
    pub inode: u64,
}

/// A small object as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Bytes,
    /// The state that the content was read from.
    pub fingerprint: Fingerprint,
}

/// When a change must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the operation returns.
    Now,
    /// After the next [`ByteStore::flush`].
    Batched,
    /// Whenever: losing it does no harm.
    Lazy,
}

/// The number of a batched change; a flush tells up to which number everything is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// What a put left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The state of the new file.
    pub fingerprint: Fingerprint,
    /// Durable when a flush has covered it. The oldest ticket when it is durable already.
    pub ticket: Ticket,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder. Names that are not UTF-8 are shown lossily.
    pub name: String,
    /// Whether it is a folder (or a link to one).
    pub is_folder: bool,
    /// What lies below it, when that was asked for.
    pub link: Option<Probe>,
    /// In a bucket: when that, or else the file itself, was last written, in nanoseconds since 1970.
    /// 0 elsewhere, where fingerprints tell.
    pub modified: i64,
}

/// What stands at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// A file.
    File(Fingerprint),
    /// A folder, with the time at which an entry last came or went: nanoseconds since 1970. 0 where
    /// there are no such times, in a bucket.
    Folder {
        /// That time.
        modified: i64,
    },
}

impl Stat {
    /// The state of the file, where it is one.
    const fn file(self) -> Option<Fingerprint> {
        match self {
            Self::File(found) => Some(found),
            Self::Folder { .. } => None,
        }
    }
}

/// How much [`ByteStore::list_links`] finds out about each file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The fingerprint.
    Stat,
    /// Fingerprint and content.
    Content,
}

/// What [`ByteStore::list_links`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// No such file.
    Missing,
    /// A file, looked at with [`Detail::Stat`].
    Stat(Fingerprint),
    /// A file and its content.
    Object(Object),
}

impl Probe {
    /// When the file was last written as its fingerprint says; 0 where there is none, or it does not.
    pub(crate) const fn modified(&self) -> i64 {
        match self {
            Self::Missing => 0,
            Self::Stat(found) => found.modified,
            Self::Object(object) => object.fingerprint.modified,
        }
    }
}

/// What every kind of storage can do. Places are [`Location`]s below its root; folders come into
/// being with what they hold.
pub trait ByteStore: Clone + Send + Sync + 'static {
    /// The name of the kind, such as `filesystem`.
    fn name(&self) -> &'static str;

    /// The whole object, or `None` when there is none. Larger than `limit` bytes:
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    fn get(&self, location: &Location, limit: u64) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// Several whole objects, in their order, in one round trip; each answers for itself.
    fn get_all(
        &self,
        locations: Vec<Location>,
        limit: u64,
    ) -> impl Future<Output = Result<Vec<Result<Option<Object>>>>> + Send;

    /// What stands there, if anything.
    fn stat(&self, location: &Location) -> impl Future<Output = Result<Option<Stat>>> + Send;

    /// The states of several places, in their order, in one round trip.
    fn stat_all(&self, locations: Vec<Location>) -> impl Future<Output = Result<Vec<Option<Stat>>>> + Send;

    /// Like [`stat`](Self::stat) of a place where a folder is as good as nothing.
    fn stat_file(&self, location: &Location) -> impl Future<Output = Result<Option<Fingerprint>>> + Send {
        async { Ok(self.stat(location).await?.and_then(Stat::file)) }
    }

    /// The same of several places, in their order, in one round trip.
    fn stat_files(&self, locations: Vec<Location>) -> impl Future<Output = Result<Vec<Option<Fingerprint>>>> + Send {
        async {
            let stats = self.stat_all(locations).await?;
            Ok(stats.into_iter().map(|stat| stat.and_then(Stat::file)).collect())
        }
    }

    /// When several folders last changed, in their order, in one round trip; `None` for one that is not
    /// there.
    fn stat_folders(&self, folders: Vec<Location>) -> impl Future<Output = Result<Vec<Option<i64>>>> + Send {
        async {
            let stats = self.stat_all(folders).await?;
            let time = |stat: Option<Stat>| match stat {
                Some(Stat::Folder { modified }) => Some(modified),
                _ => None,
            };
            Ok(stats.into_iter().map(time).collect())
        }
    }

    /// Makes `bytes` the content of `location` in one step: a reader sees the old content or the
    /// new one.
    fn put(
        &self,
        location: &Location,
        bytes: Bytes,
        durability: Durability,
    ) -> impl Future<Output = Result<Written>> + Send;

    /// Opens for reading, `None` when there is nothing.
    fn open(&self, location: &Location) -> impl Future<Output = Result<Option<Reader>>> + Send;

    /// The same of an object that has `size` bytes, as the caller knows: where that saves a round trip,
    /// it is not looked for before it is read.
    fn open_known(&self, location: &Location, _size: u64) -> impl Future<Output = Result<Option<Reader>>> + Send {
        self.open(location)
    }

    /// Opens for appending after the first `offset` bytes; what lies behind them is discarded.
    /// With offset 0 a missing file is created. Objects do not grow:
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn append(&self, location: &Location, offset: u64, hold: Hold) -> impl Future<Output = Result<Appender>> + Send;

    /// Makes the content of one file durable, but not its name.
    fn sync_content(&self, location: &Location) -> impl Future<Output = Result<()>> + Send;

    /// Makes one file durable, content and name.
    fn sync(&self, location: &Location) -> impl Future<Output = Result<()>> + Send;

    /// Moves the file `from`, whose content is durable, to `to` in one step, replacing what is
    /// there. The new name is durable on return, and so are the folders that had to be made.
    fn rename(&self, from: &Location, to: &Location, hold: Hold) -> impl Future<Output = Result<()>> + Send;

    /// Removes files; those that are gone already are no error. Durable like a put, with one
    /// ticket for all. Folders that become empty are removed as far up as `prune` says.
    fn delete(
        &self,
        files: Vec<Removal>,
        durability: Durability,
        hold: Hold,
    ) -> impl Future<Output = Result<Ticket>> + Send;

    /// Removes a folder and all that it holds; a missing one is no error.
    fn delete_folder(&self, folder: &Location, durability: Durability) -> impl Future<Output = Result<Ticket>> + Send;

    /// The entries of a folder in chunks, in no particular order; a missing folder is empty.
    fn list(&self, folder: &Location) -> Lister;

    /// Like [`list`](Self::list), and looks at `<folder>/<entry>/<suffix>` below every entry that is
    /// a folder. Content of more than 4 KiB is cut there.
    fn list_links(&self, folder: &Location, suffix: &'static str, detail: Detail) -> Lister;

    /// Makes every batched change durable that was finished before the call, and says up to which
    /// ticket that is.
    fn flush(&self) -> impl Future<Output = Result<Ticket>> + Send;
}

/// Something (a lock) that an operation keeps until its work has really ended, also when nobody
/// waits for it any more.
pub type Hold = Option<Arc<dyn Any + Send + Sync>>;

/// One file to delete.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The file.
    pub file: Location,
    /// How many of the folders above it go too, from the nearest on, while nothing else is in them.
    pub prune: usize,
}

/// Reads the entries of a folder chunk by chunk.
#[derive(Debug)]
pub enum Lister {
    /// Of a filesystem.
    Filesystem(filesystem::FolderLister),
    /// Of the memory driver.
    Memory(memory::FolderLister),
    /// Of a bucket.
    Objects(objects::FolderLister),
}

impl Lister {
    /// The next entries, at most some thousands; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        match self {
            Self::Filesystem(lister) => lister.next().await,
            Self::Memory(lister) => Ok(lister.next()),
            Self::Objects(lister) => lister.next().boxed().await,
        }
    }
}

/// The kinds of storage that there are.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A folder.
    Filesystem(filesystem::Filesystem),
    /// The memory of this process: for tests and trials.
    Memory(memory::Memory),
    /// A bucket.
    Objects(objects::Objects),
}

/// Is told how long each operation took, under the names that distribution's metrics use.
pub type Observe = Arc<dyn Fn(&'static str, Duration) + Send + Sync>;

/// The storage in use.
#[derive(Clone)]
pub struct Driver {
    pub(crate) kind: Kind,
    pub(crate) observe: Option<Observe>,
}

impl Driver {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, observe: None }
    }

    /// The bucket, where it is one.
    pub(crate) const fn objects(&self) -> Option<&objects::Objects> {
        match &self.kind {
            Kind::Objects(objects) => Some(objects),
            Kind::Filesystem(_) | Kind::Memory(_) => None,
        }
    }

    async fn observed<T>(&self, action: &'static str, operation: impl Future<Output = T>) -> T {
        let Some(observe) = &self.observe else {
            return operation.await;
        };
        let began = Instant::now();
        let outcome = operation.await;
        observe(action, began.elapsed());
        outcome
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind.fmt(f)
    }
}

/// Passes each call on to the driver in use.
macro_rules! dispatch {
    ($self:ident, $driver:ident => $call:expr) => {
        match &$self.kind {
            Kind::Filesystem($driver) => $call,
            Kind::Memory($driver) => $call,
            Kind::Objects($driver) => $call,
        }
    };
}

/// The same for what takes time. What goes on with a bucket is boxed: it is large, and rare beside
/// the requests that it waits for.
macro_rules! dispatch_async {
    ($self:ident, $driver:ident => $call:expr) => {
        match &$self.kind {
            Kind::Filesystem($driver) => $call.await,
            Kind::Memory($driver) => $call.await,
            Kind::Objects($driver) => $call.boxed().await,
        }
    };
}

impl ByteStore for Driver {
    fn name(&self) -> &'static str {
        dispatch!(self, driver => driver.name())
    }

    async fn get(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        self.observed("GetContent", async {
            dispatch_async!(self, driver => driver.get(location, limit))
        })
        .await
    }

    async fn get_all(&self, locations: Vec<Location>, limit: u64) -> Result<Vec<Result<Option<Object>>>> {
        self.observed("GetContent", async {
            dispatch_async!(self, driver => driver.get_all(locations, limit))
        })
        .await
    }

    async fn stat(&self, location: &Location) -> Result<Option<Stat>> {
        self.observed("Stat", async { dispatch_async!(self, driver => driver.stat(location)) })
            .await
    }

    async fn stat_all(&self, locations: Vec<Location>) -> Result<Vec<Option<Stat>>> {
        self.observed("Stat", async {
            dispatch_async!(self, driver => driver.stat_all(locations))
        })
        .await
    }

    async fn stat_file(&self, location: &Location) -> Result<Option<Fingerprint>> {
        self.observed("Stat", async {
            dispatch_async!(self, driver => driver.stat_file(location))
        })
        .await
    }

    async fn stat_files(&self, locations: Vec<Location>) -> Result<Vec<Option<Fingerprint>>> {
        self.observed("Stat", async {
            dispatch_async!(self, driver => driver.stat_files(locations))
        })
        .await
    }

    async fn stat_folders(&self, folders: Vec<Location>) -> Result<Vec<Option<i64>>> {
        self.observed("Stat", async {
            dispatch_async!(self, driver => driver.stat_folders(folders))
        })
        .await
    }

    async fn put(&self, location: &Location, bytes: Bytes, durability: Durability) -> Result<Written> {
        self.observed("PutContent", async {
            dispatch_async!(self, driver => driver.put(location, bytes, durability))
        })
        .await
    }

    async fn open(&self, location: &Location) -> Result<Option<Reader>> {
        self.observed("Reader", async {
            dispatch_async!(self, driver => driver.open(location))
        })
        .await
    }

    async fn open_known(&self, location: &Location, size: u64) -> Result<Option<Reader>> {
        self.observed("Reader", async {
            dispatch_async!(self, driver => driver.open_known(location, size))
        })
        .await
    }

    async fn append(&self, location: &Location, offset: u64, hold: Hold) -> Result<Appender> {
        self.observed("Writer", async {
            dispatch_async!(self, driver => driver.append(location, offset, hold))
        })
        .await
    }

    async fn sync_content(&self, location: &Location) -> Result<()> {
        self.observed("Commit", async {
            dispatch_async!(self, driver => driver.sync_content(location))
        })
        .await
    }

    async fn sync(&self, location: &Location) -> Result<()> {
        self.observed("Commit", async {
            dispatch_async!(self, driver => driver.sync(location))
        })
        .await
    }

    async fn rename(&self, from: &Location, to: &Location, hold: Hold) -> Result<()> {
        self.observed("Move", async {
            dispatch_async!(self, driver => driver.rename(from, to, hold))
        })
        .await
    }

    async fn delete(&self, files: Vec<Removal>, durability: Durability, hold: Hold) -> Result<Ticket> {
        self.observed("Delete", async {
            dispatch_async!(self, driver => driver.delete(files, durability, hold))
        })
        .await
    }

    async fn delete_folder(&self, folder: &Location, durability: Durability) -> Result<Ticket> {
        self.observed("Delete", async {
            dispatch_async!(self, driver => driver.delete_folder(folder, durability))
        })
        .await
    }

    fn list(&self, folder: &Location) -> Lister {
        dispatch!(self, driver => driver.list(folder))
    }

    fn list_links(&self, folder: &Location, suffix: &'static str, detail: Detail) -> Lister {
        dispatch!(self, driver => driver.list_links(folder, suffix, detail))
    }

    async fn flush(&self) -> Result<Ticket> {
        self.observed("Commit", async { dispatch_async!(self, driver => driver.flush()) })
            .await
    }
}
