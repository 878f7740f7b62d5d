//! Bytes at places: what every kind of storage can do. Blobs, uploads and links are built on it.

use crate::{Result, filesystem, memory, paths::Location};
use bytes::Bytes;
use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod appender;
mod reader;

pub use appender::Appender;
pub use reader::{ByteStream, Reader};

/// Identifies one state of a stored file: every rewrite changes it, also one by a program that
/// writes in place. On a filesystem these are the fields of `stat(2)`.
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
}

/// What stands at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// A file.
    File(Fingerprint),
    /// A folder, with the time at which an entry last came or went: nanoseconds since 1970.
    Folder {
        /// That time.
        modified: i64,
    },
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

    /// Opens for appending after the first `offset` bytes; what lies behind them is discarded.
    /// With offset 0 a missing file is created.
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
}

impl Lister {
    /// The next entries, at most some thousands; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        match self {
            Self::Filesystem(lister) => lister.next().await,
            Self::Memory(lister) => Ok(lister.next()),
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
        }
    };
}

impl ByteStore for Driver {
    fn name(&self) -> &'static str {
        dispatch!(self, driver => driver.name())
    }

    async fn get(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        self.observed("GetContent", async {
            dispatch!(self, driver => driver.get(location, limit).await)
        })
        .await
    }

    async fn get_all(&self, locations: Vec<Location>, limit: u64) -> Result<Vec<Result<Option<Object>>>> {
        self.observed("GetContent", async {
            dispatch!(self, driver => driver.get_all(locations, limit).await)
        })
        .await
    }

    async fn stat(&self, location: &Location) -> Result<Option<Stat>> {
        self.observed("Stat", async { dispatch!(self, driver => driver.stat(location).await) })
            .await
    }

    async fn stat_all(&self, locations: Vec<Location>) -> Result<Vec<Option<Stat>>> {
        self.observed("Stat", async {
            dispatch!(self, driver => driver.stat_all(locations).await)
        })
        .await
    }

    async fn put(&self, location: &Location, bytes: Bytes, durability: Durability) -> Result<Written> {
        self.observed("PutContent", async {
            dispatch!(self, driver => driver.put(location, bytes, durability).await)
        })
        .await
    }

    async fn open(&self, location: &Location) -> Result<Option<Reader>> {
        self.observed("Reader", async {
            dispatch!(self, driver => driver.open(location).await)
        })
        .await
    }

    async fn append(&self, location: &Location, offset: u64, hold: Hold) -> Result<Appender> {
        self.observed("Writer", async {
            dispatch!(self, driver => driver.append(location, offset, hold).await)
        })
        .await
    }

    async fn sync_content(&self, location: &Location) -> Result<()> {
        self.observed("Commit", async {
            dispatch!(self, driver => driver.sync_content(location).await)
        })
        .await
    }

    async fn sync(&self, location: &Location) -> Result<()> {
        self.observed("Commit", async {
            dispatch!(self, driver => driver.sync(location).await)
        })
        .await
    }

    async fn rename(&self, from: &Location, to: &Location, hold: Hold) -> Result<()> {
        self.observed("Move", async {
            dispatch!(self, driver => driver.rename(from, to, hold).await)
        })
        .await
    }

    async fn delete(&self, files: Vec<Removal>, durability: Durability, hold: Hold) -> Result<Ticket> {
        self.observed("Delete", async {
            dispatch!(self, driver => driver.delete(files, durability, hold).await)
        })
        .await
    }

    async fn delete_folder(&self, folder: &Location, durability: Durability) -> Result<Ticket> {
        self.observed("Delete", async {
            dispatch!(self, driver => driver.delete_folder(folder, durability).await)
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
        self.observed("Commit", async { dispatch!(self, driver => driver.flush().await) })
            .await
    }
}
