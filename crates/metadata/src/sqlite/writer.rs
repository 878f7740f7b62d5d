//! The writer thread: commits what is queued as one group.
//!
//! A commit waits for the disk, so all jobs that arrived meanwhile share the next one. One that
//! fails does not undo its neighbours: the group is undone and runs again, each job in a
//! savepoint. Not at once, because in a savepoint SQLite copies every page before its first change.
//! A job is answered only when the commit that holds it is durable.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicI64, atomic::Ordering},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::changes::Counters;
use super::statement::translate;
use crate::error::Kind;
use crate::transfer::Changes;
use crate::{Error, Tx, ownership};

/// How many jobs may wait; more wait in their own tasks.
const QUEUE: usize = 1024;

/// The most jobs of one commit.
const GROUP: usize = 256;

/// A unit of work with a way to answer it. It may run more than once; its last run counts.
pub(crate) trait Job: Send {
    /// Runs it; says whether its changes are to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Rejected>;
    /// Answers with the result of the last run, or with `failure` when nothing was kept.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

/// The job itself said no: its changes go, its result stays.
pub(crate) struct Rejected;

struct Closure<T, E, F> {
    job: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

/// A closure as a [`Job`], and where its result arrives.
pub(crate) fn job<T, E, F>(job: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    let result = None;
    (Box::new(Closure { job, result, answer }), receiver)
}

impl<T, E, F> Job for Closure<T, E, F>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Rejected> {
        self.result = None;
        let result = catch_unwind(AssertUnwindSafe(|| (self.job)(tx))).unwrap_or_else(|_| Err(panicked().into()));
        let outcome = if result.is_ok() { Ok(()) } else { Err(Rejected) };
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let result = match (failure, self.result) {
            // a refusal of the job itself is true whatever became of the others
            (_, Some(Err(refusal))) => Err(refusal),
            (None, Some(Ok(value))) => Ok(value),
            (Some(failure), _) => Err(failure.into()),
            (None, None) => Err(stopped().into()),
        };
        // nobody may be waiting any more; the change is made all the same
        drop(self.answer.send(result));
    }
}

fn panicked() -> Error {
    Error::new(Kind::Other, "write", "a write job panicked; its changes were undone")
}

/// Nobody writes (any more).
pub(crate) fn stopped() -> Error {
    Error::new(Kind::Unavailable, "write", "the index was closed")
}

/// The queue in front of the writer thread. Dropping it lets the thread finish what is queued.
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    thread: JoinHandle<()>,
    changes: Arc<Counters>,
}

impl Writer {
    /// Starts the thread. `fencing` is the number that the owner record must hold, 0 for any.
    pub(crate) fn start(connection: Connection, fencing: Arc<AtomicI64>) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let changes = Arc::<Counters>::default();
        let counted = Arc::clone(&changes);
        let thread = std::thread::Builder::new()
            .name("index-writer".into())
            .spawn(move || write_groups(&connection, jobs, &fencing, &counted))
            .map_err(|error| Error::new(Kind::Unavailable, "start the writer thread", error))?;
        Ok(Self { queue, thread, changes })
    }

    /// What was changed since the writer was started.
    pub(crate) fn changes(&self) -> Changes {
        self.changes.read()
    }

    pub(crate) fn queue(&self) -> mpsc::Sender<Box<dyn Job>> {
        self.queue.clone()
    }

    /// Waits until everything queued is written and the connection is closed.
    pub(crate) fn stop(self) {
        drop(self.queue);
        // jobs catch their panics; were there one elsewhere, the thread has ended all the same
        drop(self.thread.join());
    }
}

