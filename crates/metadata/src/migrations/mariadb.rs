//! Applying the steps to MariaDB, where each change of a table commits by itself.
//!
//! How many statements of a step are done is kept beside the steps, so a start that was cut off
//! goes on where it was. A statement that changes rows commits together with that number; one that
//! changes tables may be done although its number was not written: then it is met again, first of
//! all, and finds its table, column or index there already.

use super::server::is_prepared;
use super::{Step, pending, record};
use crate::dialect::{Set, Upsert};
use crate::error::Kind;
use crate::server::Session;
use crate::value::args;
use crate::{Error, Tx};

const TABLES: [&str; 2] = [
    "create table if not exists schema_steps (
        step bigint primary key,
        name varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
        checksum varchar(64) character set utf8mb4 collate utf8mb4_bin not null,
        applied_by varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
        needs bigint not null
    ) engine = InnoDB",
    "create table if not exists schema_progress (
        step bigint primary key,
        statements bigint not null
    ) engine = InnoDB",
];

static PROGRESS: Upsert = Upsert::new("schema_progress", "step", "step, statements", &[Set::New("statements")]);

/// Held by the connection while steps are applied, so that one process does it. The name may have
/// 64 letters.
const LOCK: &str = "select get_lock(concat('wharf ', md5(database())), 3600)";
const UNLOCK: &str = "select release_lock(concat('wharf ', md5(database())))";

pub(super) fn apply(session: &mut Session, steps: &[Step]) -> Result<(), Error> {
    const OPERATION: &str = "begin to migrate";
    if session.ask(OPERATION, LOCK)? != "1" {
        let what = "another process has been migrating the database for an hour";
        return Err(Error::new(Kind::Unavailable, OPERATION, what));
    }
    // neither a long change of a large table nor waiting for one is a fault here
    session.batch(
        OPERATION,
        "set session innodb_lock_wait_timeout = 3600 /*M! , max_statement_time = 0 */ /*!80000 , max_execution_time = 0 */",
    )?;
    is_prepared(session)?;
    for sql in TABLES {
        session.batch("prepare to migrate", sql)?;
    }
    for step in pending(&mut Tx::server(session), steps)? {
        apply_step(session, step)?;
    }
    session.ask("end the migration", UNLOCK).map(drop)
}

fn apply_step(session: &mut Session, step: &Step) -> Result<(), Error> {
    const OPERATION: &str = "apply a schema step";
    let done = Tx::server(session).one(
        OPERATION,
        "select statements from schema_progress where step = ?",
        args![step.number],
        |row| row.size(0),
    )?;
    let (begun, done) = (done.is_some(), usize::try_from(done.unwrap_or(0)).unwrap_or(usize::MAX));
    if !begun {
        note(session, step, 0)?;
    }
    for (position, sql) in statements(step.mariadb).into_iter().enumerate().skip(done) {
        if changes_rows(sql) {
            session.batch(OPERATION, "start transaction")?;
            session.batch(OPERATION, sql)?;
            note(session, step, position + 1)?;
            session.batch(OPERATION, "commit")?;
        } else {
            let is_met_again = begun && position == done;
            session.change_tables(OPERATION, sql, is_met_again)?;
            note(session, step, position + 1)?;
        }
    }
    session.batch(OPERATION, "start transaction")?;
    record(&mut Tx::server(session), step)?;
    let sql = "delete from schema_progress where step = ?";
    Tx::server(session).execute(OPERATION, sql, args![step.number])?;
    session.batch(OPERATION, "commit")
}

fn note(session: &mut Session, step: &Step, statements: usize) -> Result<(), Error> {
    let (operation, args) = ("record a schema step", args![step.number, statements]);
    Tx::server(session).upsert(operation, &PROGRESS, args).map(drop)
}

fn changes_rows(sql: &str) -> bool {
    ["insert", "update", "delete", "replace"]
        .iter()
        .any(|word| sql.trim_start().starts_with(word))
}

/// The statements of a step, without comments. A semicolon at the end of a line ends one.
fn statements(text: &str) -> Vec<&str> {
    text.split_inclusive(";\n")
        .map(without_leading_comments)
        .map(|sql| sql.trim().trim_end_matches(';'))
        .filter(|sql| !sql.is_empty())
        .collect()
}

fn without_leading_comments(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start();
        match sql.strip_prefix("--") {
            Some(comment) => sql = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return sql,
        }
    }
}

#[cfg(test)]
mod tests;
