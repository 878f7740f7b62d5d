//! Collecting garbage while requests go on (consistency rules 1, 2, 4 and 5).
//!
//! Changes queue what they may have made garbage. [`Collector::run`] works the queue off in small
//! batches, each a transaction of its own, so that it can stop anywhere and others can take part:
//! manifests that follow their subject or have lost their tags, links that no manifest needs, blobs
//! that no repository links. What nothing holds is left alone for the grace period; a blob is then
//! condemned, and deleted a grace period later. Anybody who asks for it meanwhile keeps it.

mod blobs;
mod explain;
mod job;
mod pace;
mod plan;
mod recover;
mod status;
mod steps;
mod touch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_metadata::garbage_collection::{self as queue, Counts, Cursor, Pass};
use wharf_metadata::{Metadata, Timestamp, Tx, settings};
use wharf_storage::Storage;

use crate::adoption::{Adoption, stored_epoch};
use crate::caches::Caches;
use crate::mirror::Mirror;
use crate::trash::Keep;
use crate::{Clock, Error, Random, Result};

pub use explain::{Explanation, Hold, Kept, Verdict};
pub use job::{KIND, Wish};
pub use plan::{Plan, Planned, PlannedKind};
pub use recover::recover_deleting;
pub use status::Status;
pub use touch::{Touched, Touches};
pub use wharf_metadata::garbage_collection::{Kind as Waits, Run as Past, Waiting};

use pace::Pace;

/// No single storage request lasts longer, with all that is tried again.
pub(crate) const LONGEST_REQUEST: Duration = Duration::from_secs(60);
/// A deletion has ended this long after it was begun, at the latest.
const LONGEST_DELETION: Duration = Duration::from_secs(300);
/// Rows that are reviewed in one transaction: as many as delay a push by some milliseconds.
const BATCH: usize = 128;
/// Rows that a sweep looks at in one transaction.
const PAGE: usize = 500;
/// How long bytes may be on their way before their row counts as left over, at least.
const LONGEST_WRITING: Duration = Duration::from_secs(60);
/// How often everything is looked at, for what no change has queued.
const SWEEP_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The setting that holds when the last sweep ended, in microseconds, as text.
const SWEPT_AT: &str = "gc.swept_at";

/// How garbage is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `gc.grace_period`: how long a thing is left alone.
    pub grace: Duration,
    /// `gc.untagged_after`: how long manifests without a tag stay; `None` for ever.
    pub untagged_after: Option<Duration>,
    /// `trash.keep`: how long manifests that have lost their tags can be brought back.
    pub keep: Keep,
    /// `gc.objects_per_second`: how many links and blobs at most.
    pub objects_per_second: Option<u64>,
    /// `gc.bytes_per_second`: how many bytes are deleted at most.
    pub bytes_per_second: Option<u64>,
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// What started it, for the history.
    pub cause: String,
    /// Another grace period than the policy's, for a registry that nobody pushes to.
    pub grace: Option<Duration>,
    /// Whether everything is looked at first, and not only what changes have queued.
    pub is_full: bool,
    /// Whether manifests without a tag go, whatever the policy says.
    pub with_untagged: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it removed.
    pub counts: Counts,
    /// Why there may be more to do.
    pub end: End,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is due any more.
    Done,
    /// It was told to stop.
    Stopped,
    /// The index is not complete, or older than its storage: nothing may be collected.
    Incomplete,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Incomplete => "not allowed: the index is not complete",
        }
    }
}

/// The parts that a collector works on.
#[derive(Clone)]
pub struct Parts {
    /// The index.
    pub metadata: Metadata,
    /// The bytes.
    pub storage: Storage,
    /// The memories of pulls, to be kept exact.
    pub caches: Caches,
    /// Makes links follow the index.
    pub mirror: Mirror,
    /// Compares the storage with the index.
    pub adoption: Adoption,
    /// The time.
    pub clock: Clock,
}

/// Collects garbage. Cloning shares it.
#[derive(Clone)]
pub struct Collector {
    parts: Parts,
    policy: Policy,
    touches: Touches,
    /// Names this process among all that ever were.
    owner: Arc<str>,
    surroundings: Surroundings,
    state: Arc<State>,
}

