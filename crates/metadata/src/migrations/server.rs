//! Applying the steps to a server's database, also when several processes start at once.

use std::time::Duration;

use super::{STEPS, Step, check_current, mariadb, pending, postgresql};
use crate::dialect::Dialect;
use crate::error::Kind;
use crate::server::Session;
use crate::value::args;
use crate::{Error, Tx};

/// How long the steps of somebody else are waited for, and a step may take.
const PATIENCE: Duration = Duration::from_secs(3600);

const OPERATION: &str = "check what the database is";

/// Applies what is missing.
pub(crate) fn run(session: &mut Session) -> Result<(), Error> {
    apply(session, STEPS)
}

/// Fails unless this version can read the index, for a process that stands by.
pub(crate) fn check(session: &mut Session) -> Result<(), Error> {
    check_server(session)?;
    if is_prepared(session)? {
        return check_current(&mut Tx::server(session));
    }
    Err(Error::new(
        Kind::Unavailable,
        OPERATION,
        "the database is empty: it awaits the owner of the index",
    ))
}

pub(super) fn apply(session: &mut Session, steps: &[Step]) -> Result<(), Error> {
    check_server(session)?;
    // one that is up to date needs neither a lock nor the right to change tables
    if is_prepared(session)? && pending(&mut Tx::server(session), steps)?.is_empty() {
        return Ok(());
    }
    session.be_patient(PATIENCE);
    match session.dialect() {
        Dialect::Mariadb => mariadb::apply(session, steps),
        Dialect::Postgresql | Dialect::Sqlite => postgresql::apply(session, steps),
    }
}

/// Whether the table of the steps is there; refuses a database that holds something else.
pub(super) fn is_prepared(session: &mut Session) -> Result<bool, Error> {
    let (is_there, anything) = match session.dialect() {
        Dialect::Mariadb => (
            "select 1 from information_schema.tables where table_schema = database() and table_name = 'schema_steps'",
            "select table_name from information_schema.tables where table_schema = database() order by table_name",
        ),
        Dialect::Postgresql | Dialect::Sqlite => (
            // what others own does not show in information_schema
            "select 1 from pg_catalog.pg_tables where schemaname = current_schema() and tablename = 'schema_steps'",
            "select tablename::text from pg_catalog.pg_tables where schemaname = current_schema() order by tablename",
        ),
    };
    let tx = &mut Tx::server(session);
    if tx.any(OPERATION, is_there, args![])? {
        return Ok(true);
    }
    match tx.one(OPERATION, anything, args![], |row| row.text(0))? {
        None => Ok(false),
        Some(table) => Err(Error::corrupt(
            OPERATION,
            format!(
                "the database is not empty, but not an index of wharf (it has a table {table}): \
                 give wharf a database of its own"
            ),
        )),
    }
}

/// Refuses servers on which statements would mean something else.
pub(crate) fn check_server(session: &mut Session) -> Result<(), Error> {
    match session.dialect() {
        Dialect::Mariadb => {
            let version = session.ask(OPERATION, "select version()")?;
            check_mariadb(&version)
        }
        Dialect::Postgresql | Dialect::Sqlite => {
            let version = session.ask(OPERATION, "show server_version_num")?;
            let encoding = session.ask(OPERATION, "show server_encoding")?;
            check_postgresql(&version, &encoding)
        }
    }
}

fn check_postgresql(version: &str, encoding: &str) -> Result<(), Error> {
    let major = version.parse().unwrap_or(0) / 10_000;
    if major < 15 {
        let what = format!("the server is PostgreSQL {major}: wharf needs 15 or newer");
        return Err(Error::new(Kind::Denied, OPERATION, what));
    }
    if encoding != "UTF8" {
        let what = format!(
            "the database has the encoding {encoding}: create it with \
             `create database NAME owner USER encoding 'UTF8' template template0`"
        );
        return Err(Error::new(Kind::Denied, OPERATION, what));
    }
    Ok(())
}

fn check_mariadb(version: &str) -> Result<(), Error> {
    let mut numbers = version
        .split(['.', '-'])
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (least, name) = if version.contains("MariaDB") {
        ((10, 11), "MariaDB")
    } else {
        ((8, 0), "MySQL")
    };
    if found < least {
        let what = format!("the server is {name} {version}: wharf needs MariaDB 10.11 or newer, or MySQL 8",);
        return Err(Error::new(Kind::Denied, OPERATION, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
