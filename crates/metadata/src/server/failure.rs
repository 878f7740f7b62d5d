//! What a server's refusal means.

use std::io;

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::Error;
use crate::error::Kind;

/// What can be done about a failed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The server undid the transaction because of another one: the job runs again.
    Conflict,
    /// A key is taken or a referenced row is missing, perhaps since a moment ago: the job runs
    /// again, a few times, and will then see the other's row.
    Constraint,
    /// The connection is gone, or must not be used any more.
    Lost,
    /// What a change of tables makes is there already, or what it removes is gone.
    Done,
    /// Running the job again would change nothing.
    Final,
}

/// A failed statement.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: Error,
    pub class: Class,
}

impl Failure {
    pub(super) fn lost(operation: &'static str, what: impl Into<String>) -> Self {
        Self {
            error: Error::new(Kind::Unavailable, operation, what.into()),
            class: Class::Lost,
        }
    }
}

/// What a failure of the library means. The text holds nothing that was bound to a statement.
pub(super) fn translate(operation: &'static str, error: sqlx::Error) -> Failure {
    let (kind, class, text) = match error {
        sqlx::Error::Database(error) => database(error.as_ref()),
        sqlx::Error::Io(error) => io(&error),
        sqlx::Error::Tls(error) => (Kind::Denied, Class::Lost, tls_text(&error.to_string())),
        sqlx::Error::Configuration(error) => (Kind::Denied, Class::Lost, error.to_string()),
        sqlx::Error::Protocol(text) => (Kind::Unavailable, Class::Lost, text),
        other @ (sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_)) => {
            (Kind::Other, Class::Final, other.to_string())
        }
        other => (Kind::Other, Class::Lost, other.to_string()),
    };
    Failure {
        error: Error::new(kind, operation, text),
        class,
    }
}

fn io(error: &io::Error) -> (Kind, Class, String) {
    match error.kind() {
        // how the TLS library says that it does not accept what the server shows
        io::ErrorKind::InvalidData => (Kind::Denied, Class::Lost, tls_text(&error.to_string())),
        io::ErrorKind::PermissionDenied => (
            Kind::Denied,
            Class::Lost,
            format!("{error}: this user of the system may not use the server's socket"),
        ),
        _ => (Kind::Unavailable, Class::Lost, error.to_string()),
    }
}

fn tls_text(text: &str) -> String {
    format!(
        "TLS with the database server failed: {text}. Name the authority of its certificate with sslrootcert=FILE in the \
         URL; sslmode=require encrypts without checking whom, and sslmode=disable does not encrypt"
    )
}

fn database(error: &dyn DatabaseError) -> (Kind, Class, String) {
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(mariadb) => {
            let (kind, class) = mariadb_class(mariadb.number(), mariadb.message());
            (kind, class, mariadb_text(mariadb))
        }
        None => {
            let code = error.code().unwrap_or_default();
            let (kind, class) = postgresql_class(&code, error.message());
            (kind, class, postgresql_text(&code, error.message()))
        }
    }
}

fn postgresql_class(code: &str, message: &str) -> (Kind, Class) {
    match code {
        "23505" => (Kind::Unique, Class::Constraint),
        "23503" => (Kind::Other, Class::Constraint),
        "40001" | "40P01" => (Kind::Unavailable, Class::Conflict),
        // somebody else's lock, or a statement that takes too long
        "55P03" | "57014" => (Kind::Unavailable, Class::Final),
        "53100" => (Kind::NoSpace, Class::Final),
        "25006" => (Kind::ReadOnly, Class::Lost),
        "28000" | "28P01" | "42501" | "3D000" | "3F000" => (Kind::Denied, Class::Lost),
        // a prepared statement that is not there, or there already, or of an older table: a
        // connection that is not ours alone, or a table that changed
        "26000" | "42P05" | "0A000" => (Kind::Unavailable, Class::Lost),
        "XX001" | "XX002" => (Kind::Corrupt, Class::Final),
        // what poolers say in their own words
        "08P01" if is_refusal(message) => (Kind::Denied, Class::Lost),
        "25P03" | "58030" => (Kind::Unavailable, Class::Lost),
        _ if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => (Kind::Unavailable, Class::Lost),
        _ => (Kind::Other, Class::Final),
    }
}

fn is_refusal(message: &str) -> bool {
    ["no such database", "no such user", "authentication failed"]
        .iter()
        .any(|text| message.contains(text))
}

fn postgresql_text(code: &str, message: &str) -> String {
    let advice = match code {
        "28P01" | "28000" => ": check user and password of the database URL, and pg_hba.conf of the server",
        "3D000" => ": create it with `create database NAME owner USER encoding 'UTF8' template template0`",
        "42501" | "3F000" => ": the user must own the database, or be allowed to create tables in its schema",
        _ => "",
    };
    format!("{message}{advice} ({code})")
}

const fn mariadb_code(number: u16) -> (Kind, Class) {
    match number {
        1062 | 1586 => (Kind::Unique, Class::Constraint),
        1216 | 1217 | 1451 | 1452 => (Kind::Other, Class::Constraint),
        1020 | 1213 => (Kind::Unavailable, Class::Conflict),
        // a lock, or a statement that takes too long
        1205 | 1317 | 1969 | 3024 => (Kind::Unavailable, Class::Final),
        1021 | 1114 => (Kind::NoSpace, Class::Final),
        1290 | 1792 | 1836 => (Kind::ReadOnly, Class::Lost),
        1044 | 1045 | 1049 | 1130 | 1142 | 1143 | 1227 | 1698 | 1820 | 1862 | 4151 => (Kind::Denied, Class::Lost),
        1050 | 1060 | 1061 | 1091 | 1826 => (Kind::Other, Class::Done),
        1034 | 1035 | 1194 | 1195 => (Kind::Corrupt, Class::Final),
        1037..=1041
        | 1053
        | 1077
        | 1079
        | 1080
        | 1129
        | 1152
        | 1153
        | 1156..=1161
        | 1184
        | 1203
        | 1226
        | 1927
        | 2006
        | 2013
        | 4031 => (Kind::Unavailable, Class::Lost),
        _ => (Kind::Other, Class::Final),
    }
}

fn mariadb_class(number: u16, message: &str) -> (Kind, Class) {
    match mariadb_code(number) {
        (Kind::Other, class) if message.contains("No space left") || message.contains("errno: 28") => {
            (Kind::NoSpace, class)
        }
        other => other,
    }
}

fn mariadb_text(error: &MySqlDatabaseError) -> String {
    let (number, message) = (error.number(), error.message());
    let text = match number {
        // these show the value
        1062 | 1586 => match message.rsplit_once(" for key ") {
            Some((_, key)) => format!("the unique key {key} is taken"),
            None => "a unique key is taken".to_owned(),
        },
        1292 | 1366 | 1367 => "a value is not one of its column's type".to_owned(),
        1044 | 1142 | 1143 | 1227 => {
            format!("{message}: grant the user all privileges on the database of the URL")
        }
        1045 | 1130 | 1698 => format!("{message}: check user and password of the database URL"),
        1049 => format!("{message}: create it with `create database NAME character set utf8mb4`"),
        _ => message.to_owned(),
    };
    format!("{text} ({number})")
}

#[cfg(test)]
mod tests;
