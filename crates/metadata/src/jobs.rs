//! Long and scheduled work: what is to be done, who does it, and what came of it.
//!
//! A job waits, runs under a lease and ends. Whoever claims it gets a fencing number, and nothing
//! that another holder says of it afterwards counts. Of one kind and key at most one job waits and
//! at most one runs. The engine that uses this is the crate `jobs`.

mod kinds;
mod lease;
mod log;

use crate::dialect::Upsert;
use crate::error::Kind;
use crate::value::{Row, Value, args};
use crate::{Error, Timestamp, Tx};

pub use kinds::{KindRow, due_schedules, kind, kinds, plan, register, set_enabled, set_schedule};
pub use lease::{
    Claim, Ending, Lease, Renewal, Returned, Returning, checkpoint, claim, due_kinds, finish, is_held, is_running,
    next_due, renew, return_others, return_to_queue,
};
pub use log::{LogLine, append_log, log_page};

/// The longest key of a job, in bytes.
pub const LONGEST_KEY: usize = 400;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It waits for its time, or for somebody to run it.
    Waiting,
    /// Somebody runs it, or died doing so.
    Running,
    /// It did what it was for.
    Done,
    /// It was given up.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will happen to it any more.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    const fn number(self) -> i64 {
        self as i64
    }
}

/// How far a job has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many things are done.
    pub done: u64,
    /// Of how many, when that is known.
    pub total: Option<u64>,
    /// What the things are, or what is being done.
    pub text: String,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its row.
    pub id: i64,
    /// What kind of work it is.
    pub kind: String,
    /// What it works on, when jobs of the kind are told apart.
    pub key: Option<String>,
    /// How it stands.
    pub state: State,
    /// What it is to do, as JSON.
    pub payload: String,
    /// What an attempt left for the next one, as JSON.
    pub checkpoint: Option<String>,
    /// Larger ones are run first.
    pub priority: i64,
    /// When it may run.
    pub run_at: Timestamp,
    /// How often it was begun.
    pub attempts: u64,
    /// The number of the last claim.
    pub fencing: i64,
    /// The process that runs it.
    pub owner: Option<String>,
    /// Until when it is that process's.
    pub lease_until: Option<Timestamp>,
    /// How far it has come.
    pub progress: Progress,
    /// What came of it, as JSON.
    pub summary: Option<String>,
    /// Why the last attempt failed, or why it ended without an attempt.
    pub error: Option<String>,
    /// Who wanted it.
    pub requested_by: String,
    /// Who wants it no more.
    pub cancelled_by: Option<String>,
    /// When it was wanted.
    pub created_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A job that is to be done.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// What kind of work it is.
    pub kind: &'a str,
    /// While a job of this kind and key waits, no second one is made; while one runs, the next
    /// waits for its end. At most [`LONGEST_KEY`] bytes. Without a key, jobs are independent.
    pub key: Option<&'a str>,
    /// What it is to do, as JSON.
    pub payload: &'a str,
    /// When it may run.
    pub run_at: Timestamp,
    /// Larger ones are run first; 0 is usual.
    pub priority: i64,
    /// Who wants it; empty for this program itself.
    pub requested_by: &'a str,
}

/// What became of a wish for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits now.
    New(i64),
    /// One of the same key waits already.
    Waiting(i64),
}

impl Enqueued {
    /// The job that will do it.
    pub const fn id(self) -> i64 {
        match self {
            Self::New(id) | Self::Waiting(id) => id,
        }
    }
}

/// What became of a wish to cancel a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and has ended.
    Now,
    /// It runs, and is told to stop.
    Requested,
    /// It had ended before.
    Ended(State),
    /// There is no such job.
    Unknown,
}

/// Which jobs a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Only of this kind.
    pub kind: Option<&'a str>,
    /// Only in this state.
    pub state: Option<State>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, kind, job_key, state, payload, checkpoint, priority, run_at, attempts, fencing, owner, ",
            "lease_until, progress_done, progress_total, progress_text, summary, error, requested_by, cancelled_by, ",
            "created_at, started_at, ended_at from jobs ",
            $rest
        )
    };
}

