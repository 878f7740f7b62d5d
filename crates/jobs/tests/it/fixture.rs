//! An index, handles on it as different processes have them, and work that tells what it does.

#![expect(clippy::unwrap_used, reason = "a fixture that fails must fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wharf_jobs::{Actor, Clock, Error, Job, Jobs, Kind, Runner, RunnerConfig, State};
use wharf_metadata::sqlite::Config;
use wharf_metadata::{Location, Metadata, Tx};

use crate::databases::{self, Database};

/// Who does everything.
pub const ALICE: Actor<'static> = Actor {
    name: "alice",
    address: "192.0.2.1",
};

/// What the index of a test lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Server(databases::Kind),
}

/// An index that several processes share.
pub struct Fixture {
    pub metadata: Metadata,
    clock: Arc<AtomicI64>,
    place: Place,
}

enum Place {
    Folder(TempDir),
    Database(Database),
}

impl Place {
    fn open(&self) -> Metadata {
        let location = match self {
            Self::Folder(folder) => Location::Sqlite(Config::new(folder.path().join("index.db"))),
            Self::Database(database) => Location::parse(&database.url()).unwrap(),
        };
        Metadata::open(location).unwrap()
    }
}

impl Fixture {
    /// Empty, on an engine; on SQLite where the engine is not to be tested on.
    pub fn on(engine: Engine) -> Self {
        let place = match engine {
            Engine::Server(kind) if databases::is_wanted(kind.name()) => Place::Database(kind.database()),
            _ => Place::Folder(tempfile::tempdir().unwrap()),
        };
        Self {
            metadata: place.open(),
            clock: Arc::new(AtomicI64::new(1_800_000_000_000_000)),
            place,
        }
    }

    pub fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || jiff::Timestamp::from_microsecond(clock.load(Ordering::SeqCst)).unwrap())
    }

    pub fn now(&self) -> jiff::Timestamp {
        (self.clock())()
    }

    pub fn advance(&self, by: Duration) {
        self.clock
            .fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// The handle of a process: on a server with connections of its own.
    pub fn jobs(&self) -> Jobs {
        let metadata = match &self.place {
            Place::Folder(_) => self.metadata.clone(),
            Place::Database(_) => self.place.open(),
        };
        Jobs::new(metadata, self.clock())
    }

    /// The runner of a process, quick to look and to give up.
    pub fn runner(&self, jobs: &Jobs, owner: &str) -> Runner {
        let config = RunnerConfig {
            notes: Duration::from_millis(10),
            poll: Duration::from_millis(10),
            patience: Duration::from_millis(200),
            ..RunnerConfig::new(owner)
        };
        Runner::new(jobs.clone(), config)
    }

    pub async fn write<T: Send + 'static>(
        &self,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, wharf_metadata::Error> + Send + 'static,
    ) -> T {
        self.metadata.write(write).await.unwrap()
    }

    /// Waits until a job is in a state.
    pub async fn until(&self, id: i64, state: State) -> Job {
        let jobs = self.jobs();
        until(&format!("job {id} is {}", state.as_str()), async || {
            jobs.show(id).await.unwrap().state == state
        })
        .await;
        jobs.show(id).await.unwrap()
    }
}

/// A runner at work.
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the test waits for the task, or ends it")]
    pub fn start(runner: Runner) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(runner.run(async move { stopped.await.unwrap_or_default() }));
        Self { stop, task }
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    /// Ends it as a crash does: nothing more is written down.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A kind whose failures are tried again soon.
pub fn kind() -> Kind {
    Kind::new("sweep", "Sweeps the rooms").backoff(Duration::from_secs(10), Duration::from_secs(60))
}

/// From one time to a later one.
pub fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

/// A job as it has ended.
pub async fn ended(jobs: &Jobs, id: i64) -> Job {
    let waited = tokio::time::timeout(Duration::from_secs(30), jobs.wait(id)).await;
    waited.unwrap_or_else(|_| Err(Error::UnknownJob(id))).unwrap()
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "never happened: {what}");
}
