//! How the collector stands, and what it has done.

use wharf_metadata::Timestamp;
use wharf_metadata::garbage_collection::{self as queue, Waiting};

use super::{Collector, Past, Policy};
use crate::Result;

/// How the collector stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How it goes about it.
    pub policy: Policy,
    /// Whether anything may be collected now (consistency rule 1).
    pub is_allowed: bool,
    /// Whether nobody can push, so that things may go at once.
    pub is_quiet: bool,
    /// What waits for a review, by kind.
    pub waiting: Vec<Waiting>,
    /// How many blobs are condemned.
    pub condemned: u64,
    /// When the next review is due.
    pub next_due: Option<Timestamp>,
    /// The latest run that removed something.
    pub last: Option<Past>,
}

impl Collector {
    /// How the collector stands.
    ///
    /// # Errors
    ///
    /// Index or storage cannot be read.
    pub async fn status(&self) -> Result<Status> {
        let read = self.parts.metadata.read_long(|tx| {
            let last = queue::latest_runs(tx, None, 1)?.pop();
            Ok::<_, wharf_metadata::Error>((queue::waiting(tx)?, queue::condemned(tx)?, last))
        });
        let (waiting, condemned, last) = read.await?;
        Ok(Status {
            policy: self.policy,
            is_allowed: self.epoch().await?.is_some(),
            is_quiet: self.is_quiet(),
            waiting,
            condemned,
            next_due: self.next_due().await?,
            last,
        })
    }

    /// Runs that removed something or were asked for, the latest first, before the run `before`.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn history(&self, before: Option<i64>, limit: usize) -> Result<Vec<Past>> {
        let runs = self
            .parts
            .metadata
            .read(move |tx| queue::latest_runs(tx, before, limit));
        Ok(runs.await?)
    }
}