const ENQUEUE: &str = "enqueue a job";
const COLUMNS: &str = "kind, job_key, waiting_key, state, payload, priority, run_at, attempts, fencing, \
                       progress_done, progress_text, requested_by, created_at";

static INSERT_KEYED: Upsert = Upsert::new("jobs", "waiting_key", COLUMNS, &[]);

/// Wishes for a job. A waiting one of the same key that was never begun is made to run as early
/// and as soon as this one would.
///
/// # Errors
///
/// A key that is too long, and failures of the index.
pub fn enqueue(tx: &mut Tx<'_>, new: &NewJob<'_>, now: Timestamp) -> Result<Enqueued, Error> {
    let Some(key) = new.key else {
        let sql = "insert into jobs (kind, job_key, waiting_key, state, payload, priority, run_at, attempts, fencing, \
                   progress_done, progress_text, requested_by, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        return tx.insert(ENQUEUE, sql, &values(new, None, now)).map(Enqueued::New);
    };
    if key.len() > LONGEST_KEY {
        let message = format!("the key of a job has more than {LONGEST_KEY} bytes");
        return Err(Error::new(Kind::Other, ENQUEUE, message));
    }
    let waiting_key = waiting_key(new.kind, key);
    // the one that waits may be claimed between the two statements
    for _ in 0..8 {
        let is_new = tx.upsert(ENQUEUE, &INSERT_KEYED, &values(new, Some(&waiting_key), now))? == 1;
        let found = tx.lock_one(
            ENQUEUE,
            "select id from jobs where waiting_key = ?",
            args![&waiting_key],
            |row| row.int(0),
        )?;
        match (found, is_new) {
            (Some(id), true) => return Ok(Enqueued::New(id)),
            (Some(id), false) => {
                pull_forward(tx, id, new)?;
                return Ok(Enqueued::Waiting(id));
            }
            (None, _) => {}
        }
    }
    Err(Error::new(
        Kind::Unavailable,
        ENQUEUE,
        "jobs of the same key come and go too quickly",
    ))
}

fn values<'a>(new: &NewJob<'a>, waiting_key: Option<&'a str>, now: Timestamp) -> [Value<'a>; 13] {
    [
        new.kind.into(),
        new.key.into(),
        waiting_key.into(),
        State::Waiting.number().into(),
        new.payload.into(),
        new.priority.into(),
        new.run_at.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        "".into(),
        new.requested_by.into(),
        now.into(),
    ]
}

fn waiting_key(kind: &str, key: &str) -> String {
    format!("{kind}/{key}")
}

fn pull_forward(tx: &mut Tx<'_>, id: i64, new: &NewJob<'_>) -> Result<(), Error> {
    tx.execute(
        ENQUEUE,
        "update jobs set run_at = case when run_at > ? then ? else run_at end, \
         priority = case when priority < ? then ? else priority end where id = ? and attempts = 0",
        args![new.run_at, new.run_at, new.priority, new.priority, id],
    )?;
    Ok(())
}

/// Makes a waiting job due at once, one that waits for its next attempt included. `false` if it
/// does not wait.
///
/// # Errors
///
/// Failures of the index.
pub fn hurry(tx: &mut Tx<'_>, id: i64, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "hurry a job",
        "update jobs set run_at = ? where id = ? and state = ? and run_at > ?",
        args![now, id, State::Waiting.number(), now],
    )?;
    Ok(changed == 1)
}

/// One job.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, id: i64) -> Result<Option<Job>, Error> {
    tx.one("find a job", select!("where id = ?"), args![id], job)
}

/// Jobs, the newest first, before the row `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, filter: Filter<'_>, before: Option<i64>, limit: usize) -> Result<Vec<Job>, Error> {
    const OPERATION: &str = "list jobs";
    let before = before.unwrap_or(i64::MAX);
    match (filter.kind, filter.state) {
        (None, None) => tx.all(
            OPERATION,
            select!("where id < ? order by id desc limit ?"),
            args![before, limit],
            job,
        ),
        (Some(kind), None) => tx.all(
            OPERATION,
            select!("where kind = ? and id < ? order by id desc limit ?"),
            args![kind, before, limit],
            job,
        ),
        (None, Some(state)) => tx.all(
            OPERATION,
            select!("where state = ? and id < ? order by id desc limit ?"),
            args![state.number(), before, limit],
            job,
        ),
        (Some(kind), Some(state)) => tx.all(
            OPERATION,
            select!("where kind = ? and state = ? and id < ? order by id desc limit ?"),
            args![kind, state.number(), before, limit],
            job,
        ),
    }
}

