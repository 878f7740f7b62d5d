//! Servers that are too old, as they say so themselves.

use super::{check_mariadb, check_postgresql};
use crate::error::Kind;

#[test]
fn servers_that_are_too_old_are_refused_by_name() {
    check_postgresql("150018", "UTF8").unwrap();
    check_postgresql("180001", "UTF8").unwrap();
    let error = check_postgresql("140009", "UTF8").unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("PostgreSQL 14: wharf needs 15"), "{error}");

    check_mariadb("10.11.14-MariaDB-0+deb12u2").unwrap();
    check_mariadb("11.8.3-MariaDB").unwrap();
    check_mariadb("8.0.36").unwrap();
    check_mariadb("8.4.0-1debian").unwrap();
    for old in ["10.6.21-MariaDB", "5.7.44-log", "unreadable"] {
        let error = check_mariadb(old).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{old}");
        assert!(error.to_string().contains(old), "{error}");
    }
}

#[test]
fn a_database_of_another_encoding_is_refused_with_the_command_that_makes_a_right_one() {
    let error = check_postgresql("150018", "SQL_ASCII").unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        error.to_string().contains("encoding 'UTF8' template template0"),
        "{error}"
    );
}
