//! The handle on an open index.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::mpsc;

use crate::error::Kind;
use crate::sqlite::{self, Access, Checkpoint, Config, Job, Readers, Writer};
use crate::{Error, Timestamp, Tx, migrations, ownership};

/// An open index. Clones are cheap and share it.
#[derive(Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    readers: Readers,
    writer: Mutex<Option<Writer>>,
    fencing: Arc<AtomicI64>,
}

impl Metadata {
    /// Opens the index in a file. An owner creates and migrates it; a process that stands by
    /// reads only. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Kind::NewerSchema`] for an index of a newer version, [`Kind::Corrupt`] for a file that
    /// is no index, [`Kind::Unavailable`] when it cannot be opened or, standing by, is not there
    /// or not migrated yet.
    pub fn open_sqlite(config: Config) -> Result<Self, Error> {
        let opened = Self {
            inner: Arc::new(Inner {
                readers: Readers::new(config.clone()),
                config,
                writer: Mutex::new(None),
                fencing: Arc::new(AtomicI64::new(0)),
            }),
        };
        match opened.inner.config.access {
            Access::Owner => opened.start_writing()?,
            Access::Standby => opened.read_blocking(migrations::check_current)?,
        }
        Ok(opened)
    }

    /// The database file.
    pub fn path(&self) -> &PathBuf {
        &self.inner.config.path
    }

    /// Whether this process writes, or only stands by.
    pub fn is_writable(&self) -> bool {
        self.inner.writer().is_some()
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
        self.inner.readers.read(read)
    }

    /// [`Self::read`] for a thread that may block; never call it inside an async task.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_blocking<T, E: From<Error>>(&self, read: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.inner.readers.read(read)
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
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.inner.readers.read(read))
            .await
            .unwrap_or_else(|error| Err(Error::new(Kind::Other, "read", error).into()))
    }

    /// Runs `job` in a transaction and returns its result once the change is durable.
    ///
    /// An `Err` undoes what the job did, and only that. The job may run more than once (an
    /// engine may ask for it): it must do nothing but read and write through its `Tx`, and must
    /// not block. A job that was handed over runs even if this future is dropped.
    ///
    /// # Errors
    ///
    /// What `job` returns; [`Kind::ReadOnly`] standing by, [`Kind::Fenced`] after another
    /// process took over, and failures of the commit.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let queue = self.inner.queue()?;
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
        let queue = self.inner.queue()?;
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

    /// Makes a handle that stands by the owner's: opens the file for writing and migrates it.
    /// [`Self::claim`] comes next. Blocks for some milliseconds; does nothing if it writes already.
    ///
    /// # Errors
    ///
    /// As [`Self::open_sqlite`] for an owner.
    pub fn start_writing(&self) -> Result<(), Error> {
        let mut writer = self.inner.writer();
        if writer.is_none() {
            let connection = sqlite::open_writer(&self.inner.config)?;
            self.inner.fencing.store(0, Ordering::Release);
            *writer = Some(Writer::start(connection, Arc::clone(&self.inner.fencing))?);
        }
        Ok(())
    }

    /// Finishes what is queued, closes the writing connection and stands by from then on. Blocks
    /// until it is done: use a thread for blocking work.
    pub fn stop_writing(&self) {
        let writer = self.inner.writer().take();
        if let Some(writer) = writer {
            writer.stop();
        }
    }

    /// Copies the write-ahead log into the database file without making writers or readers wait.
    /// To be called every few seconds while there are writes; the log is bounded at 64 MiB
    /// without it, but then a writer pays.
    ///
    /// # Errors
    ///
    /// Failures of the disk.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let path = self.inner.config.path.clone();
        tokio::task::spawn_blocking(move || sqlite::checkpoint(&path))
            .await
            .unwrap_or_else(|error| Err(Error::new(Kind::Other, "checkpoint the database", error)))
    }

    /// Closes the connections that nobody reads with, and so gives their memory back: at most a
    /// cache each. They are opened again when they are needed.
    pub fn close_idle_readers(&self) {
        self.inner.readers.clear();
    }

    /// Stops writing and closes idle connections, for a clean end. Blocks.
    pub fn close(&self) {
        self.close_idle_readers();
        self.stop_writing();
    }
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // what it guards is replaced as a whole
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> Result<mpsc::Sender<Box<dyn Job>>, Error> {
        self.writer().as_ref().map(Writer::queue).ok_or_else(|| {
            Error::new(
                Kind::ReadOnly,
                "write",
                "this process stands by: another one owns the index",
            )
        })
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("path", &self.inner.config.path)
            .field("is_writable", &self.is_writable())
            .finish_non_exhaustive()
    }
}
