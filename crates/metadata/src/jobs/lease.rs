//! Who runs a job: leases with a fencing number.
//!
//! Claims of one kind are made one after the other, under the lock of the kind's row; a claim that
//! raises the number takes the job from whoever had it.

use super::kinds::{self, note_end};
use super::{Job, LogLine, Progress, State, append_log, find, waiting_key};
use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// What one holder has of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job_id: i64,
    /// The number of the claim.
    pub fencing: i64,
}

/// Who claims what.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The process that claims, by a unique name.
    pub owner: &'a str,
    /// How many jobs of the kind may run at the same time, in all processes together.
    pub most_running: usize,
    /// Until when the job is claimed.
    pub lease_until: Timestamp,
    /// Only this job, if it is its turn or not.
    pub only: Option<i64>,
}

/// How an attempt ended that is the job's last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was for; the summary is JSON.
    Done(String),
    /// It is given up, and why.
    Failed(String),
    /// Somebody did not want it any more.
    Cancelled,
}

/// What a holder learns when it renews its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It goes on.
    Held,
    /// It is to stop: somebody does not want the job any more.
    Cancelled,
    /// The job is somebody else's now.
    Lost,
}

/// How a job is given back for another attempt.
#[derive(Clone, Copy, Debug)]
pub struct Returning<'a> {
    /// When the next attempt may begin.
    pub run_at: Timestamp,
    /// Why this one failed; `None` for one that was interrupted and does not count.
    pub error: Option<&'a str>,
}

/// What became of a job that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It waits.
    Waiting,
    /// Another one of the same key waits; this one has ended.
    Superseded(i64),
    /// Somebody did not want it any more; it has ended.
    Cancelled,
    /// It is somebody else's now.
    Lost,
}

