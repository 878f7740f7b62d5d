//! Where the engines' SQL differs.
//!
//! Statements are portable text with `?` placeholders; what cannot be portable is built here.

use std::{fmt::Write as _, sync::OnceLock};

/// The engines' SQL dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
}

const DIALECTS: usize = 1;

/// What an upsert does with a column when the row is there already.
#[derive(Clone, Copy)]
pub(crate) enum Set {
    /// Takes the new value.
    New(&'static str),
    /// Adds the new value to the present one.
    Add(&'static str),
    /// Keeps the larger of both.
    Max(&'static str),
}

/// An insert that updates, or does nothing, when its key is taken. A `static` one is built once.
pub(crate) struct Upsert {
    table: &'static str,
    key: &'static str,
    columns: &'static str,
    update: &'static [Set],
    built: [OnceLock<String>; DIALECTS],
}

impl Upsert {
    /// `columns` are the comma-separated columns that get a value each, `key` those of the
    /// unique key. Without `update` a taken key leaves the row as it is.
    pub(crate) const fn new(
        table: &'static str,
        key: &'static str,
        columns: &'static str,
        update: &'static [Set],
    ) -> Self {
        Self {
            table,
            key,
            columns,
            update,
            built: [const { OnceLock::new() }; DIALECTS],
        }
    }

    pub(crate) fn sql(&self, dialect: Dialect) -> &str {
        self.built[dialect as usize].get_or_init(|| match dialect {
            Dialect::Sqlite => self.on_conflict(),
        })
    }

    /// SQLite's and PostgreSQL's spelling.
    fn on_conflict(&self) -> String {
        let Self {
            table, key, columns, ..
        } = self;
        let places = columns.split(',').map(|_| "?").collect::<Vec<_>>().join(", ");
        let mut sql = format!("insert into {table} ({columns}) values ({places}) on conflict ({key}) do ");
        if self.update.is_empty() {
            sql.push_str("nothing");
        }
        for (position, set) in self.update.iter().enumerate() {
            sql.push_str(if position == 0 { "update set " } else { ", " });
            let written = match set {
                Set::New(column) => write!(sql, "{column} = excluded.{column}"),
                Set::Add(column) => write!(sql, "{column} = {table}.{column} + excluded.{column}"),
                Set::Max(column) => write!(
                    sql,
                    "{column} = case when excluded.{column} > {table}.{column} then excluded.{column} else {table}.{column} end"
                ),
            };
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        sql
    }
}
