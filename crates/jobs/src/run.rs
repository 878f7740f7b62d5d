//! What work has of the job that it does.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use wharf_metadata::jobs::{self, Job, Lease, LogLine, Progress};
use wharf_metadata::{Metadata, Tx};

use crate::{Clock, Failure};

/// The lines that one attempt may leave.
const MOST_LINES: usize = 10_000;
/// The longest line, and the longest text of a progress, in bytes.
const LONGEST_TEXT: usize = 4_096;

/// One attempt at a job. Clones are cheap and share it.
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

struct Inner {
    job: Job,
    metadata: Metadata,
    clock: Clock,
    token: CancellationToken,
    stop: OnceLock<Stop>,
    lease_until: AtomicI64,
    notes: Mutex<Notes>,
}

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody does not want the job any more.
    Requested,
    /// The process ends; another one goes on.
    Shutdown,
    /// Another process has the job.
    Lost,
}

/// What has not been written down yet.
#[derive(Default)]
struct Notes {
    progress: Progress,
    is_progress_new: bool,
    lines: Vec<LogLine>,
    count: usize,
}

impl Run {
    pub(crate) fn new(job: Job, metadata: Metadata, clock: Clock) -> Self {
        let lease_until = job.lease_until.unwrap_or_default().0;
        let notes = Notes {
            progress: job.progress.clone(),
            ..Notes::default()
        };
        Self {
            inner: Arc::new(Inner {
                job,
                metadata,
                clock,
                token: CancellationToken::new(),
                stop: OnceLock::new(),
                lease_until: AtomicI64::new(lease_until),
                notes: Mutex::new(notes),
            }),
        }
    }

    /// The job as it was when the attempt began.
    pub fn job(&self) -> &Job {
        &self.inner.job
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }

    /// What is to be done.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] when the payload is not what the kind expects.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.inner.job.payload)
            .map_err(|error| Failure::fatal(format_args!("the payload cannot be read: {error}")))
    }

    /// What the last attempt left by [`Self::save`], if it came that far.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] when it is not what the kind expects.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let kept = self.inner.job.checkpoint.as_deref().map(serde_json::from_str);
        kept.transpose()
            .map_err(|error| Failure::fatal(format_args!("the checkpoint cannot be read: {error}")))
    }

    /// Keeps what the next attempt needs to go on from here, should there be one. Costs a
    /// transaction: for steps of seconds, not for each item.
    ///
    /// # Errors
    ///
    /// [`Failure::Cancelled`] when the job is somebody else's now; failures of the index.
    pub async fn save<T: Serialize + Sync>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::fatal(format_args!("the checkpoint cannot be written: {error}")))?;
        let lease = self.lease();
        let is_kept = self.inner.metadata.write(move |tx| jobs::checkpoint(tx, lease, &text));
        let is_kept: bool = is_kept.await?;
        self.unless_lost(is_kept)
    }

    /// [`Self::save`] in a transaction of the work: both are kept, or neither. `value` is JSON.
    /// `false` when the job is somebody else's: roll back then.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub fn save_in(&self, tx: &mut Tx<'_>, value: &str) -> Result<bool, wharf_metadata::Error> {
        jobs::checkpoint(tx, self.lease(), value)
    }

    /// Whether the job is still this attempt's, asked and held in a transaction of the work: what it
    /// changes there no former holder can change.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub fn is_held_in(&self, tx: &mut Tx<'_>) -> Result<bool, wharf_metadata::Error> {
        jobs::is_held(tx, self.lease())
    }

    /// Says how far it has come. Written down every few seconds.
    pub fn progress(&self, done: u64, total: Option<u64>, text: impl Into<String>) {
        let text = shortened(text.into());
        let mut notes = self.notes();
        notes.progress = Progress { done, total, text };
        notes.is_progress_new = true;
    }

    /// Adds a line to the job's log, for people. Written down every few seconds; after 10,000
    /// lines of one attempt only the count goes on.
    pub fn log(&self, line: impl Into<String>) {
        let at = self.now().into();
        let mut notes = self.notes();
        notes.count += 1;
        let message = match notes.count {
            ..=MOST_LINES => shortened(line.into()),
            count if count == MOST_LINES + 1 => "more lines follow that are not kept".to_owned(),
            _ => return,
        };
        notes.lines.push(LogLine { id: 0, at, message });
    }

    /// Whether it is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.token.is_cancelled()
    }

    /// Waits until it is to stop.
    pub async fn cancelled(&self) {
        self.inner.token.cancelled().await;
    }

    /// For the end of each step: `run.go_on()?` leaves the work when it is to stop.
    ///
    /// # Errors
    ///
    /// [`Failure::Cancelled`] when it is to stop.
    pub fn go_on(&self) -> Result<(), Failure> {
        match self.is_cancelled() || !self.still_ours() {
            true => Err(Failure::Cancelled),
            false => Ok(()),
        }
    }

    /// Whether nobody else can have the job at this moment: to be asked right before something that
    /// cannot be undone and is no transaction of the index.
    pub fn still_ours(&self) -> bool {
        self.inner.stop.get() != Some(&Stop::Lost) && self.now() < self.lease_until()
    }

    /// Until when nobody else can have the job, if it is not prolonged: what begins now and cannot
    /// be undone must have ended by then.
    pub fn lease_until(&self) -> Timestamp {
        wharf_metadata::Timestamp(self.inner.lease_until.load(Ordering::Acquire)).to_jiff()
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease {
            job_id: self.inner.job.id,
            fencing: self.inner.job.fencing,
        }
    }

    pub(crate) fn prolonged(&self, until: wharf_metadata::Timestamp) {
        self.inner.lease_until.store(until.0, Ordering::Release);
    }

    /// Tells the work to stop; the first reason counts, except that a lost job is lost.
    pub(crate) fn stop(&self, reason: Stop) {
        // a second reason does not change what has begun
        let _first = self.inner.stop.set(reason);
        self.inner.token.cancel();
    }

    pub(crate) fn stop_reason(&self) -> Option<Stop> {
        self.inner.stop.get().copied()
    }

    /// What has not been written down yet; [`Self::put_back_notes`] when writing failed.
    pub(crate) fn take_notes(&self) -> (Option<Progress>, Vec<LogLine>) {
        let mut notes = self.notes();
        let progress = notes.is_progress_new.then(|| notes.progress.clone());
        notes.is_progress_new = false;
        (progress, std::mem::take(&mut notes.lines))
    }

    pub(crate) fn put_back_notes(&self, progress: Option<&Progress>, mut lines: Vec<LogLine>) {
        let mut notes = self.notes();
        notes.is_progress_new |= progress.is_some();
        lines.append(&mut notes.lines);
        notes.lines = lines;
    }

    pub(crate) fn has_notes(&self) -> bool {
        let notes = self.notes();
        notes.is_progress_new || !notes.lines.is_empty()
    }

    pub(crate) fn last_notes(&self) -> (Progress, Vec<LogLine>) {
        let mut notes = self.notes();
        (notes.progress.clone(), std::mem::take(&mut notes.lines))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // nothing in between is left half done
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unless_lost(&self, is_ours: bool) -> Result<(), Failure> {
        if is_ours {
            return Ok(());
        }
        self.stop(Stop::Lost);
        Err(Failure::Cancelled)
    }
}

/// At most so long, cut between two characters.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let end = text.floor_char_boundary(LONGEST_TEXT);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("job", &self.inner.job.id)
            .field("kind", &self.inner.job.kind)
            .finish_non_exhaustive()
    }
}
