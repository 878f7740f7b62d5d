//! Kinds of jobs: whether they run, and when.

use crate::dialect::Upsert;
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// What is kept of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRow {
    /// Its name.
    pub kind: String,
    /// Whether its jobs are run; they wait otherwise.
    pub is_enabled: bool,
    /// The schedule that an administrator has set; `None` for the configured one.
    pub schedule: Option<String>,
    /// The schedule that `next_at` follows.
    pub planned: String,
    /// When the next job is made; `None` for never.
    pub next_at: Option<Timestamp>,
    /// When a job of it was last done.
    pub last_success_at: Option<Timestamp>,
    /// When a job of it was last given up.
    pub last_failure_at: Option<Timestamp>,
    /// Who last changed it; empty for the configuration.
    pub changed_by: String,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select kind, is_enabled, schedule, planned, next_at, last_success_at, last_failure_at, changed_by, ",
            "changed_at from job_kinds ",
            $rest
        )
    };
}

static REGISTER: Upsert = Upsert::new(
    "job_kinds",
    "kind",
    "kind, is_enabled, planned, changed_by, changed_at",
    &[],
);

/// Makes a kind known; nothing changes when it is. Jobs of an unknown kind are never claimed.
///
/// # Errors
///
/// Failures of the index.
pub fn register(tx: &mut Tx<'_>, kind: &str, now: Timestamp) -> Result<(), Error> {
    tx.upsert("register a kind of jobs", &REGISTER, args![kind, true, "", "", now])?;
    Ok(())
}

/// Every kind, by name.
///
/// # Errors
///
/// Failures of the index.
pub fn kinds(tx: &mut Tx<'_>) -> Result<Vec<KindRow>, Error> {
    tx.all("list kinds of jobs", select!("order by kind"), args![], kind_row)
}

/// One kind, locked until the transaction ends.
///
/// # Errors
///
/// Failures of the index.
pub fn kind(tx: &mut Tx<'_>, kind: &str) -> Result<Option<KindRow>, Error> {
    tx.lock_one("find a kind of jobs", select!("where kind = ?"), args![kind], kind_row)
}

/// Kinds whose time has come.
///
/// # Errors
///
/// Failures of the index.
pub fn due_schedules(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<String>, Error> {
    tx.all(
        "list due schedules",
        "select kind from job_kinds where next_at <= ? and is_enabled = 1 order by next_at, kind",
        args![now],
        |row| row.text(0),
    )
}

/// Notes when the next job of a kind is made, and by which schedule.
///
/// # Errors
///
/// Failures of the index.
pub fn plan(tx: &mut Tx<'_>, kind: &str, planned: &str, next_at: Option<Timestamp>) -> Result<(), Error> {
    tx.execute(
        "plan the next job",
        "update job_kinds set planned = ?, next_at = ? where kind = ?",
        args![planned, next_at, kind],
    )?;
    Ok(())
}

/// Sets the schedule of a kind, or with `None` goes back to the configured one. `false` if there
/// is no such kind. [`plan`] comes next.
///
/// # Errors
///
/// Failures of the index.
pub fn set_schedule(
    tx: &mut Tx<'_>,
    kind: &str,
    schedule: Option<&str>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "set the schedule of a kind of jobs",
        "update job_kinds set schedule = ?, changed_by = ?, changed_at = ? where kind = ?",
        args![schedule, by, now, kind],
    )?;
    Ok(changed == 1)
}

/// Lets jobs of a kind run, or wait. `false` if there is no such kind.
///
/// # Errors
///
/// Failures of the index.
pub fn set_enabled(tx: &mut Tx<'_>, kind: &str, is_enabled: bool, by: &str, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "enable or disable a kind of jobs",
        "update job_kinds set is_enabled = ?, changed_by = ?, changed_at = ? where kind = ?",
        args![is_enabled, by, now, kind],
    )?;
    Ok(changed == 1)
}

/// Notes how a job of a kind ended.
pub(super) fn note_end(tx: &mut Tx<'_>, kind: &str, is_success: bool, now: Timestamp) -> Result<(), Error> {
    let sql = match is_success {
        true => "update job_kinds set last_success_at = ? where kind = ?",
        false => "update job_kinds set last_failure_at = ? where kind = ?",
    };
    tx.execute("note how a job ended", sql, args![now, kind])?;
    Ok(())
}

fn kind_row(row: &Row<'_>) -> Result<KindRow, Error> {
    Ok(KindRow {
        kind: row.text(0)?,
        is_enabled: row.bool(1)?,
        schedule: row.opt_text(2)?,
        planned: row.text(3)?,
        next_at: row.opt_time(4)?,
        last_success_at: row.opt_time(5)?,
        last_failure_at: row.opt_time(6)?,
        changed_by: row.text(7)?,
        changed_at: row.time(8)?,
    })
}
