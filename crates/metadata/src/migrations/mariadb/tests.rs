//! Taking a step's text apart.

use super::{changes_rows, statements};
use crate::migrations::STEPS;

#[test]
fn a_step_is_its_statements_without_comments() {
    let text = "-- what it is for\n\ncreate table a (\n    b bigint -- a column; with a semicolon\n);\n-- rows\n\
                insert into a values (';');\ncreate index c on a (b);\n-- the end\n";
    assert_eq!(
        statements(text),
        [
            "create table a (\n    b bigint -- a column; with a semicolon\n)",
            "insert into a values (';')",
            "create index c on a (b)"
        ]
    );
}

#[test]
fn every_statement_of_every_step_is_one_that_can_be_met_again() {
    for step in STEPS {
        let statements = statements(step.mariadb);
        assert!(!statements.is_empty(), "{}", step.name);
        for sql in statements {
            let is_known = [
                "create table ",
                "create index ",
                "create unique index ",
                "alter table ",
                "drop ",
            ]
            .iter()
            .any(|word| sql.starts_with(word));
            assert!(is_known || changes_rows(sql), "step {}: {sql}", step.name);
            assert!(!sql.contains(";\n"), "step {}: {sql}", step.name);
        }
    }
}