/// How many jobs of each kind wait and run.
///
/// # Errors
///
/// Failures of the index.
pub fn counts(tx: &mut Tx<'_>) -> Result<Vec<(String, State, u64)>, Error> {
    tx.all(
        "count jobs",
        "select kind, state, count(*) from jobs where state in (0, 1) group by kind, state order by kind, state",
        args![],
        |row| Ok((row.text(0)?, state(row, 1)?, row.size(2)?)),
    )
}

/// Ends a job that waits; tells one that runs to stop.
///
/// # Errors
///
/// Failures of the index.
pub fn cancel(tx: &mut Tx<'_>, id: i64, by: &str, now: Timestamp) -> Result<Cancelled, Error> {
    const OPERATION: &str = "cancel a job";
    let ended = tx.execute(
        OPERATION,
        "update jobs set state = ?, waiting_key = null, cancelled_by = ?, ended_at = ? where id = ? and state = ?",
        args![State::Cancelled.number(), by, now, id, State::Waiting.number()],
    )?;
    if ended == 1 {
        return Ok(Cancelled::Now);
    }
    tx.execute(
        OPERATION,
        "update jobs set cancelled_by = ? where id = ? and state = ? and cancelled_by is null",
        args![by, id, State::Running.number()],
    )?;
    let state = tx.one(OPERATION, "select state from jobs where id = ?", args![id], |row| {
        state(row, 0)
    })?;
    Ok(match state {
        None => Cancelled::Unknown,
        Some(state) if state.is_end() => Cancelled::Ended(state),
        Some(_) => Cancelled::Requested,
    })
}

/// Forgets jobs, with their logs, that ended before a time; answers how many, `limit` at most.
///
/// # Errors
///
/// Failures of the index.
pub fn purge(tx: &mut Tx<'_>, ended_before: Timestamp, limit: usize) -> Result<usize, Error> {
    const OPERATION: &str = "forget old jobs";
    let old = tx.all(
        OPERATION,
        "select id from jobs where ended_at < ? order by ended_at limit ?",
        args![ended_before, limit],
        |row| row.int(0),
    )?;
    for id in &old {
        tx.execute(OPERATION, "delete from job_log where job_id = ?", args![*id])?;
        tx.execute(OPERATION, "delete from jobs where id = ?", args![*id])?;
    }
    Ok(old.len())
}

fn job(row: &Row<'_>) -> Result<Job, Error> {
    Ok(Job {
        id: row.int(0)?,
        kind: row.text(1)?,
        key: row.opt_text(2)?,
        state: state(row, 3)?,
        payload: row.text(4)?,
        checkpoint: row.opt_text(5)?,
        priority: row.int(6)?,
        run_at: row.time(7)?,
        attempts: row.size(8)?,
        fencing: row.int(9)?,
        owner: row.opt_text(10)?,
        lease_until: row.opt_time(11)?,
        progress: Progress {
            done: row.size(12)?,
            total: row.opt_int(13)?.and_then(|total| u64::try_from(total).ok()),
            text: row.text(14)?,
        },
        summary: row.opt_text(15)?,
        error: row.opt_text(16)?,
        requested_by: row.text(17)?,
        cancelled_by: row.opt_text(18)?,
        created_at: row.time(19)?,
        started_at: row.opt_time(20)?,
        ended_at: row.opt_time(21)?,
    })
}

fn state(row: &Row<'_>, column: usize) -> Result<State, Error> {
    let number = row.int(column)?;
    let known = State::ALL.into_iter().find(|state| state.number() == number);
    known.ok_or_else(|| row.corrupt("a job has an unknown state"))
}