/// Kinds of which a job is due, or was left by a process that died.
///
/// # Errors
///
/// Failures of the index.
pub fn due_kinds(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<String>, Error> {
    tx.all(
        "list kinds of due jobs",
        "select kind from jobs where state = 0 and run_at <= ? union \
         select kind from jobs where state = 1 and lease_until <= ?",
        args![now, now],
        |row| row.text(0),
    )
}

/// When the next job that waits, or the next schedule, is due after `now`.
///
/// # Errors
///
/// Failures of the index.
pub fn next_due(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    const OPERATION: &str = "find the next due job";
    let job = tx.one(
        OPERATION,
        "select min(run_at) from jobs where state = 0 and run_at > ?",
        args![now],
        |row| row.opt_time(0),
    )?;
    let schedule = tx.one(
        OPERATION,
        "select min(next_at) from job_kinds where is_enabled = 1 and next_at > ?",
        args![now],
        |row| row.opt_time(0),
    )?;
    Ok([job.flatten(), schedule.flatten()].into_iter().flatten().min())
}

/// Claims the job of a kind that is next in turn; `None` when there is none, enough of them run, or
/// the kind is disabled. One that a dead process left comes first.
///
/// # Errors
///
/// Failures of the index.
pub fn claim(tx: &mut Tx<'_>, claim: &Claim<'_>, now: Timestamp) -> Result<Option<Job>, Error> {
    let is_enabled = kinds::kind(tx, claim.kind)?.is_some_and(|kind| kind.is_enabled);
    if !is_enabled {
        return Ok(None);
    }
    let Some(id) = candidate(tx, claim, now)? else {
        return Ok(None);
    };
    let changed = tx.execute(
        "claim a job",
        "update jobs set state = 1, waiting_key = null, owner = ?, lease_until = ?, fencing = fencing + 1, \
         attempts = attempts + 1, started_at = ? where id = ? and (state = 0 or state = 1 and lease_until <= ?)",
        args![claim.owner, claim.lease_until, now, id, now],
    )?;
    match changed {
        1 => find(tx, id),
        _ => Ok(None),
    }
}

fn candidate(tx: &mut Tx<'_>, claim: &Claim<'_>, now: Timestamp) -> Result<Option<i64>, Error> {
    match abandoned(tx, claim.kind, now)? {
        Some(id) => Ok(claim.only.is_none_or(|only| only == id).then_some(id)),
        None => next_in_turn(tx, claim, now),
    }
}

fn abandoned(tx: &mut Tx<'_>, kind: &str, now: Timestamp) -> Result<Option<i64>, Error> {
    tx.one(
        "find an abandoned job",
        "select id from jobs where state = 1 and kind = ? and lease_until <= ? order by id limit 1",
        args![kind, now],
        |row| row.int(0),
    )
}

fn next_in_turn(tx: &mut Tx<'_>, claim: &Claim<'_>, now: Timestamp) -> Result<Option<i64>, Error> {
    const OPERATION: &str = "find the next job";
    let running = tx.count(
        OPERATION,
        "select count(*) from jobs where state = 1 and kind = ?",
        args![claim.kind],
    )?;
    if usize::try_from(running).unwrap_or(usize::MAX) >= claim.most_running {
        return Ok(None);
    }
    tx.one(
        OPERATION,
        "select w.id from jobs w where w.state = 0 and w.kind = ? and w.run_at <= ? \
         and w.id >= ? and w.id <= ? and (w.job_key is null or not exists (select 1 from jobs r \
             where r.state = 1 and r.kind = w.kind and r.job_key = w.job_key)) \
         order by w.priority desc, w.run_at, w.id limit 1",
        args![claim.kind, now, claim.only.unwrap_or(0), claim.only.unwrap_or(i64::MAX)],
        |row| row.int(0),
    )
}

/// Whether a job of this kind and key runs.
///
/// # Errors
///
/// Failures of the index.
pub fn is_running(tx: &mut Tx<'_>, kind: &str, key: &str) -> Result<bool, Error> {
    tx.any(
        "find a running job",
        "select 1 from jobs where state = 1 and kind = ? and job_key = ?",
        args![kind, key],
    )
}

/// Whether the job is still this holder's: for a transaction of the work itself, so that nothing a
/// former holder does is kept. On engines with row locks nobody can take it until the transaction ends.
///
/// # Errors
///
/// Failures of the index.
pub fn is_held(tx: &mut Tx<'_>, lease: Lease) -> Result<bool, Error> {
    let held = tx.lock_one(
        "check a lease",
        "select id from jobs where id = ? and fencing = ? and state = 1",
        args![lease.job_id, lease.fencing],
        |_| Ok(()),
    )?;
    Ok(held.is_some())
}

/// Prolongs a lease and writes down what has happened since: how far the work has come, what it
/// said.
///
/// # Errors
///
/// Failures of the index.
pub fn renew(
    tx: &mut Tx<'_>,
    lease: Lease,
    until: Timestamp,
    progress: Option<&Progress>,
    lines: &[LogLine],
) -> Result<Renewal, Error> {
    const OPERATION: &str = "renew a lease";
    let cancelled_by = tx.lock_one(
        OPERATION,
        "select cancelled_by from jobs where id = ? and fencing = ? and state = 1",
        args![lease.job_id, lease.fencing],
        |row| row.opt_text(0),
    )?;
    let Some(cancelled_by) = cancelled_by else {
        return Ok(Renewal::Lost);
    };
    tx.execute(
        OPERATION,
        "update jobs set lease_until = ? where id = ?",
        args![until, lease.job_id],
    )?;
    write_down(tx, lease, progress, lines)?;
    Ok(match cancelled_by {
        Some(_) => Renewal::Cancelled,
        None => Renewal::Held,
    })
}

fn write_down(tx: &mut Tx<'_>, lease: Lease, progress: Option<&Progress>, lines: &[LogLine]) -> Result<(), Error> {
    if let Some(progress) = progress {
        tx.execute(
            "note the progress of a job",
            "update jobs set progress_done = ?, progress_total = ?, progress_text = ? where id = ?",
            args![progress.done, progress.total, &progress.text, lease.job_id],
        )?;
    }
    append_log(tx, lease.job_id, lines)
}

/// Keeps what the next attempt needs to go on from here, as JSON. `false` if the job is somebody
/// else's.
///
/// # Errors
///
/// Failures of the index.
pub fn checkpoint(tx: &mut Tx<'_>, lease: Lease, value: &str) -> Result<bool, Error> {
    let changed = tx.execute(
        "keep the checkpoint of a job",
        "update jobs set checkpoint = ? where id = ? and fencing = ? and state = 1",
        args![value, lease.job_id, lease.fencing],
    )?;
    // an engine may not count a row that has the value already
    Ok(changed == 1 || is_held(tx, lease)?)
}

/// Ends a job. `false` if it is somebody else's: then nothing is changed.
///
/// # Errors
///
/// Failures of the index.
pub fn finish(
    tx: &mut Tx<'_>,
    lease: Lease,
    ending: &Ending,
    (progress, lines): (&Progress, &[LogLine]),
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(job) = held(tx, lease)? else { return Ok(false) };
    write_down(tx, lease, Some(progress), lines)?;
    end(tx, &job, ending, now)?;
    Ok(true)
}

/// Gives a job back for another attempt, at once or later, unless somebody does not want it any
/// more or another one of the same key waits. That one inherits the checkpoint if it is to do the
/// same.
///
/// # Errors
///
/// Failures of the index; [`Kind::Unique`](crate::error::Kind::Unique) when one of the same key
/// arrives at the same moment: try again.
pub fn return_to_queue(
    tx: &mut Tx<'_>,
    lease: Lease,
    returning: Returning<'_>,
    (progress, lines): (&Progress, &[LogLine]),
    now: Timestamp,
) -> Result<Returned, Error> {
    const OPERATION: &str = "give a job back";
    let Some(job) = held(tx, lease)? else {
        return Ok(Returned::Lost);
    };
    write_down(tx, lease, Some(progress), lines)?;
    if job.cancelled_by.is_some() {
        end(tx, &job, &Ending::Cancelled, now)?;
        return Ok(Returned::Cancelled);
    }
    let waiting_key = job.key.as_deref().map(|key| waiting_key(&job.kind, key));
    if let Some(other) = same_key(tx, waiting_key.as_deref())? {
        supersede(tx, &job, other, now)?;
        return Ok(Returned::Superseded(other));
    }
    let interrupted = i64::from(returning.error.is_none());
    tx.execute(
        OPERATION,
        "update jobs set state = 0, waiting_key = ?, owner = null, lease_until = null, run_at = ?, error = ?, \
         attempts = attempts - ? where id = ?",
        args![
            waiting_key.as_deref(),
            returning.run_at,
            returning.error.or(job.error.as_deref()),
            interrupted,
            job.id
        ],
    )?;
    Ok(Returned::Waiting)
}

/// Gives back every job that somebody else than `owner` runs, as tried in vain: for the only process
/// that can work on the index, when it begins. Answers how many there were.
///
/// # Errors
///
/// As [`return_to_queue`].
pub fn return_others(tx: &mut Tx<'_>, owner: &str, now: Timestamp) -> Result<usize, Error> {
    let left: Vec<Lease> = tx.all(
        "list jobs that others run",
        "select id, fencing from jobs where state = 1 and owner <> ? order by id",
        args![owner],
        |row| {
            Ok(Lease {
                job_id: row.int(0)?,
                fencing: row.int(1)?,
            })
        },
    )?;
    for lease in &left {
        let progress = find(tx, lease.job_id)?.map(|job| job.progress).unwrap_or_default();
        let returning = Returning {
            run_at: now,
            error: Some("the process that ran it has died"),
        };
        let _returned: Returned = return_to_queue(tx, *lease, returning, (&progress, &[]), now)?;
    }
    Ok(left.len())
}

/// The job of a lease, locked, if it is still held. The kind's row is locked first, as a claim
/// does.
fn held(tx: &mut Tx<'_>, lease: Lease) -> Result<Option<Job>, Error> {
    let Some(job) = find(tx, lease.job_id)? else {
        return Ok(None);
    };
    kinds::kind(tx, &job.kind)?;
    match is_held(tx, lease)? {
        true => find(tx, lease.job_id),
        false => Ok(None),
    }
}

fn same_key(tx: &mut Tx<'_>, waiting_key: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(waiting_key) = waiting_key else {
        return Ok(None);
    };
    tx.lock_one(
        "find a job of the same key",
        "select id from jobs where waiting_key = ?",
        args![waiting_key],
        |row| row.int(0),
    )
}

