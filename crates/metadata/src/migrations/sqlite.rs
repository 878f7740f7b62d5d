//! Applying the steps to a file: all or none.

use rusqlite::Connection;

use super::{STEPS, Step, pending, record};
use crate::sqlite::statement::translate;
use crate::{Error, Tx};

/// Marks the file as an index of Wharf ("WHRF"), so that no other database is taken for one.
const APPLICATION_ID: i64 = 0x5748_5246;

const SCHEMA_STEPS: &str = "create table if not exists schema_steps (
    step integer primary key,
    name text not null,
    checksum text not null,
    applied_by text not null,
    needs integer not null
)";

/// Refuses a file that holds something else, before anything in it is changed.
pub(crate) fn check(connection: &Connection) -> Result<(), Error> {
    const OPERATION: &str = "check what the database is";
    let number = |sql: &str| {
        connection
            .query_row(sql, (), |row| row.get::<_, i64>(0))
            .map_err(|error| translate(OPERATION, error))
    };
    let is_empty = number("select count(*) from sqlite_schema")? == 0;
    if is_empty || number("pragma application_id")? == APPLICATION_ID {
        Ok(())
    } else {
        Err(Error::corrupt(
            OPERATION,
            "the file is a database, but not an index of wharf",
        ))
    }
}

/// Applies what is missing, in one transaction.
pub(crate) fn run(connection: &Connection) -> Result<(), Error> {
    apply(connection, STEPS)
}

pub(super) fn apply(connection: &Connection, steps: &[Step]) -> Result<(), Error> {
    let batch = |operation, sql: &str| {
        connection
            .execute_batch(sql)
            .map_err(|error| translate(operation, error))
    };
    batch("begin to migrate", "begin immediate")?;
    let applied = (|| {
        batch(
            "prepare to migrate",
            &format!("pragma application_id = {APPLICATION_ID}; {SCHEMA_STEPS}"),
        )?;
        let tx = &mut Tx::sqlite(connection);
        for step in pending(tx, steps)? {
            batch("apply a schema step", step.sqlite)?;
            record(tx, step)?;
        }
        Ok(())
    })();
    match applied {
        Ok(()) => batch("commit the migration", "commit"),
        Err(error) => {
            // the first error is the one to tell
            drop(batch("undo the migration", "rollback"));
            Err(error)
        }
    }
}
