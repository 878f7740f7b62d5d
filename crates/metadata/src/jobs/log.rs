//! What jobs have said.

use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its row; 0 for one that is to be added.
    pub id: i64,
    /// When it was said.
    pub at: Timestamp,
    /// What was said.
    pub message: String,
}

/// Adds lines to a job's log.
///
/// # Errors
///
/// Failures of the index.
pub fn append_log(tx: &mut Tx<'_>, job_id: i64, lines: &[LogLine]) -> Result<(), Error> {
    for line in lines {
        tx.execute(
            "add to the log of a job",
            "insert into job_log (job_id, at, message) values (?, ?, ?)",
            args![job_id, line.at, &line.message],
        )?;
    }
    Ok(())
}

/// Lines of a job's log, the oldest first, after the row `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn log_page(tx: &mut Tx<'_>, job_id: i64, after: i64, limit: usize) -> Result<Vec<LogLine>, Error> {
    tx.all(
        "read the log of a job",
        "select id, at, message from job_log where job_id = ? and id > ? order by id limit ?",
        args![job_id, after, limit],
        |row| {
            Ok(LogLine {
                id: row.int(0)?,
                at: row.time(1)?,
                message: row.text(2)?,
            })
        },
    )
}
