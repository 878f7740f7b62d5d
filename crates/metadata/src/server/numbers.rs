//! Numbers that need only be different, taken from a counter in blocks.
//!
//! The row of a counter is locked until the transaction that raised it ends. For a number that
//! every push takes, that would let one push at a time commit; so the counter is raised by many at
//! once, in a transaction of its own.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Config;
use super::session::{Purpose, Session};
use crate::value::args;
use crate::{Error, Tx};

/// How many are taken at once. Those that are left when the process ends are never used.
const BLOCK: i64 = 1000;

/// The blocks of one handle.
pub(super) struct Numbers {
    config: Config,
    blocks: Mutex<HashMap<&'static str, Range<i64>>>,
}

impl Numbers {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            blocks: Mutex::default(),
        }
    }

    /// A number that this counter has never given before.
    pub(super) fn next(self: &Arc<Self>, counter: &'static str) -> Result<i64, Error> {
        // held while a block is taken: others wait for the same block
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let block = blocks.entry(counter).or_insert(0..0);
        if let Some(number) = block.next() {
            return Ok(number);
        }
        *block = self.take(counter)?;
        block
            .next()
            .ok_or_else(|| Error::corrupt("take numbers", "an empty block"))
    }

    fn take(self: &Arc<Self>, counter: &'static str) -> Result<Range<i64>, Error> {
        const OPERATION: &str = "take numbers from a counter";
        let mut session = Session::connect(&self.config, self).map_err(|failure| failure.error)?;
        session
            .begin(Purpose::Write { fencing: 0 })
            .map_err(|failure| failure.error)?;
        let tx = &mut Tx::server(&mut session);
        tx.execute(
            OPERATION,
            "update counters set value = value + ? where name = ?",
            args![BLOCK, counter],
        )?;
        let last = tx.one(
            OPERATION,
            "select value from counters where name = ?",
            args![counter],
            |row| row.int(0),
        )?;
        let last = last.ok_or_else(|| Error::corrupt(OPERATION, format!("sequence {counter} is missing")))?;
        session.commit().map_err(|failure| failure.error)?;
        Ok(last - BLOCK + 1..last + 1)
    }
}