/// Whom a collector has to mind.
#[derive(Clone)]
pub struct Surroundings {
    /// Nothing is served: this process compares storage and index itself before it collects.
    pub is_stopped: bool,
    /// Nobody can push: nothing is in anybody's hands that needs a grace period.
    pub is_quiet: bool,
    /// Whether storage and index belong together (consistency rule 16).
    pub is_trusted: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            is_stopped: false,
            is_quiet: false,
            is_trusted: Arc::new(|| true),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// One run at a time in this process.
    turn: tokio::sync::Mutex<()>,
    totals: Mutex<Counts>,
    runs: AtomicU64,
    failures: AtomicU64,
    last_end: AtomicU64,
    waiting: AtomicU64,
    condemned: AtomicU64,
}

/// What the collector of this process has done since its start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What it removed.
    pub counts: Counts,
    /// How many runs came to an end.
    pub runs: u64,
    /// How many runs failed.
    pub failures: u64,
    /// When the last one ended, in seconds since 1970; 0 before the first.
    pub last_end: u64,
    /// How many reviews waited when they were last counted.
    pub waiting: u64,
    /// How many blobs were condemned then.
    pub condemned: u64,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector")
            .field("policy", &self.policy)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Over these parts, by this policy.
    pub fn new(parts: Parts, policy: Policy, touches: Touches, random: &Random) -> Self {
        let mut name = [0u8; 16];
        random(&mut name);
        Self {
            parts,
            policy,
            touches,
            owner: uuid::Builder::from_random_bytes(name).into_uuid().to_string().into(),
            surroundings: Surroundings::default(),
            state: Arc::default(),
        }
    }

    /// With other surroundings than those of a registry that serves.
    #[must_use]
    pub fn within(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// Whether nobody can push, so that things may go at once.
    pub const fn is_quiet(&self) -> bool {
        self.surroundings.is_quiet
    }

    /// Whether anything may be collected, now or once this process has compared storage and index.
    ///
    /// # Errors
    ///
    /// Index or storage cannot be read.
    pub async fn may_begin(&self) -> Result<bool> {
        match (self.surroundings.is_trusted)() {
            true if self.surroundings.is_stopped => Ok(true),
            _ => Ok(self.epoch().await?.is_some()),
        }
    }

    /// How garbage is collected.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What this process has done since its start.
    pub fn totals(&self) -> Totals {
        Totals {
            counts: *self.counted(),
            runs: self.state.runs.load(Ordering::Relaxed),
            failures: self.state.failures.load(Ordering::Relaxed),
            last_end: self.state.last_end.load(Ordering::Relaxed),
            waiting: self.state.waiting.load(Ordering::Relaxed),
            condemned: self.state.condemned.load(Ordering::Relaxed),
        }
    }

    /// Works off what is due, until nothing is or `go_on` says no; `go_on` is asked between batches
    /// and is told what was removed so far.
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was removed until then stays removed, and the next run goes on.
    pub async fn run(&self, request: &Request, go_on: impl FnMut(&Counts) -> bool + Send) -> Result<Report> {
        let _turn = self.state.turn.lock().await;
        self.compare_first().await?;
        let mut run = Run {
            collector: self,
            request,
            go_on,
            counts: Counts::default(),
            row: None,
            pace: Pace::new(&self.policy),
        };
        let outcome = run.work().await;
        let counts = run.counts;
        run.finish(&outcome).await?;
        let now = self.now().0 / 1_000_000;
        self.state.last_end.store(now.unsigned_abs(), Ordering::Relaxed);
        match outcome {
            Ok(end) => {
                self.state.runs.fetch_add(1, Ordering::Relaxed);
                Ok(Report { counts, end })
            }
            Err(error) => {
                self.state.failures.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Counts what waits and what is condemned, for [`Collector::totals`].
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn count(&self) -> Result<()> {
        let counted = self.parts.metadata.read_long(|tx| {
            let waiting = queue::waiting(tx)?.iter().map(|waiting| waiting.count).sum();
            Ok::<_, wharf_metadata::Error>((waiting, queue::condemned(tx)?))
        });
        let (waiting, condemned) = counted.await?;
        self.state.waiting.store(waiting, Ordering::Relaxed);
        self.state.condemned.store(condemned, Ordering::Relaxed);
        Ok(())
    }

    /// While nothing is served nobody else compares the storage with the index.
    async fn compare_first(&self) -> Result<()> {
        let here = &self.surroundings;
        match here.is_stopped && (here.is_trusted)() && !self.parts.adoption.is_settled() {
            true => self.parts.adoption.run().await,
            false => Ok(()),
        }
    }

    /// When the next thing is due, if anything waits.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let (grace, untagged) = (micros(self.policy.grace), self.untagged_after());
        let next = self.parts.metadata.read(move |tx| {
            let waiting = queue::next(tx)?;
            let due = waiting.into_iter().map(|(kind, since)| match kind {
                queue::Kind::Untagged => since.plus(untagged.unwrap_or(grace).max(grace)),
                _ => since.plus(grace),
            });
            Ok::<_, wharf_metadata::Error>(due.min())
        });
        next.await.map_err(Error::from)
    }

    /// Whether there is anything to do now.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn is_due(&self) -> Result<bool> {
        let now = self.now();
        if self.next_due().await?.is_some_and(|due| due <= now) {
            return Ok(true);
        }
        let left = now.plus(-micros(self.policy.grace.max(LONGEST_DELETION)));
        let due = self.parts.metadata.read(move |tx| {
            let is_swept = Cursor::load(tx)?.is_none() && !is_sweep_due(tx, now)?;
            Ok::<_, wharf_metadata::Error>(!is_swept || queue::has_left_over(tx, left)?)
        });
        Ok(due.await?)
    }

    fn untagged_after(&self) -> Option<i64> {
        self.policy.untagged_after.map(micros)
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.state.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.parts.clock)().into()
    }
}

