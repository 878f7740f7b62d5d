//! Which changes of the index must be saved elsewhere (`transfer`): counted when they are
//! committed, by the tables that the statements name.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::transfer::Changes;
use crate::transfer::tables::{self, Holds};

/// How many transactions of a writer have changed what.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rights: AtomicU64,
    records: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Touched {
    rights: bool,
    records: bool,
}

thread_local! {
    /// What the statements of this thread have changed: all writing is done by one.
    static TOUCHED: Cell<Touched> = const { Cell::new(Touched { rights: false, records: false }) };
}

/// Notes what a statement changes.
pub(super) fn note(sql: &str) {
    let mut touched = TOUCHED.get();
    match changed_table(sql).map(tables::find) {
        Some(Some(table)) => match table.holds {
            Holds::Rights => touched.rights = true,
            Holds::Records => touched.records = true,
            Holds::Counts | Holds::Derived | Holds::Passing | Holds::Own => return,
        },
        // better once too often
        Some(None) => touched.records = true,
        None => return,
    }
    TOUCHED.set(touched);
}

/// The table of `insert into t`, `update t` and `delete from t`; `None` for what changes none.
fn changed_table(sql: &str) -> Option<&str> {
    let mut words = sql.split_ascii_whitespace();
    let is_of_two_words = match words.next()? {
        "insert" | "delete" => true,
        "update" => false,
        "select" | "begin" | "commit" | "rollback" | "savepoint" | "release" | "pragma" => return None,
        _ => return Some(""),
    };
    if is_of_two_words {
        words.next();
    }
    Some(words.next().unwrap_or_default())
}

impl Counters {
    /// Counts what this thread has changed since it was asked last: a commit has kept it, or may have.
    pub(super) fn committed(&self) {
        let touched = TOUCHED.take();
        if touched.rights {
            self.rights.fetch_add(1, Ordering::AcqRel);
        }
        if touched.records {
            self.records.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn read(&self) -> Changes {
        Changes {
            rights: self.rights.load(Ordering::Acquire),
            records: self.records.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests;
