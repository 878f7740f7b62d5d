//! Who did what, on what, from where, and how it ended. Lines are only ever added.

use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// One line. None of its texts may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its row; 0 for a line that is to be added.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it; empty for nobody.
    pub actor: String,
    /// What was done, such as `tag.delete`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// What else there is to know.
    pub detail: String,
    /// The network address it came from; empty for this program itself.
    pub address: String,
    /// How it ended, such as `ok`.
    pub result: String,
}

/// Adds a line; answers its row.
///
/// # Errors
///
/// Failures of the index.
pub fn append(tx: &mut Tx<'_>, line: &Line) -> Result<i64, Error> {
    tx.insert(
        "add to the audit log",
        "insert into audit_log (at, actor, action, subject, detail, address, result) values (?, ?, ?, ?, ?, ?, ?)",
        args![
            line.at,
            &line.actor,
            &line.action,
            &line.subject,
            &line.detail,
            &line.address,
            &line.result
        ],
    )
}

/// Lines, the newest first, before the row `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, before: Option<i64>, limit: usize) -> Result<Vec<Line>, Error> {
    tx.all(
        "read the audit log",
        "select id, at, actor, action, subject, detail, address, result from audit_log \
         where id < ? order by id desc limit ?",
        args![before.unwrap_or(i64::MAX), limit],
        |row| {
            Ok(Line {
                id: row.int(0)?,
                at: row.time(1)?,
                actor: row.text(2)?,
                action: row.text(3)?,
                subject: row.text(4)?,
                detail: row.text(5)?,
                address: row.text(6)?,
                result: row.text(7)?,
            })
        },
    )
}
