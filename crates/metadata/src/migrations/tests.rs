//! With made-up steps, which only the inside can apply.

use rusqlite::Connection;

use super::sqlite::{apply, check};
use super::{STEPS, Step, check_current};
use crate::Tx;
use crate::error::Kind;

/// A step that the one before cannot do without.
const NEXT: Step = Step {
    number: STEPS.len() as i64 + 1,
    name: "second",
    needs: STEPS.len() as i64 + 1,
    sqlite: "create table second (id integer primary key); insert into second values (1);",
    postgresql: "",
    mariadb: "",
};

fn with(step: Step) -> Vec<Step> {
    STEPS.iter().copied().chain([step]).collect()
}

fn fresh() -> Connection {
    Connection::open_in_memory().unwrap()
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("select count(*) from {table}"), (), |row| row.get(0))
}

#[test]
fn a_fresh_file_gets_every_step_once() {
    let connection = fresh();
    apply(&connection, STEPS).unwrap();
    apply(&connection, STEPS).unwrap();
    assert_eq!(count(&connection, "schema_steps"), Ok(STEPS.len() as i64));
    apply(&connection, &with(NEXT)).unwrap();
    apply(&connection, &with(NEXT)).unwrap();
    assert_eq!(count(&connection, "second"), Ok(1));
}

#[test]
fn a_newer_schema_is_refused_and_the_message_names_the_version_that_wrote_it() {
    let connection = fresh();
    apply(&connection, &with(NEXT)).unwrap();
    let error = apply(&connection, STEPS).unwrap_err();
    assert_eq!(error.kind(), Kind::NewerSchema);
    let text = error.to_string();
    let newer = format!("schema {} (second) of wharf 0.", NEXT.number);
    assert!(text.contains(&newer), "{text}");
    assert!(text.contains(&format!("knows up to {}", STEPS.len())), "{text}");
}

#[test]
fn a_newer_schema_that_only_adds_is_worked_on_and_kept() {
    let connection = fresh();
    let adding = Step {
        needs: STEPS.len() as i64,
        ..NEXT
    };
    apply(&connection, &with(adding)).unwrap();
    apply(&connection, STEPS).unwrap();
    assert_eq!(count(&connection, "second"), Ok(1));
    let third = Step {
        number: NEXT.number + 1,
        name: "third",
        needs: NEXT.number + 1,
        sqlite: "drop table second;",
        ..NEXT
    };
    apply(&connection, &[with(adding), vec![third]].concat()).unwrap();
    let error = apply(&connection, STEPS).unwrap_err();
    assert_eq!(error.kind(), Kind::NewerSchema);
    assert!(error.to_string().contains("(third) of wharf"), "{error}");
    let error = apply(&connection, &with(adding)).unwrap_err();
    assert_eq!(error.kind(), Kind::NewerSchema);
}

#[test]
fn an_altered_step_is_refused() {
    let connection = fresh();
    apply(&connection, &with(NEXT)).unwrap();
    let altered = Step {
        sqlite: "create table second (id integer primary key, altered text);",
        ..NEXT
    };
    let error = apply(&connection, &with(altered)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(
        error
            .to_string()
            .contains(&format!("step {} (second) differs", NEXT.number)),
        "{error}"
    );
}

#[test]
fn a_step_that_fails_leaves_nothing_behind() {
    let connection = fresh();
    let broken = Step {
        sqlite: "create table second (id integer primary key); create nonsense;",
        ..NEXT
    };
    apply(&connection, &with(broken)).unwrap_err();
    count(&connection, "second").unwrap_err();
    count(&connection, "schema_steps").unwrap_err();
    apply(&connection, &with(NEXT)).unwrap();
}

#[test]
fn standing_by_a_file_that_is_not_migrated_yet_is_refused_for_now() {
    let connection = fresh();
    apply(&connection, &[]).unwrap();
    let error = check_current(&mut Tx::sqlite(&connection)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn a_database_of_something_else_is_not_touched() {
    let connection = fresh();
    connection.execute_batch("create table theirs (id)").unwrap();
    assert_eq!(check(&connection).unwrap_err().kind(), Kind::Corrupt);
}
