//! What servers say, and what we make of it.

use super::{Class, mariadb_class, postgresql_class};
use crate::error::Kind;

#[test]
fn postgresql_codes_tell_what_to_do() {
    for (code, message, kind, class) in [
        ("23505", "", Kind::Unique, Class::Constraint),
        ("40001", "", Kind::Unavailable, Class::Conflict),
        ("40P01", "", Kind::Unavailable, Class::Conflict),
        ("55P03", "", Kind::Unavailable, Class::Final),
        ("53100", "", Kind::NoSpace, Class::Final),
        (
            "53300",
            "sorry, too many clients already",
            Kind::Unavailable,
            Class::Lost,
        ),
        ("57P01", "", Kind::Unavailable, Class::Lost),
        (
            "57P03",
            "the database system is starting up",
            Kind::Unavailable,
            Class::Lost,
        ),
        ("28P01", "", Kind::Denied, Class::Lost),
        ("3D000", "", Kind::Denied, Class::Lost),
        ("25006", "", Kind::ReadOnly, Class::Lost),
        (
            "08P01",
            "server login has been failing, try again later",
            Kind::Unavailable,
            Class::Lost,
        ),
        ("08P01", "no such database: x", Kind::Denied, Class::Lost),
        ("42601", "", Kind::Other, Class::Final),
    ] {
        assert_eq!(postgresql_class(code, message), (kind, class), "{code} {message}");
    }
}

#[test]
fn mariadb_numbers_tell_what_to_do() {
    for (number, message, kind, class) in [
        (1062, "", Kind::Unique, Class::Constraint),
        (1452, "", Kind::Other, Class::Constraint),
        (1213, "", Kind::Unavailable, Class::Conflict),
        (1020, "", Kind::Unavailable, Class::Conflict),
        (1205, "", Kind::Unavailable, Class::Final),
        (1040, "", Kind::Unavailable, Class::Lost),
        (1053, "", Kind::Unavailable, Class::Lost),
        (1927, "", Kind::Unavailable, Class::Lost),
        (1045, "", Kind::Denied, Class::Lost),
        (1049, "", Kind::Denied, Class::Lost),
        (1114, "", Kind::NoSpace, Class::Final),
        (
            3,
            "Error writing file (Errcode: 28 \"No space left on device\")",
            Kind::NoSpace,
            Class::Final,
        ),
        (1290, "", Kind::ReadOnly, Class::Lost),
        (1064, "", Kind::Other, Class::Final),
    ] {
        assert_eq!(mariadb_class(number, message), (kind, class), "{number} {message}");
    }
}
