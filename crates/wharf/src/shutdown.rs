//! Stopping in order: one token that says "finish", and the set of tasks that is waited for.
//!
//! The first SIGTERM or SIGINT begins a graceful stop; a second one ends the process at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long requests in flight may take after the signal when `http.draintimeout` is 0 or absent.
///
/// Distribution cuts every connection at once then. Every client of ours retries a cut transfer,
/// but ten seconds let nearly all of them finish and are well within Kubernetes' 30.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// Says to everybody who holds it that the process is stopping. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    token: CancellationToken,
}

impl Shutdown {
    /// A token that nobody has pulled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the stop. Further calls do nothing.
    pub fn begin(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Whether the stop has begun: one atomic load.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    /// Waits until the stop begins.
    pub async fn stopping(&self) {
        self.0.token.cancelled().await;
    }

    /// [`Shutdown::stopping`] as a future that can be kept.
    pub fn stopping_owned(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.token.clone().cancelled_owned()
    }
}

/// The signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Exit status of a process that SIGINT or SIGTERM ended, as a shell shows it.
const EXIT_INTERRUPT: i32 = 130;
const EXIT_TERMINATE: i32 = 143;

impl Signals {
    /// Starts to catch SIGTERM and SIGINT. Call it within the runtime, before listening.
    ///
    /// # Errors
    /// When the system refuses to install a handler.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Begins the stop at the first signal and ends the process at the second. Never returns;
    /// run it as a task of its own.
    pub async fn run(mut self, shutdown: Shutdown) {
        let name = self.next().await.0;
        tracing::info!("{name} received, finishing requests in flight; send it again to stop at once");
        shutdown.begin();
        let (name, status) = self.next().await;
        tracing::warn!("{name} received again, stopping at once");
        std::process::exit(status);
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", EXIT_TERMINATE),
            _ = self.interrupt.recv() => ("SIGINT", EXIT_INTERRUPT),
        }
    }
}

/// The background tasks of the process. A task watches the [`Shutdown`] it was given and returns;
/// [`Tasks::finish`] waits for all.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    running: Arc<Mutex<BTreeMap<u64, &'static str>>>,
    next: Arc<AtomicU64>,
}

impl Tasks {
    /// An empty set whose tasks are told to stop by `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            ..Self::default()
        }
    }

    /// The token that the tasks watch.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task. A panic in it is logged with its name and ends only this task.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entry = Entry::new(self, name);
        // the tracker is what shutdown waits for
        let future = self.tracker.track_future(async move {
            let _entry = entry;
            task.await;
        });
        start(future);
    }

    /// Waits for all tasks, at most `limit`. Returns the names of those that are still running.
    pub async fn finish(&self, limit: Duration) -> Vec<&'static str> {
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().copied().collect()
    }
}

/// Starts a future of this crate on the runtime; whoever calls it keeps a way to wait for it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the composition root's one place that starts tasks"
)]
pub(crate) fn start<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    drop(tokio::spawn(future));
}

/// Keeps a task's name in the list while it runs.
struct Entry {
    tasks: Arc<Mutex<BTreeMap<u64, &'static str>>>,
    id: u64,
    name: &'static str,
}

impl Entry {
    fn new(tasks: &Tasks, name: &'static str) -> Self {
        let id = tasks.next.fetch_add(1, Ordering::Relaxed);
        let mut running = tasks.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, name);
        Self {
            tasks: Arc::clone(&tasks.running),
            id,
            name,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "background task panicked");
        }
        let mut running = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.id);
    }
}
