//! The connections of one handle, and running jobs on them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::failure::{Class, Failure};
use super::numbers::Numbers;
use super::session::{Purpose, Session};
use crate::error::Kind;
use crate::{Doubts, Error, Tx, cache_versions};

/// How often a job may meet the same trouble: losing to another transaction, or finding a key
/// taken that was free a moment ago.
const CONFLICTS: u32 = 12;
const CONSTRAINTS: u32 = 2;
/// How often a job begins again on a new connection.
const LOSSES: u32 = 2;

/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

/// At most so many connections of one server.
pub(crate) struct Pool {
    config: Config,
    permits: Arc<Semaphore>,
    /// The one that was used last is used next, so that the others can be closed.
    idle: Mutex<Vec<Session>>,
    numbers: Arc<Numbers>,
    writing: Mutex<Writing>,
    written: Condvar,
    doubts: Arc<Doubts>,
    /// Other processes write too, and must learn what changes.
    is_shared: AtomicBool,
}

#[derive(Default)]
struct Writing {
    is_open: bool,
    jobs: usize,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(config.max_connections.max(1))),
            numbers: Arc::default(),
            config,
            idle: Mutex::default(),
            writing: Mutex::default(),
            written: Condvar::new(),
            doubts: Arc::default(),
            is_shared: AtomicBool::new(false),
        }
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) const fn doubts(&self) -> &Arc<Doubts> {
        &self.doubts
    }

    /// The right to use a connection, in the order of asking. Kept until the job has ended.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|error| Error::new(Kind::Unavailable, "wait for a database connection", error))
    }

    /// [`Self::permit`] for a thread that may block.
    pub(crate) fn permit_blocking(&self) -> Result<OwnedSemaphorePermit, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::new(Kind::Unavailable, "wait for a database connection", error))?;
        runtime.block_on(self.permit())
    }

    /// Reads one snapshot and hands the answer over before the transaction ends.
    pub(crate) fn read<T, E: From<Error>>(
        &self,
        is_long: bool,
        read: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
        answer: impl FnOnce(Result<T, E>),
    ) {
        let mut session = match self.begin(Purpose::Read { is_long }) {
            Ok(session) => session,
            Err(failure) => return answer(Err(failure.error.into())),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&mut Tx::server(&mut session))));
        answer(outcome.unwrap_or_else(|_| {
            let what = "a read panicked";
            Err(Error::new(Kind::Other, "read", what).into())
        }));
        self.end(session);
    }

    /// Runs a job until it is committed, refuses, or has lost too often.
    pub(crate) fn write<T, E: From<Error>>(
        &self,
        fencing: i64,
        mut job: impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.writer()?;
        if self.numbers.must_take() {
            // without a block the job takes its numbers one by one
            self.numbers.add(self.take_numbers(fencing));
        }
        let mut tries = Tries::default();
        loop {
            let mut session = match self.begin(Purpose::Write { fencing }) {
                Ok(session) => session,
                Err(failure) => return Err(failure.error.into()),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| job(&mut Tx::server(&mut session))))
                .unwrap_or_else(|_| Err(panicked().into()));
            let outcome = outcome.and_then(|value| {
                self.tell_others(&mut session)?;
                Ok(value)
            });
            let (failure, result) = match (session.failure(), outcome) {
                (None, Ok(value)) => match session.commit() {
                    Ok(()) => {
                        self.keep(session);
                        return Ok(value);
                    }
                    // the server may have made the change before the connection went
                    Err(failure) if failure.class == Class::Lost => {
                        self.doubts.raise();
                        return Err(unknown(&failure).into());
                    }
                    Err(failure) => (failure.class, Err(failure.error.into())),
                },
                (None, Err(refusal)) => {
                    self.end(session);
                    return Err(refusal);
                }
                (Some(class), Ok(_)) => (class, Err(ignored().into())),
                (Some(class), Err(error)) => (class, Err(error)),
            };
            match failure {
                Class::Lost => drop(session),
                Class::Conflict | Class::Constraint | Class::Done | Class::Final => self.end(session),
            }
            if !tries.again(failure) {
                return result;
            }
        }
    }

    /// As the last statement of a transaction: whoever else changes the same waits no longer than the
    /// commit takes.
    fn tell_others(&self, session: &mut Session) -> Result<(), Error> {
        let shards = session.changes.shards();
        if shards.is_empty() || !self.is_shared.load(Ordering::Acquire) || session.failure().is_some() {
            return Ok(());
        }
        cache_versions::raise(&mut Tx::server(session), shards)
    }

    /// Says that other processes write too.
    pub(crate) fn share(&self) {
        self.is_shared.store(true, Ordering::Release);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Acquire)
    }

    /// A block of numbers, in a transaction of its own.
    fn take_numbers(&self, fencing: i64) -> Option<Range<i64>> {
        let mut session = self.begin(Purpose::Write { fencing }).ok()?;
        let taken = Numbers::take(&mut session).ok();
        // a block whose commit failed is not used
        let is_kept = taken.is_some() && session.commit().is_ok();
        if is_kept {
            self.keep(session);
        } else {
            self.end(session);
        }
        taken.filter(|_| is_kept)
    }

    /// A connection for work that is no job. Not given back: it is closed.
    pub(crate) fn connect(&self) -> Result<Session, Error> {
        Session::connect(&self.config, &self.numbers).map_err(|failure| self.explain(failure).error)
    }

    /// A connection with a transaction begun. Connections that broke while they were idle (all
    /// did when the server was started again) are passed over.
    fn begin(&self, purpose: Purpose) -> Result<Session, Failure> {
        loop {
            let (mut session, is_new) = match self.take() {
                Some(session) => (session, false),
                None => (
                    Session::connect(&self.config, &self.numbers).map_err(|failure| self.explain(failure))?,
                    true,
                ),
            };
            match session.begin(purpose) {
                Ok(()) => return Ok(session),
                // the others have hardly fared better
                Err(failure) if failure.class == Class::Lost && !is_new => self.clear(),
                Err(failure) => {
                    if failure.class != Class::Lost {
                        self.end(session);
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// The failure with the server's name, which a person needs.
    fn explain(&self, failure: Failure) -> Failure {
        let error = &failure.error;
        let text = format!("{}: {}", self.config, error.cause());
        Failure {
            error: Error::new(error.kind(), error.operation(), text),
            class: failure.class,
        }
    }

    /// Ends a transaction that changed nothing.
    fn end(&self, mut session: Session) {
        if session.roll_back().is_ok() {
            self.keep(session);
        }
    }

    fn take(&self) -> Option<Session> {
        self.idle().pop()
    }

    fn keep(&self, mut session: Session) {
        let now = Instant::now();
        session.idle_since = now;
        let mut idle = self.idle();
        idle.push(session);
        // the longest idle lie at the bottom
        let fresh = idle
            .iter()
            .position(|session| now.duration_since(session.idle_since) < IDLE)
            .unwrap_or_default();
        let closed: Vec<_> = idle.drain(..fresh).collect();
        drop(idle);
        drop(closed);
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn clear(&self) {
        let sessions = std::mem::take(&mut *self.idle());
        drop(sessions);
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writing().is_open
    }

    /// Lets writes in.
    pub(crate) fn open_writing(&self) {
        self.writing().is_open = true;
    }

    /// Refuses writes from now on and waits for those under way.
    pub(crate) fn close_writing(&self) {
        let mut writing = self.writing();
        writing.is_open = false;
        while writing.jobs > 0 {
            writing = self.written.wait(writing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn writer(&self) -> Result<Turn<'_>, Error> {
        let mut writing = self.writing();
        if !writing.is_open {
            return Err(Error::stands_by());
        }
        writing.jobs += 1;
        Ok(Turn { pool: self })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        // a panic elsewhere leaves whole connections in the list
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One job that writes.
struct Turn<'p> {
    pool: &'p Pool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.writing().jobs -= 1;
        self.pool.written.notify_all();
    }
}

/// How often a job met what.
#[derive(Default)]
struct Tries {
    conflicts: u32,
    constraints: u32,
    losses: u32,
}

impl Tries {
    /// Whether it may run again; waits a little where that helps.
    fn again(&mut self, class: Class) -> bool {
        let (count, most) = match class {
            Class::Conflict => (&mut self.conflicts, CONFLICTS),
            Class::Constraint => (&mut self.constraints, CONSTRAINTS),
            Class::Lost => (&mut self.losses, LOSSES),
            Class::Done | Class::Final => return false,
        };
        *count += 1;
        if *count > most {
            return false;
        }
        if class == Class::Conflict {
            std::thread::sleep(Duration::from_millis(1 << (*count).min(6)));
        }
        true
    }
}

pub(crate) fn panicked() -> Error {
    Error::new(Kind::Other, "write", "a write job panicked; its changes were undone")
}

fn ignored() -> Error {
    Error::new(
        Kind::Other,
        "write",
        "a statement failed and its job went on; its changes were undone",
    )
}

fn unknown(failure: &Failure) -> Error {
    Error::new(
        Kind::Unavailable,
        "commit",
        format!(
            "the connection to the database was lost, and whether the change was made is unknown: {}",
            failure.error.cause()
        ),
    )
}
