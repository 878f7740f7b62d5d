//! The handle on an open index.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use crate::error::Kind;
use crate::server::{self, Pool};
use crate::sqlite::{self, Access, Checkpoint, Job, Readers, Writer};
use crate::transfer::Changes;
use crate::{Doubts, Error, Location, Timestamp, Tx, migrations, ownership};

/// An open index. Clones are cheap and share it.
#[derive(Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    /// The number that the owner record must hold for this handle to write; 0 for any.
    fencing: Arc<AtomicI64>,
}

enum Engine {
    Sqlite(File),
    Server(Arc<Pool>),
}

/// An index in a file.
struct File {
    config: sqlite::Config,
    readers: Readers,
    writer: Mutex<Option<Writer>>,
    doubts: Arc<Doubts>,
}

impl Metadata {
    /// Opens an index wherever it is: [`Self::open_sqlite`] or [`Self::open_server`].
    ///
    /// # Errors
    ///
    /// Theirs.
    pub fn open(location: Location) -> Result<Self, Error> {
        match location {
            Location::Sqlite(config) => Self::open_sqlite(config),
            Location::Server(config) => Self::open_server(*config),
        }
    }

    /// Opens the index in a file. An owner creates and migrates it; a process that stands by
    /// reads only. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Kind::NewerSchema`] for an index of a newer version, [`Kind::Corrupt`] for a file that
    /// is no index, [`Kind::Unavailable`] when it cannot be opened or, standing by, is not there
    /// or not migrated yet.
    pub fn open_sqlite(config: sqlite::Config) -> Result<Self, Error> {
        let access = config.access;
        let file = File {
            readers: Readers::new(config.clone()),
            config,
            writer: Mutex::new(None),
            doubts: Arc::default(),
        };
        Self::open_engine(Engine::Sqlite(file), access)
    }

    /// Opens the index in a database of a server. An owner migrates it; a process that stands by
    /// reads only. Blocks: at most for the connect timeout, and while another process migrates.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`] when the server does not answer (it may later) or, standing by, the
    /// database is not migrated yet; [`Kind::Denied`] when user, password, rights, database or
    /// certificate are wrong or the server is too old, [`Kind::NewerSchema`] for an index of a newer version,
    /// [`Kind::Corrupt`] for a database of something else.
    pub fn open_server(config: server::Config) -> Result<Self, Error> {
        let access = config.access;
        Self::open_engine(Engine::Server(Arc::new(Pool::new(config))), access)
    }

    /// Whether a server can be reached and used, without changing anything there. Blocks for at most
    /// the connect timeout.
    ///
    /// # Errors
    ///
    /// As [`Self::open_server`], except that a database that is empty, newer or another's is none.
    pub fn probe(config: &server::Config) -> Result<(), Error> {
        let pool = Pool::new(config.clone());
        outside_of_tasks(|| migrations::server::check_server(&mut pool.connect()?))
    }