fn supersede(tx: &mut Tx<'_>, job: &Job, other: i64, now: Timestamp) -> Result<(), Error> {
    const OPERATION: &str = "leave a job to another one";
    tx.execute(
        OPERATION,
        "update jobs set checkpoint = ? where id = ? and payload = ? and checkpoint is null",
        args![job.checkpoint.as_deref(), other, &job.payload],
    )?;
    end(tx, job, &Ending::Cancelled, now)?;
    tx.execute(
        OPERATION,
        "update jobs set error = ? where id = ?",
        args![&format!("job {other} waits to do the same"), job.id],
    )?;
    Ok(())
}

fn end(tx: &mut Tx<'_>, job: &Job, ending: &Ending, now: Timestamp) -> Result<(), Error> {
    let (state, summary, error) = match ending {
        Ending::Done(summary) => (State::Done, Some(summary.as_str()), None),
        Ending::Failed(error) => (State::Failed, None, Some(error.as_str())),
        Ending::Cancelled => (State::Cancelled, None, job.error.as_deref()),
    };
    tx.execute(
        "end a job",
        "update jobs set state = ?, summary = ?, error = ?, owner = null, lease_until = null, ended_at = ? \
         where id = ?",
        args![state.number(), summary, error, now, job.id],
    )?;
    match state {
        State::Done => note_end(tx, &job.kind, true, now),
        State::Failed => note_end(tx, &job.kind, false, now),
        _ => Ok(()),
    }
}
