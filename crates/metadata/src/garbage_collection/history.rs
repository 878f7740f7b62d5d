//! The runs of the collector: what each removed, and how it ended.

use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// Runs that are kept.
const KEPT: i64 = 1_000;

/// What a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Manifests.
    pub manifests: u64,
    /// Links of repositories.
    pub links: u64,
    /// Blobs that were condemned.
    pub condemned: u64,
    /// Blobs whose bytes are gone.
    pub blobs: u64,
    /// The bytes of those.
    pub bytes: u64,
}

impl Counts {
    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another run's counts.
    pub const fn add(&mut self, other: &Self) {
        self.manifests += other.manifests;
        self.links += other.links;
        self.condemned += other.condemned;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its row; later runs have larger ones.
    pub id: i64,
    /// What started it.
    pub cause: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs, and when its process died.
    pub ended_at: Option<Timestamp>,
    /// `running`, `done`, or why it ended early.
    pub outcome: String,
    /// What it removed.
    pub counts: Counts,
}

/// Begins a run; answers its row. Old runs are forgotten.
///
/// # Errors
///
/// Failures of the index.
pub fn begin(tx: &mut Tx<'_>, cause: &str, now: Timestamp) -> Result<i64, Error> {
    const OPERATION: &str = "begin a collection";
    let id = tx.insert(
        OPERATION,
        "insert into gc_runs (cause, started_at, outcome, manifests, links, condemned, blobs, bytes) \
         values (?, ?, 'running', 0, 0, 0, 0, 0)",
        args![cause, now],
    )?;
    tx.execute(OPERATION, "delete from gc_runs where id <= ?", args![id - KEPT])?;
    Ok(id)
}

/// Notes what a run has removed so far.
///
/// # Errors
///
/// Failures of the index.
pub fn progress(tx: &mut Tx<'_>, id: i64, counts: &Counts) -> Result<(), Error> {
    tx.execute(
        "note the progress of a collection",
        "update gc_runs set manifests = ?, links = ?, condemned = ?, blobs = ?, bytes = ? where id = ?",
        args![
            counts.manifests,
            counts.links,
            counts.condemned,
            counts.blobs,
            counts.bytes,
            id
        ],
    )?;
    Ok(())
}

/// Ends a run.
///
/// # Errors
///
/// Failures of the index.
pub fn end(tx: &mut Tx<'_>, id: i64, counts: &Counts, (outcome, now): (&str, Timestamp)) -> Result<(), Error> {
    progress(tx, id, counts)?;
    tx.execute(
        "end a collection",
        "update gc_runs set outcome = ?, ended_at = ? where id = ?",
        args![outcome, now, id],
    )?;
    Ok(())
}

/// Runs, the latest first, before the row `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn latest(tx: &mut Tx<'_>, before: Option<i64>, limit: usize) -> Result<Vec<Run>, Error> {
    tx.all(
        "list collections",
        "select id, cause, started_at, ended_at, outcome, manifests, links, condemned, blobs, bytes from gc_runs \
         where id < ? order by id desc limit ?",
        args![before.unwrap_or(i64::MAX), limit],
        run,
    )
}

fn run(row: &Row<'_>) -> Result<Run, Error> {
    Ok(Run {
        id: row.int(0)?,
        cause: row.text(1)?,
        started_at: row.time(2)?,
        ended_at: row.opt_time(3)?,
        outcome: row.text(4)?,
        counts: Counts {
            manifests: row.size(5)?,
            links: row.size(6)?,
            condemned: row.size(7)?,
            blobs: row.size(8)?,
            bytes: row.size(9)?,
        },
    })
}