fn write_groups(
    connection: &Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    fencing: &AtomicI64,
    changes: &Counters,
) {
    let mut group = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        group.push(first);
        while group.len() < GROUP
            && let Ok(next) = jobs.try_recv()
        {
            group.push(next);
        }
        let expected = fencing.load(Ordering::Acquire);
        let written = match write_together(connection, &mut group, expected) {
            // what it says is answered below
            Err(Failure::Refused) if group.len() == 1 => Ok(()),
            Err(Failure::Refused) => write_apart(connection, &mut group, expected),
            written => written,
        };
        // before anybody is answered
        changes.committed();
        match written {
            Ok(()) => group.drain(..).for_each(|job| job.answer(None)),
            Err(Failure::All(error)) => group.drain(..).for_each(|job| job.answer(Some(error.again()))),
            Err(Failure::RolledBack | Failure::Refused) => {
                for job in group.drain(..) {
                    write_alone(connection, job, expected, changes);
                }
            }
        }
    }
}

enum Failure {
    /// Nothing of the group was kept.
    All(Error),
    /// One job made SQLite undo the whole transaction (a full disk may): the others deserve
    /// another try.
    RolledBack,
    /// One job said no, and nothing was kept.
    Refused,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::All(error)
    }
}

/// Writes a group of which no job says no.
fn write_together(connection: &Connection, group: &mut [Box<dyn Job>], fencing: i64) -> Result<(), Failure> {
    write_group(connection, group, fencing, |job| {
        let kept = job.run(&mut Tx::sqlite(connection));
        if connection.is_autocommit() {
            return Err(Failure::RolledBack);
        }
        kept.map_err(|Rejected| Failure::Refused)
    })
}

/// Writes a group without the changes of those of its jobs that say no.
fn write_apart(connection: &Connection, group: &mut [Box<dyn Job>], fencing: i64) -> Result<(), Failure> {
    write_group(connection, group, fencing, |job| run_in_savepoint(connection, job))
}

fn write_group(
    connection: &Connection,
    group: &mut [Box<dyn Job>],
    fencing: i64,
    mut write: impl FnMut(&mut dyn Job) -> Result<(), Failure>,
) -> Result<(), Failure> {
    begin(connection, fencing)?;
    let written = group.iter_mut().try_for_each(|job| write(job.as_mut()));
    let outcome = written.and_then(|()| run(connection, "commit the group", "commit").map_err(Failure::All));
    if outcome.is_err() {
        roll_back(connection);
    }
    outcome
}

fn run_in_savepoint(connection: &Connection, job: &mut dyn Job) -> Result<(), Failure> {
    run(connection, "begin a job", "savepoint job")?;
    let kept = job.run(&mut Tx::sqlite(connection));
    if connection.is_autocommit() {
        return Err(Failure::RolledBack);
    }
    if kept.is_err() {
        run(connection, "undo a job", "rollback to job")?;
    }
    run(connection, "end a job", "release job")?;
    Ok(())
}

fn write_alone(connection: &Connection, mut job: Box<dyn Job>, fencing: i64, changes: &Counters) {
    let outcome = begin(connection, fencing).and_then(|()| match job.run(&mut Tx::sqlite(connection)) {
        Ok(()) => run(connection, "commit", "commit"),
        Err(Rejected) => Ok(()),
    });
    roll_back(connection);
    changes.committed();
    job.answer(outcome.err());
}

/// Begins a transaction, if the index is still ours (consistency rule 9).
fn begin(connection: &Connection, fencing: i64) -> Result<(), Error> {
    run(connection, "begin to write", "begin immediate")?;
    if fencing == 0 {
        return Ok(());
    }
    let checked = match ownership::fencing(&mut Tx::sqlite(connection)) {
        Ok(current) if current == fencing => return Ok(()),
        Ok(current) => Error::new(
            Kind::Fenced,
            "begin to write",
            format!("another process took the index over (fencing number {current}, ours is {fencing})"),
        ),
        Err(error) => error,
    };
    roll_back(connection);
    Err(checked)
}

/// Ends a transaction that may have ended already.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // should it fail, the next `begin` fails and says why
        drop(run(connection, "roll back", "rollback"));
    }
}

fn run(connection: &Connection, operation: &'static str, sql: &str) -> Result<(), Error> {
    let failed = |error| translate(operation, error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.execute(()).map_err(failed)?;
    Ok(())
}