/// One run under way.
struct Run<'r, G> {
    collector: &'r Collector,
    request: &'r Request,
    go_on: G,
    counts: Counts,
    /// Its row in the history, once there is something to tell.
    row: Option<i64>,
    pace: Pace,
}

impl<G: FnMut(&Counts) -> bool + Send> Run<'_, G> {
    async fn work(&mut self) -> Result<End> {
        self.prepare().await?;
        loop {
            if let Some(end) = self.end_now() {
                return Ok(end);
            }
            let Some(pass) = self.pass().await? else {
                return Ok(End::Incomplete);
            };
            let mut looked_at = 0;
            if !self.is_swept().await? {
                looked_at += 1;
            }
            for step in Step::ALL {
                if let Some(end) = self.end_now() {
                    return Ok(end);
                }
                match self.step(step, &pass).await? {
                    Some(done) => looked_at += done,
                    None => return Ok(End::Incomplete),
                }
            }
            if looked_at == 0 {
                return Ok(End::Done);
            }
        }
    }

    /// Makes the index know the policy, and begins a sweep when it is time for one.
    async fn prepare(&mut self) -> Result<()> {
        let collector = self.collector;
        let (after, now) = (collector.untagged_after(), collector.now());
        let is_full = self.request.is_full;
        let prepared = collector.parts.metadata.write(move |tx| {
            let has_changed = queue::set_untagged_after(tx, after)? && after.is_some();
            if is_full || has_changed || is_sweep_due(tx, now)? && Cursor::load(tx)?.is_none() {
                Cursor::begin(tx)?;
            }
            Ok::<_, wharf_metadata::Error>(())
        });
        prepared.await?;
        if self.request.is_full {
            self.begin_history().await?;
        }
        Ok(())
    }

    fn end_now(&mut self) -> Option<End> {
        (!(self.go_on)(&self.counts)).then_some(End::Stopped)
    }

    /// What the next batches go by; `None` when nothing may be collected.
    async fn pass(&self) -> Result<Option<Pass>> {
        let collector = self.collector;
        let now = collector.now();
        let grace = self.request.grace.unwrap_or(collector.policy.grace);
        let untagged_after = match self.request.with_untagged {
            true => Some(0),
            false => collector.untagged_after(),
        };
        let Some(epoch) = collector.epoch().await? else {
            return Ok(None);
        };
        Ok(Some(Pass {
            owner: collector.owner.to_string(),
            epoch,
            now,
            grace: micros(grace),
            untagged_after,
            deadline: now.plus(micros(LONGEST_DELETION)),
        }))
    }

    /// One page of a sweep that is under way; whether there is none.
    async fn is_swept(&mut self) -> Result<bool> {
        let collector = self.collector;
        let with_untagged = self.request.with_untagged || collector.policy.untagged_after.is_some();
        let now = collector.now();
        let swept = collector.parts.metadata.write(move |tx| {
            let Some(cursor) = Cursor::load(tx)? else {
                return Ok(true);
            };
            if queue::sweep(tx, cursor, with_untagged, PAGE)?.next.is_none() {
                settings::set(tx, SWEPT_AT, now.0.to_string().as_bytes())?;
            }
            Ok::<_, wharf_metadata::Error>(false)
        });
        Ok(swept.await?)
    }

    /// Counts what a batch removed and rests as long as the policy says.
    async fn removed(&mut self, removed: Counts) -> Result<()> {
        if removed.is_empty() {
            return Ok(());
        }
        self.counts.add(&removed);
        self.collector.counted().add(&removed);
        let row = self.begin_history().await?;
        let counts = self.counts;
        let noted = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::record_progress(tx, row, &counts));
        noted.await?;
        let objects = removed.links + removed.blobs + removed.manifests;
        let Self {
            pace, go_on, counts, ..
        } = self;
        pace.rest(objects, removed.bytes, || go_on(counts)).await;
        Ok(())
    }

    async fn begin_history(&mut self) -> Result<i64> {
        if let Some(row) = self.row {
            return Ok(row);
        }
        let (cause, now) = (self.request.cause.clone(), self.collector.now());
        let begun = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::begin_run(tx, &cause, now));
        let row = begun.await?;
        self.row = Some(row);
        Ok(row)
    }

    /// Writes the end of the run into the history.
    async fn finish(self, outcome: &Result<End>) -> Result<()> {
        let Some(row) = self.row else { return Ok(()) };
        let (text, counts, now) = match outcome {
            Ok(end) => (end.as_str().to_owned(), self.counts, self.collector.now()),
            Err(error) => (format!("failed: {error}"), self.counts, self.collector.now()),
        };
        let ended = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::end_run(tx, row, &counts, (&text, now)));
        Ok(ended.await?)
    }
}

