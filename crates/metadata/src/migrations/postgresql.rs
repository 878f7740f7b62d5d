//! Applying the steps to PostgreSQL: in one transaction, all or none.

use super::server::is_prepared;
use super::{Step, pending, record};
use crate::server::Session;
use crate::{Error, Tx};

/// Held while steps are applied, so that one process does it. Ends with the transaction, so it
/// works behind a pooler too.
const LOCK: i64 = 0x5748_5246_0002;

const SCHEMA_STEPS: &str = "create table schema_steps (
    step bigint primary key,
    name text not null,
    checksum text not null,
    applied_by text not null,
    needs bigint not null
)";

pub(super) fn apply(session: &mut Session, steps: &[Step]) -> Result<(), Error> {
    session.batch(
        "begin to migrate",
        &format!(
            "begin isolation level read committed read write; set local statement_timeout = 0; \
             set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0; \
             set local client_min_messages = warning; select pg_advisory_xact_lock({LOCK})"
        ),
    )?;
    let applied = (|| {
        if !is_prepared(session)? {
            session.batch("prepare to migrate", SCHEMA_STEPS)?;
        }
        for step in pending(&mut Tx::server(session), steps)? {
            session.batch("apply a schema step", step.postgresql)?;
            record(&mut Tx::server(session), step)?;
        }
        Ok(())
    })();
    match applied {
        Ok(()) => session.batch("commit the migration", "commit"),
        Err(error) => {
            // the first error is the one to tell
            drop(session.batch("undo the migration", "rollback"));
            Err(error)
        }
    }
}
