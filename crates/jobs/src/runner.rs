//! Runs what is due: one loop per process.

mod attempt;
mod plan;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use wharf_metadata::Tx;
use wharf_metadata::jobs::{self, Claim, Job};

use crate::kind::AnyWork;
use crate::run::{Run, Stop};
use crate::{Jobs, Kind, Work};

/// How a process runs jobs.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// The name of this process among all that share the index; no two may have the same.
    pub owner: String,
    /// How long a job stays with a process that says nothing: after that time it is begun again
    /// elsewhere. Clocks of processes may differ by half of it.
    pub lease: Duration,
    /// How often progress and logs are written down, and a wish to cancel is seen.
    pub notes: Duration,
    /// How many jobs of all kinds this process runs at the same time.
    pub concurrency: usize,
    /// How often it is looked for jobs that other processes have made.
    pub poll: Duration,
    /// How long work may take to stop when it is told to; it is cut off then.
    pub patience: Duration,
    /// Whether no other process can run jobs of this index: what one has left that died goes on at
    /// once, and not when its lease is over.
    pub is_alone: bool,
}

impl RunnerConfig {
    /// What is good for a server.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            lease: Duration::from_secs(60),
            notes: Duration::from_secs(2),
            concurrency: 8,
            poll: Duration::from_secs(5),
            patience: Duration::from_secs(7),
            is_alone: false,
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The job is done.
    Done,
    /// The job is given up.
    Failed,
    /// The job will be tried again.
    Retried,
    /// The job was cancelled.
    Cancelled,
    /// The process stops; another one goes on with the job.
    Interrupted,
    /// Another process had taken the job over.
    Lost,
}

impl End {
    /// As metrics and logs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

/// An attempt that has ended, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The kind of the job.
    pub kind: &'static str,
    /// What became of it.
    pub end: End,
    /// How long it took.
    pub took: Duration,
}

/// Hears of every attempt that ends.
pub type Observer = Arc<dyn Fn(Ended) + Send + Sync>;

/// Runs the jobs of registered kinds. A clone runs the same kinds in the same way.
#[derive(Clone)]
pub struct Runner {
    jobs: Jobs,
    config: RunnerConfig,
    works: HashMap<&'static str, Registered>,
    is_command: bool,
    observer: Observer,
}

#[derive(Clone)]
struct Registered {
    kind: Kind,
    work: Arc<dyn AnyWork>,
}

/// What one attempt needs of the runner.
#[derive(Clone)]
struct Core {
    jobs: Jobs,
    config: RunnerConfig,
    observer: Observer,
}

impl Runner {
    /// Without any kinds yet.
    #[must_use]
    pub fn new(jobs: Jobs, config: RunnerConfig) -> Self {
        Self {
            jobs,
            config,
            works: HashMap::new(),
            is_command: false,
            observer: Arc::new(|_| {}),
        }
    }