    /// Whether the index answers.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.read(|tx| tx.any("ask for a sign of life", "select 1", &[]).map(drop))
            .await
    }

    fn open_engine(engine: Engine, access: Access) -> Result<Self, Error> {
        let opened = Self {
            inner: Arc::new(Inner {
                engine,
                fencing: Arc::new(AtomicI64::new(0)),
            }),
        };
        match access {
            Access::Owner => opened.start_writing()?,
            Access::Standby => match &opened.inner.engine {
                Engine::Sqlite(_) => opened.read_blocking(migrations::check_current)?,
                Engine::Server(pool) => outside_of_tasks(|| migrations::server::check(&mut pool.connect()?))?,
            },
        }
        Ok(opened)
    }

    /// Where it is, without a password.
    pub fn location(&self) -> String {
        match &self.inner.engine {
            Engine::Sqlite(file) => format!("sqlite://{}", file.config.path.display()),
            Engine::Server(pool) => pool.config().to_string(),
        }
    }

    /// The database file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.inner.engine {
            Engine::Sqlite(file) => Some(&file.config.path),
            Engine::Server(_) => None,
        }
    }

    /// Whether this process writes, or only stands by.
    pub fn is_writable(&self) -> bool {
        match &self.inner.engine {
            Engine::Sqlite(file) => file.writer().is_some(),
            Engine::Server(pool) => pool.is_writable(),
        }
    }

    /// Reads one consistent snapshot; with SQLite on the calling thread, so for short, indexed reads
    /// only (microseconds). Changes of this process are seen once their `write` has returned.
    ///
    /// # Errors
    ///
    /// What `read` returns, and failures to open the index.
    pub async fn read<T, E, F>(&self, read: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        match &self.inner.engine {
            Engine::Sqlite(file) => file.readers.read(read),
            Engine::Server(pool) => read_on(pool, false, read).await,
        }
    }

    /// [`Self::read`] for a thread that may block; never call it inside an async task.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_blocking<T, E, F>(&self, read: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        match &self.inner.engine {
            Engine::Sqlite(file) => file.readers.read(read),
            Engine::Server(pool) => outside_of_tasks(|| {
                let _permit = pool.permit_blocking()?;
                let mut answer = None;
                pool.read(false, read, |result| answer = Some(result));
                answer.unwrap_or_else(|| Err(sqlite::stopped().into()))
            }),
        }
    }

    /// The same on a thread for blocking work: for reads that take milliseconds and more.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn read_long<T, E, F>(&self, read: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        if let Engine::Server(pool) = &self.inner.engine {
            return read_on(pool, true, read).await;
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.read_blocking(read))
            .await
            .unwrap_or_else(|error| Err(Error::new(Kind::Other, "read", error).into()))
    }

    /// Runs `job` in a transaction and returns its result once the change is durable.
    ///
    /// An `Err` undoes what the job did, and only that. The job may run more than once (on a server
    /// it does when it met another transaction): it must do nothing but read and write through its
    /// `Tx`, return what failed, and not block. A job that was handed over runs even if this future
    /// is dropped.
    ///
    /// # Errors
    ///
    /// What `job` returns; [`Kind::ReadOnly`] standing by, [`Kind::Fenced`] after another
    /// process took over, and failures of the commit. [`Kind::Unavailable`] when a server was lost:
    /// its message says so where the change may have been made all the same, and [`Self::doubts`] count it.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let file = match &self.inner.engine {
            Engine::Sqlite(file) => file,
            Engine::Server(pool) => return self.inner.write_on(pool, job).await,
        };
        let queue = file.queue()?;
        let (job, answer) = sqlite::job(job);
        queue.send(job).await.map_err(|_| sqlite::stopped())?;
        drop(queue);
        answer.await.unwrap_or_else(|_| Err(sqlite::stopped().into()))
    }

    /// [`Self::write`] for a thread that may block; never call it inside an async task.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_blocking<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let file = match &self.inner.engine {
            Engine::Sqlite(file) => file,
            Engine::Server(pool) => {
                return outside_of_tasks(|| {
                    let _permit = pool.permit_blocking()?;
                    pool.write(self.inner.fencing.load(Ordering::Acquire), job)
                });
            }
        };
        let queue = file.queue()?;
        let (job, answer) = sqlite::job(job);
        queue.blocking_send(job).map_err(|_| sqlite::stopped())?;
        drop(queue);
        answer.blocking_recv().unwrap_or_else(|_| Err(sqlite::stopped().into()))
    }

    /// Takes the index over in its owner record and returns the new fencing number. From then on
    /// every write of this handle fails with [`Kind::Fenced`] once somebody else has taken over.
    ///
    /// Who may do so is decided by a lock outside of the index (consistency rule 9). `holder`
    /// names this process uniquely; `detail` says to a person where it runs.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub async fn claim(&self, holder: &str, detail: &str, now: Timestamp) -> Result<i64, Error> {
        let (holder, detail) = (holder.to_owned(), detail.to_owned());
        // the number belongs to the connection: it counts from the group after this one
        self.inner.fencing.store(0, Ordering::Release);
        let fencing = self
            .write(move |tx| ownership::claim(tx, &holder, &detail, now))
            .await?;
        self.inner.fencing.store(fencing, Ordering::Release);
        Ok(fencing)
    }

    /// Makes a handle that stands by the owner's: opens the index for writing and migrates it.
    /// [`Self::claim`] comes next. Blocks for some milliseconds; does nothing if it writes already.
    ///
    /// # Errors
    ///
    /// As [`Self::open_sqlite`] and [`Self::open_server`] for an owner.
    pub fn start_writing(&self) -> Result<(), Error> {
        match &self.inner.engine {
            Engine::Sqlite(file) => {
                let mut writer = file.writer();
                if writer.is_none() {
                    let connection = sqlite::open_writer(&file.config)?;
                    self.inner.fencing.store(0, Ordering::Release);
                    *writer = Some(Writer::start(connection, Arc::clone(&self.inner.fencing))?);
                }
            }
            Engine::Server(pool) if !pool.is_writable() => {
                outside_of_tasks(|| migrations::server::run(&mut pool.connect()?))?;
                self.inner.fencing.store(0, Ordering::Release);
                pool.open_writing();
            }
            Engine::Server(_) => {}
        }
        Ok(())
    }

    /// Finishes what is queued, closes the writing connection and stands by from then on. Blocks
    /// until it is done: use a thread for blocking work.
    pub fn stop_writing(&self) {
        match &self.inner.engine {
            Engine::Sqlite(file) => {
                let writer = file.writer().take();
                if let Some(writer) = writer {
                    writer.stop();
                }
            }
            Engine::Server(pool) => pool.close_writing(),
        }
    }

    /// Copies the write-ahead log into the database file without making writers or readers wait.
    /// To be called every few seconds while there are writes; the log is bounded at 64 MiB
    /// without it, but then a writer pays. A server does this itself.
    ///
    /// # Errors
    ///
    /// Failures of the disk.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let Engine::Sqlite(file) = &self.inner.engine else {
            return Ok(Checkpoint::default());
        };
        let path = file.config.path.clone();
        tokio::task::spawn_blocking(move || sqlite::checkpoint(&path))
            .await
            .unwrap_or_else(|error| Err(Error::new(Kind::Other, "checkpoint the database", error)))
    }

    /// Counts the transactions that changed what the storage cannot rebuild, since this process
    /// began to write; `None` where it does not write, or a server keeps the index.
    pub fn changes(&self) -> Option<Changes> {
        match &self.inner.engine {
            Engine::Sqlite(file) => file.writer().as_ref().map(Writer::changes),
            Engine::Server(_) => None,
        }
    }

    /// Says that other processes write to this index too: from now on every change raises the
    /// versions that tell them ([`cache_versions`](crate::cache_versions)). Only a server can be
    /// shared; for a file nothing changes.
    pub fn share(&self) {
        if let Engine::Server(pool) = &self.inner.engine {
            pool.share();
        }
    }

    /// Whether other processes may write too.
    pub fn is_shared(&self) -> bool {
        match &self.inner.engine {
            Engine::Sqlite(_) => false,
            Engine::Server(pool) => pool.is_shared(),
        }
    }

    /// Commits whose outcome is unknown.
    pub fn doubts(&self) -> &Arc<Doubts> {
        match &self.inner.engine {
            Engine::Sqlite(file) => &file.doubts,
            Engine::Server(pool) => pool.doubts(),
        }
    }

    /// Closes the connections that nobody uses, and so gives their memory back: at most a
    /// cache each. They are opened again when they are needed.
    pub fn close_idle_readers(&self) {
        match &self.inner.engine {
            Engine::Sqlite(file) => file.readers.clear(),
            Engine::Server(pool) => pool.clear(),
        }
    }

    /// Stops writing and closes idle connections, for a clean end. Blocks.
    pub fn close(&self) {
        self.stop_writing();
        self.close_idle_readers();
    }
}