impl Collector {
    /// The epoch of a complete index that is not older than its storage; `None` when nothing may be
    /// collected (consistency rule 1).
    async fn epoch(&self) -> Result<Option<i64>> {
        if !(self.surroundings.is_trusted)() {
            return Ok(None);
        }
        let known = self.parts.metadata.read(wharf_metadata::adoption::completeness).await?;
        let stored = stored_epoch(&self.parts.storage).await?;
        if stored > known.epoch {
            tracing::warn!(
                index = known.epoch,
                storage = stored,
                "the index is older than its storage: nothing is collected before both were compared"
            );
        }
        Ok((known.is_complete && stored <= known.epoch).then_some(known.epoch))
    }
}

/// The reviews, in the order in which one makes work for the next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Manifests,
    Links,
    Blobs,
    LeftOver,
}

impl Step {
    const ALL: [Self; 4] = [Self::Manifests, Self::Links, Self::LeftOver, Self::Blobs];
}

/// Whether the last sweep was long ago.
fn is_sweep_due(tx: &mut Tx<'_>, now: Timestamp) -> std::result::Result<bool, wharf_metadata::Error> {
    let swept_at = settings::get_text(tx, SWEPT_AT)?.and_then(|text| text.parse().ok());
    Ok(swept_at.is_none_or(|at: i64| now.0 - at >= micros(SWEEP_INTERVAL)))
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
