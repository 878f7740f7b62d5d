//! Where the engines' SQL differs.
//!
//! Statements are portable text with `?` placeholders; what cannot be portable is built here.

use std::{fmt::Write as _, sync::OnceLock};

/// The engines' SQL dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgresql,
    /// MariaDB's, and MySQL's as far as it is the same.
    Mariadb,
}

const DIALECTS: usize = 3;

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
    /// unique key. Without `update` a taken key leaves the row as it is: only for tables without
    /// foreign keys, whose violations MariaDB would ignore too. The table may have no other unique
    /// key that the new row could meet: MariaDB would update that row.
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
            Dialect::Sqlite | Dialect::Postgresql => self.on_conflict(),
            Dialect::Mariadb => self.on_duplicate_key(),
        })
    }

    /// SQLite's and PostgreSQL's spelling.
    fn on_conflict(&self) -> String {
        let Self {
            table, key, columns, ..
        } = self;
        let places = self.places();
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

    /// MariaDB's and MySQL's spelling.
    fn on_duplicate_key(&self) -> String {
        let Self { table, columns, .. } = self;
        let places = self.places();
        if self.update.is_empty() {
            return format!("insert ignore into {table} ({columns}) values ({places})");
        }
        let mut sql = format!("insert into {table} ({columns}) values ({places}) on duplicate key update ");
        for (position, set) in self.update.iter().enumerate() {
            if position > 0 {
                sql.push_str(", ");
            }
            let written = match set {
                Set::New(column) => write!(sql, "{column} = values({column})"),
                Set::Add(column) => write!(sql, "{column} = {column} + values({column})"),
                Set::Max(column) => write!(sql, "{column} = greatest({column}, values({column}))"),
            };
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        sql
    }

    fn places(&self) -> String {
        self.columns.split(',').map(|_| "?").collect::<Vec<_>>().join(", ")
    }
}
