//! Running statements: prepared once per connection where the connection is ours alone.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::mysql::MySqlArguments;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, Type};

use super::failure::{Failure, translate};
use super::session::{Link, Session};
use crate::Error;
use crate::dialect::Dialect;
use crate::value::{Cells, Row, Value};

/// The most texts that are kept in the engine's spelling.
const TEXTS: usize = 1024;

/// How a statement answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    /// The first row.
    One,
    /// The first row, locked until the transaction ends.
    Locked,
    /// All rows.
    All,
}

impl Session {
    /// Runs a statement; answers how many rows it changed.
    pub(crate) fn execute(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<u64, Error> {
        self.changes.note(sql);
        let outcome = self.try_execute(operation, sql, args).map(|(changed, _)| changed);
        self.note(outcome)
    }

    /// Inserts one row; answers the key `id` that the engine gave it.
    pub(crate) fn insert(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<i64, Error> {
        self.changes.note(sql);
        if self.dialect() == Dialect::Postgresql {
            let sql = format!("{sql} returning id");
            let id = self.one(operation, &sql, args, Want::All, |row| row.int(0))?;
            return id.ok_or_else(|| Error::corrupt(operation, "the new row has no id"));
        }
        let outcome = self.try_execute(operation, sql, args).map(|(_, id)| id);
        let id = self.note(outcome)?;
        i64::try_from(id).map_err(|error| Error::corrupt(operation, error))
    }

    /// The first row of the answer.
    pub(crate) fn one<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        want: Want,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut read = Some(read);
        let mut answer = None;
        let outcome = self.rows(operation, sql, args, want, |row| {
            // the first row only
            if let Some(read) = read.take() {
                answer = Some(read(row)?);
            }
            Ok(())
        });
        outcome.map(|()| answer)
    }

    /// All rows of the answer.
    pub(crate) fn all<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut answer = Vec::new();
        self.rows(operation, sql, args, Want::All, |row| {
            answer.push(read(row)?);
            Ok(())
        })?;
        Ok(answer)
    }

    fn rows(
        &mut self,
        operation: &'static str,
        sql: &str,
        args: &[Value<'_>],
        want: Want,
        mut read: impl FnMut(&Row<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let text = self.text(sql, want);
        let is_direct = self.is_direct;
        let (link, drive) = self.parts();
        match link {
            Link::Postgresql(connection) => {
                let outcome = postgresql_arguments(operation, args).and_then(|arguments| {
                    let query = sqlx::query_with(AssertSqlSafe(text), arguments).persistent(is_direct);
                    drive.run(operation, query.fetch_all(connection))
                });
                let rows = self.note(outcome)?;
                rows.iter()
                    .try_for_each(|row| read(&Row::new(operation, Cells::Postgresql(row))))
            }
            Link::Mariadb(connection) => {
                let outcome = mariadb_arguments(operation, args).and_then(|arguments| {
                    let query = sqlx::query_with(AssertSqlSafe(text), arguments);
                    drive.run(operation, query.fetch_all(connection))
                });
                let rows = self.note(outcome)?;
                rows.iter()
                    .try_for_each(|row| read(&Row::new(operation, Cells::Mariadb(row))))
            }
        }
    }

    fn try_execute(&mut self, operation: &'static str, sql: &str, args: &[Value<'_>]) -> Result<(u64, u64), Failure> {
        let text = self.text(sql, Want::All);
        let is_direct = self.is_direct;
        let (link, drive) = self.parts();
        match link {
            Link::Postgresql(connection) => {
                let arguments = postgresql_arguments(operation, args)?;
                let query = sqlx::query_with(AssertSqlSafe(text), arguments).persistent(is_direct);
                let done = drive.run(operation, query.execute(connection))?;
                Ok((done.rows_affected(), 0))
            }
            Link::Mariadb(connection) => {
                let arguments = mariadb_arguments(operation, args)?;
                let query = sqlx::query_with(AssertSqlSafe(text), arguments);
                let done = drive.run(operation, query.execute(connection))?;
                Ok((done.rows_affected(), done.last_insert_id()))
            }
        }
    }

    /// A statement in the engine's spelling.
    fn text(&mut self, sql: &str, want: Want) -> Arc<str> {
        let key = (sql.to_owned(), want);
        if let Some(text) = self.texts.get(&key) {
            return Arc::clone(text);
        }
        let mut text = match self.dialect() {
            Dialect::Postgresql => numbered(sql),
            Dialect::Mariadb | Dialect::Sqlite => sql.to_owned(),
        };
        if want != Want::All && !sql.contains(" limit ") {
            text.push_str(" limit 1");
        }
        if want == Want::Locked {
            text.push_str(" for update");
        }
        let text: Arc<str> = text.into();
        if self.texts.len() >= TEXTS {
            self.texts.clear();
        }
        self.texts.insert(key, Arc::clone(&text));
        text
    }
}

/// `$1`, `$2`, … for every `?` that does not stand in a quoted text.
fn numbered(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 16);
    let (mut number, mut is_quoted) = (0_u32, false);
    for letter in sql.chars() {
        match letter {
            '?' if !is_quoted => {
                number += 1;
                let written = write!(text, "${number}");
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
            _ => {
                is_quoted ^= letter == '\'';
                text.push(letter);
            }
        }
    }
    text
}

/// Nothing, of the type that its place has.
struct Null;

impl Type<Postgres> for Null {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Null {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

fn postgresql_arguments(operation: &'static str, args: &[Value<'_>]) -> Result<PgArguments, Failure> {
    let mut arguments = PgArguments::default();
    arguments.reserve(args.len(), args.len() * 16);
    for value in args {
        let added = match value {
            Value::Null => arguments.add(Null),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(*text),
            Value::Bytes(bytes) => arguments.add(*bytes),
            Value::Digest(digest) => arguments.add(digest.as_bytes()),
        };
        added.map_err(|error| translate(operation, sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

fn mariadb_arguments(operation: &'static str, args: &[Value<'_>]) -> Result<MySqlArguments, Failure> {
    let mut arguments = MySqlArguments::default();
    arguments.reserve(args.len(), args.len() * 16);
    for value in args {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(*text),
            Value::Bytes(bytes) => arguments.add(*bytes),
            Value::Digest(digest) => arguments.add(digest.as_bytes()),
        };
        added.map_err(|error| translate(operation, sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests;