/// Reads on a connection of a server, on a thread for blocking work.
async fn read_on<T, E, F>(pool: &Arc<Pool>, is_long: bool, read: F) -> Result<T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let permit = pool.permit().await?;
    let pool = Arc::clone(pool);
    let (sender, answer) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        // nobody may be waiting any more
        pool.read(is_long, read, |result| drop(sender.send(result)));
        drop(permit);
    });
    answer.await.unwrap_or_else(|_| Err(sqlite::stopped().into()))
}

/// Runs what blocks on a thread of its own where the calling one belongs to a runtime.
fn outside_of_tasks<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    std::thread::scope(|scope| {
        let outcome = scope.spawn(work).join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Inner {
    /// Writes on a connection of a server, on a thread for blocking work.
    async fn write_on<T, E, F>(&self, pool: &Arc<Pool>, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let permit = pool.permit().await?;
        let (pool, fencing) = (Arc::clone(pool), self.fencing.load(Ordering::Acquire));
        let written = tokio::task::spawn_blocking(move || {
            let result = pool.write(fencing, job);
            drop(permit);
            result
        });
        written
            .await
            .unwrap_or_else(|error| Err(Error::new(Kind::Other, "write", error).into()))
    }
}

impl File {
    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // what it guards is replaced as a whole
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> Result<mpsc::Sender<Box<dyn Job>>, Error> {
        self.writer().as_ref().map(Writer::queue).ok_or_else(Error::stands_by)
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("location", &self.location())
            .field("is_writable", &self.is_writable())
            .finish_non_exhaustive()
    }
}