    /// Tells an observer of every attempt that ends.
    #[must_use]
    pub fn observed(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Runs nothing but jobs that are enqueued through the same [`Jobs`] from now on: for a command
    /// that works on the index of a server that is stopped.
    #[must_use]
    pub fn for_command(mut self) -> Self {
        self.jobs.remember_wanted();
        self.is_command = true;
        self
    }

    /// Makes a kind known, and what runs its jobs. The last one of a name counts.
    pub fn register(&mut self, kind: Kind, work: impl Work) {
        self.jobs.register(kind.clone());
        let work = Arc::new(work);
        self.works.insert(kind.name, Registered { kind, work });
    }

    /// Makes known a kind that forgets jobs that ended so long ago.
    pub fn register_purge(&mut self, kind: Kind, retention: Duration) {
        let jobs = self.jobs.clone();
        self.register(kind, move |run| plan::purge(jobs.clone(), run, retention));
    }

    /// Runs what is due until `stopping` is ready; then tells running jobs to stop, and gives them
    /// back so that another process, or the next start, goes on with them.
    pub async fn run(self, stopping: impl Future<Output = ()> + Send) {
        let mut attempts = Attempts::default();
        tokio::pin!(stopping);
        let mut is_planned = false;
        loop {
            let pause = self.turn(&mut attempts, &mut is_planned).await;
            tokio::select! {
                () = &mut stopping => break,
                () = self.jobs.woken() => {}
                () = attempts.next_end(), if !attempts.tasks.is_empty() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        attempts.stop(&self.jobs).await;
    }

    /// Runs one job that waits, now and in this process only, and answers it as it ended; `None` if
    /// it could not be claimed: it runs elsewhere, or another one of its kind does.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub async fn run_one(&self, id: i64) -> Result<Option<Job>, crate::Error> {
        let job = self.jobs.show(id).await?;
        let Some(registered) = self.works.get(job.kind.as_str()) else {
            return Err(crate::Error::NotStartable(job.kind));
        };
        self.prepare(registered).await?;
        match self.claim(registered, Some(id)).await? {
            Some(job) => {
                let core = self.core();
                let run = core.begin(job);
                core.attempt(registered.clone(), run).await;
                Ok(Some(self.jobs.show(id).await?))
            }
            None => Ok(None),
        }
    }

    /// Starts everything that is due; answers how long nothing will be.
    async fn turn(&self, attempts: &mut Attempts, is_planned: &mut bool) -> Duration {
        match self.start_due(attempts, is_planned).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "due jobs cannot be looked up; it is tried again");
                self.config.poll
            }
        }
    }

    async fn start_due(&self, attempts: &mut Attempts, is_planned: &mut bool) -> Result<Duration, crate::Error> {
        if !*is_planned {
            if self.config.is_alone {
                self.take_over().await?;
            }
            for registered in self.works.values() {
                self.prepare(registered).await?;
            }
            *is_planned = true;
        }
        match self.is_command {
            true => self.start_wanted(attempts).await?,
            false => {
                self.make_scheduled().await?;
                self.start_all_due(attempts).await?;
            }
        }
        let now = self.jobs.now();
        let next = self.jobs.metadata().read(move |tx| jobs::next_due(tx, now)).await?;
        let until = next.map_or(i64::MAX, |next| next.0.saturating_sub(now.0).max(0));
        Ok(Duration::from_micros(until.unsigned_abs()).min(self.config.poll))
    }

    /// What a process has left that died waits again.
    async fn take_over(&self) -> Result<(), crate::Error> {
        let (owner, now) = (self.config.owner.clone(), self.jobs.now());
        let write = move |tx: &mut Tx<'_>| jobs::return_others(tx, &owner, now);
        let left = self.jobs.metadata().write(write).await?;
        if left > 0 {
            tracing::info!(jobs = left, "jobs that a process has left go on");
        }
        Ok(())
    }

    async fn start_all_due(&self, attempts: &mut Attempts) -> Result<(), crate::Error> {
        let now = self.jobs.now();
        let due = self.jobs.metadata().read(move |tx| jobs::due_kinds(tx, now)).await?;
        for registered in due.iter().filter_map(|kind| self.works.get(kind.as_str())) {
            while attempts.tasks.len() < self.config.concurrency
                && let Some(job) = self.claim(registered, None).await?
            {
                self.start(attempts, registered, job);
            }
        }
        Ok(())
    }

    async fn start_wanted(&self, attempts: &mut Attempts) -> Result<(), crate::Error> {
        for id in self.jobs.wanted() {
            let job = self.jobs.show(id).await?;
            if job.state.is_end() {
                self.jobs.forget_wanted(id);
                continue;
            }
            let Some(registered) = self.works.get(job.kind.as_str()) else {
                continue;
            };
            if let Some(job) = self.claim(registered, Some(id)).await? {
                self.start(attempts, registered, job);
            }
        }
        Ok(())
    }

    fn start(&self, attempts: &mut Attempts, registered: &Registered, job: Job) {
        let (core, registered) = (self.core(), registered.clone());
        let run = core.begin(job);
        let attempt = async move { core.attempt(registered, run).await };
        attempts.tasks.spawn(attempt);
    }

    async fn claim(&self, registered: &Registered, only: Option<i64>) -> Result<Option<Job>, crate::Error> {
        let (kind, most_running) = (registered.kind.name, registered.kind.most_running);
        let (owner, now) = (self.config.owner.clone(), self.jobs.now());
        let lease_until = now.plus(micros(self.config.lease));
        let claimed = self.jobs.metadata().write(move |tx| {
            let claim = Claim {
                kind,
                owner: &owner,
                most_running,
                lease_until,
                only,
            };
            jobs::claim(tx, &claim, now)
        });
        Ok(claimed.await?)
    }

    fn core(&self) -> Core {
        Core {
            jobs: self.jobs.clone(),
            config: self.config.clone(),
            observer: Arc::clone(&self.observer),
        }
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("config", &self.config)
            .field("kinds", &self.works.keys())
            .finish_non_exhaustive()
    }
}

/// The attempts that run in this process.
#[derive(Default)]
struct Attempts {
    tasks: JoinSet<()>,
}

impl Attempts {
    /// Waits until one has ended.
    async fn next_end(&mut self) {
        let ended: Option<Result<(Id, ()), _>> = self.tasks.join_next_with_id().await;
        if let Some(Err(error)) = ended {
            tracing::error!(%error, "a job ended in a way that nobody expected; it is begun again when its lease is over");
        }
    }

    /// Tells all to stop and waits for them: each of them is patient for a bounded time.
    async fn stop(mut self, jobs: &Jobs) {
        let running: Vec<Run> = jobs.running().values().cloned().collect();
        for run in running {
            run.stop(Stop::Shutdown);
        }
        while !self.tasks.is_empty() {
            self.next_end().await;
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
