//! Numbers that need only be different, taken from a counter in blocks.
//!
//! The row of a counter is locked until the transaction that raised it ends. For a number that
//! every push takes, that would let one push at a time commit; so the counter is raised by many at
//! once, in a transaction of its own. That one comes before a job's, never inside of it: a job that
//! held a connection while it waited for a second one could wait for ever where there are few.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::Session;
use crate::value::args;
use crate::{Error, Tx};

/// How many are taken at once. Those that are left when the process ends are never used.
const BLOCK: i64 = 1000;
/// With fewer than this the next block is taken.
const FEW: i64 = 200;

/// The counter whose numbers need no order.
pub(super) const COUNTER: &str = "mirror";

/// The blocks of one handle.
#[derive(Default)]
pub(super) struct Numbers {
    block: Mutex<Range<i64>>,
    /// Whether anybody has asked: most handles never do.
    is_wanted: AtomicBool,
    is_being_taken: AtomicBool,
}

impl Numbers {
    /// A number that the counter has never given before; `None` when none is at hand.
    pub(super) fn next(&self) -> Option<i64> {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.block().next()
    }

    /// Whether the caller is to take a block. The others go on meanwhile.
    pub(super) fn must_take(&self) -> bool {
        let block = self.block();
        self.is_wanted.load(Ordering::Relaxed)
            && block.end - block.start < FEW
            && !self.is_being_taken.swap(true, Ordering::AcqRel)
    }

    /// Takes a block in the session's transaction; [`Self::add`] follows its commit.
    pub(super) fn take(session: &mut Session) -> Result<Range<i64>, Error> {
        const OPERATION: &str = "take numbers from a counter";
        let tx = &mut Tx::server(session);
        tx.execute(
            OPERATION,
            "update counters set value = value + ? where name = ?",
            args![BLOCK, COUNTER],
        )?;
        let last = tx.one(
            OPERATION,
            "select value from counters where name = ?",
            args![COUNTER],
            |row| row.int(0),
        )?;
        let last = last.ok_or_else(|| Error::corrupt(OPERATION, "the counter is missing"))?;
        Ok(last - BLOCK + 1..last + 1)
    }

    /// Ends what [`Self::must_take`] began, with a block or without.
    pub(super) fn add(&self, taken: Option<Range<i64>>) {
        if let Some(taken) = taken {
            *self.block() = taken;
        }
        self.is_being_taken.store(false, Ordering::Release);
    }

    fn block(&self) -> MutexGuard<'_, Range<i64>> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
