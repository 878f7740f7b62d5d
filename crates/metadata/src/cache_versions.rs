//! What tells processes that share an index whether their memories are still true.
//!
//! Every repository belongs to one of [`REPOSITORIES`] shards; one more stands for which repositories
//! there are and who may see them, one for bytes that were repaired. A transaction that changes what
//! a process may remember raises the version of its shard as its last statement: functions of this
//! crate that make such a change say so on their [`Tx`], and [`Tracker`] notices those that do not.
//! So what was read in a snapshot that shows a version is true for as long as that version stands.
//!
//! Only where several processes write ([`Metadata::share`](crate::Metadata::share)): a process that
//! is alone forgets what it changes, and raises nothing.

use crate::value::args;
use crate::{Error, Tx};

/// How many shards the repositories are spread over.
pub const REPOSITORIES: usize = 64;
/// The shard of names: which repositories there are, and who may see them.
pub const NAMES: usize = REPOSITORIES;
/// The shard of bytes that are not what was read before: those that a verification repaired.
pub const BYTES: usize = NAMES + 1;
/// All of them.
pub const SHARDS: usize = BYTES + 1;

/// The shard of a repository.
pub fn shard_of(repository_id: i64) -> usize {
    usize::try_from(repository_id.rem_euclid(REPOSITORIES as i64)).unwrap_or_default()
}

/// The versions of all shards in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions([i64; SHARDS]);

impl Versions {
    /// Of a process that is alone: nothing is ever raised.
    pub const NONE: Self = Self([0; SHARDS]);

    /// The version of a shard.
    pub fn of(&self, shard: usize) -> i64 {
        self.0.get(shard).copied().unwrap_or_default()
    }
}

/// Reads the versions of all shards.
///
/// # Errors
///
/// Failures of the index.
pub fn read(tx: &mut Tx<'_>) -> Result<Versions, Error> {
    const OPERATION: &str = "read the versions of what is remembered";
    let mut versions = Versions::NONE;
    let rows = tx.all(OPERATION, "select shard, version from cache_versions", args![], |row| {
        Ok((row.int(0)?, row.int(1)?))
    })?;
    let mut found = 0;
    for (shard, version) in rows {
        if let Some(place) = usize::try_from(shard).ok().and_then(|shard| versions.0.get_mut(shard)) {
            *place = version;
            found += 1;
        }
    }
    match found {
        SHARDS => Ok(versions),
        _ => Err(Error::corrupt(
            OPERATION,
            format!("{found} of {SHARDS} shards are there"),
        )),
    }
}

/// Raises the versions of shards, in one order for all who do.
pub(crate) fn raise(tx: &mut Tx<'_>, shards: Shards) -> Result<(), Error> {
    for shard in (0..SHARDS).filter(|shard| shards.has(*shard)) {
        tx.execute(
            "raise the version of what is remembered",
            "update cache_versions set version = version + 1 where shard = ?",
            args![shard],
        )?;
    }
    Ok(())
}

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shards(u128);

impl Shards {
    pub(crate) const ALL: Self = Self((1 << SHARDS) - 1);

    pub(crate) const fn has(self, shard: usize) -> bool {
        self.0 & (1 << shard) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Tables whose rows processes remember.
const REMEMBERED: &[&str] = &["tags", "manifests", "repository_blobs", "repositories", "projects"];

/// Collects what one transaction changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracker {
    shards: Shards,
    /// A statement changed a table of which something is remembered.
    has_written: bool,
    /// A function has said what its statements mean.
    is_told: bool,
}

impl Tracker {
    /// What is remembered of a shard changes.
    pub(crate) fn change(&mut self, shard: usize) {
        self.shards.0 |= 1 << shard;
        self.is_told = true;
    }

    /// What was or will be written changes nothing that is remembered.
    pub(crate) const fn change_nothing(&mut self) {
        self.is_told = true;
    }

    /// A statement is run.
    pub(crate) fn note(&mut self, sql: &str) {
        self.has_written |= table(sql).is_some_and(|table| REMEMBERED.contains(&table));
    }

    /// The shards to raise: all where somebody wrote and did not say what.
    pub(crate) const fn shards(&self) -> Shards {
        match self.has_written && !self.is_told {
            true => Shards::ALL,
            false => self.shards,
        }
    }
}

/// The table that a statement changes.
fn table(sql: &str) -> Option<&str> {
    let rest = ["insert into ", "insert ignore into ", "update ", "delete from "]
        .iter()
        .find_map(|verb| sql.strip_prefix(verb))?;
    rest.split([' ', '(']).next()
}

#[cfg(test)]
mod tests;
