//! Kinds of jobs and the work behind them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Outcome, Run, Schedule};

/// What runs the jobs of a kind. An async function `fn(Run) -> Outcome` is one.
pub trait Work: Send + Sync + 'static {
    /// Does one job, or goes on with it from its checkpoint. It is told to stop through `run`, and
    /// is cut off between two awaits when it does not stop in time.
    ///
    /// # Errors
    ///
    /// Why it did not succeed, and whether it is worth another attempt.
    fn run(&self, run: Run) -> impl Future<Output = Outcome> + Send;
}

impl<F, R> Work for F
where
    F: Fn(Run) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send,
{
    fn run(&self, run: Run) -> impl Future<Output = Outcome> + Send {
        self(run)
    }
}

/// [`Work`] as a table of kinds can hold it.
pub(crate) trait AnyWork: Send + Sync {
    fn run_any<'w>(&'w self, run: Run) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'w>>;
}

impl<W: Work> AnyWork for W {
    fn run_any<'w>(&'w self, run: Run) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'w>> {
        Box::pin(self.run(run))
    }
}

/// A kind of jobs and how it is treated.
#[derive(Clone, Debug)]
pub struct Kind {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) schedule: Schedule,
    pub(crate) most_running: usize,
    pub(crate) attempts: u64,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) payload: Option<Value>,
}

impl Kind {
    /// The key of the jobs that a schedule makes and that people start by the kind's name: one of
    /// them waits and one runs at most.
    pub const SCHEDULED: &'static str = "scheduled";

    /// A kind of which one job runs at a time in all processes together, that is tried five times,
    /// half a minute later first and an hour later at most, and has no schedule. `name` is short,
    /// lower case with underscores, and stays the same forever; `title` says to people what it does.
    #[must_use]
    pub fn new(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            schedule: Schedule::never(),
            most_running: 1,
            attempts: 5,
            backoff: (Duration::from_secs(30), Duration::from_secs(3_600)),
            payload: Some(json!({})),
        }
    }

    /// When its jobs are made, unless an administrator has set another schedule.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// How many of its jobs may run at the same time, in all processes together.
    #[must_use]
    pub fn most_running(mut self, most: usize) -> Self {
        self.most_running = most.max(1);
        self
    }

    /// How often a job is tried, attempts that a crash ended included.
    #[must_use]
    pub fn attempts(mut self, attempts: u64) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long a failed job waits for its second attempt, and at most: each wait is twice the
    /// one before.
    #[must_use]
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = (first, most);
        self
    }

    /// What its jobs are to do when a schedule or a person makes them; `{}` when nothing is said.
    #[must_use]
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Its jobs need a payload that only a capability can give: neither a schedule nor a person
    /// can make them by the kind's name alone.
    #[must_use]
    pub fn not_startable(mut self) -> Self {
        self.payload = None;
        self
    }

    /// The wait after so many failed attempts.
    pub(crate) fn wait_after(&self, attempts: u64) -> Duration {
        let (first, most) = self.backoff;
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(30);
        first.saturating_mul(1 << doublings).min(most)
    }
}

/// A kind as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindStatus {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// Whether a person can start one of its jobs, and schedule them.
    pub is_startable: bool,
    /// Whether its jobs run; they wait otherwise.
    pub is_enabled: bool,
    /// When its jobs are made.
    pub schedule: String,
    /// The configured schedule, when an administrator has set another one.
    pub overridden: Option<String>,
    /// When the next one is made.
    pub next_at: Option<Timestamp>,
    /// When one was last done.
    pub last_success_at: Option<Timestamp>,
    /// When one was last given up.
    pub last_failure_at: Option<Timestamp>,
}
