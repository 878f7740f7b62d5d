//! The handle through which everybody makes, watches and cancels jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use wharf_metadata::audit_log::{self, Line};
use wharf_metadata::jobs::{self, Cancelled, Enqueued, Filter, Job, KindRow, LogLine, State};
use wharf_metadata::{Metadata, Tx};

use crate::run::Stop;
use crate::{Clock, Error, Kind, KindStatus, Run, Schedule};

/// How often a job that another process runs is looked at by who waits for it.
const LOOK: Duration = Duration::from_millis(500);

/// A job that is to be done.
#[derive(Clone, Debug)]
pub struct NewJob {
    kind: String,
    key: Option<String>,
    payload: String,
    run_at: Option<Timestamp>,
    priority: i64,
    requested_by: String,
}

impl NewJob {
    /// A job of a kind, due at once, wanted by this program itself, with the payload `{}`.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            key: None,
            payload: "{}".to_owned(),
            run_at: None,
            priority: 0,
            requested_by: String::new(),
        }
    }

    /// While a job of this kind and key waits, no second one is made; while one runs, the next waits
    /// for its end. At most 400 bytes.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What it is to do.
    #[must_use]
    pub fn payload(mut self, payload: &Value) -> Self {
        self.payload = payload.to_string();
        self
    }

    /// Not before this time.
    #[must_use]
    pub fn not_before(mut self, time: Timestamp) -> Self {
        self.run_at = Some(time);
        self
    }

    /// Larger ones are run first; 0 is usual.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// Who wants it.
    #[must_use]
    pub fn by(mut self, name: &str) -> Self {
        name.clone_into(&mut self.requested_by);
        self
    }
}

/// Who changes something, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The name.
    pub name: &'a str,
    /// The network address; empty for this machine.
    pub address: &'a str,
}

/// Makes, shows and cancels jobs. Clones are cheap and share it. Whether somebody may do so is
/// decided by who calls.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    metadata: Metadata,
    clock: Clock,
    zone: TimeZone,
    kinds: RwLock<BTreeMap<&'static str, Kind>>,
    running: Mutex<HashMap<i64, Run>>,
    /// What was enqueued here and has not ended, where that is remembered.
    wanted: Mutex<Option<BTreeSet<i64>>>,
    woken: Notify,
    ended: watch::Sender<u64>,
}

impl Jobs {
    /// Over an index. Cron fields without a time zone are in UTC.
    #[must_use]
    pub fn new(metadata: Metadata, clock: Clock) -> Self {
        Self::in_zone(metadata, clock, TimeZone::UTC)
    }

    /// The same with another time zone for cron fields that name none.
    #[must_use]
    pub fn in_zone(metadata: Metadata, clock: Clock, zone: TimeZone) -> Self {
        Self {
            inner: Arc::new(Inner {
                metadata,
                clock,
                zone,
                kinds: RwLock::default(),
                running: Mutex::default(),
                wanted: Mutex::default(),
                woken: Notify::new(),
                ended: watch::Sender::new(0),
            }),
        }
    }

    /// Makes a job, unless one of the same kind and key waits.
    ///
    /// # Errors
    ///
    /// A key that is too long, and failures of the index.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, Error> {
        let this = self.clone();
        let enqueued = self.inner.metadata.write(move |tx| this.enqueue_in(tx, &job)).await?;
        self.wake();
        Ok(enqueued)
    }

    /// [`Self::enqueue`] in the transaction of the change that asks for the job. Call
    /// [`Self::wake`] once it is committed, or the job begins some seconds later.
    ///
    /// # Errors
    ///
    /// As [`Self::enqueue`].
    pub fn enqueue_in(&self, tx: &mut Tx<'_>, job: &NewJob) -> Result<Enqueued, wharf_metadata::Error> {
        let now = self.now();
        let new = jobs::NewJob {
            kind: &job.kind,
            key: job.key.as_deref(),
            payload: &job.payload,
            run_at: job.run_at.map_or(now, wharf_metadata::Timestamp::from),
            priority: job.priority,
            requested_by: &job.requested_by,
        };
        let enqueued = jobs::enqueue(tx, &new, now)?;
        if let Some(wanted) = self.lock_wanted().as_mut() {
            wanted.insert(enqueued.id());
        }
        Ok(enqueued)
    }

    /// Makes the runner of this process look for due jobs at once.
    pub fn wake(&self) {
        self.inner.woken.notify_one();
    }

    /// Starts a job of a kind that has a schedule or could have one; when one waits already, that
    /// one is made to run now.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], [`Error::NotStartable`], and failures of the index.
    pub async fn run_now(&self, kind: &str, actor: Actor<'_>) -> Result<Enqueued, Error> {
        let known = self.kind(kind)?;
        let Some(payload) = known.payload else {
            return Err(Error::NotStartable(kind.to_owned()));
        };
        let job = NewJob::new(known.name)
            .key(Kind::SCHEDULED)
            .payload(&payload)
            .by(actor.name);
        let (this, line) = (self.clone(), self.line(actor, "job.run", known.name, ""));
        let enqueued = self.inner.metadata.write(move |tx| {
            let enqueued = this.enqueue_in(tx, &job)?;
            jobs::hurry(tx, enqueued.id(), line.at)?;
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(enqueued)
        });
        let enqueued = enqueued.await?;
        self.wake();
        Ok(enqueued)
    }

    /// Ends a job that waits, tells one that runs to stop: at once in this process, within seconds
    /// in others.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownJob`], and failures of the index.
    pub async fn cancel(&self, id: i64, actor: Actor<'_>) -> Result<Cancelled, Error> {
        let (by, line) = (
            actor.name.to_owned(),
            self.line(actor, "job.cancel", &id.to_string(), ""),
        );
        let cancelled = self.inner.metadata.write(move |tx| {
            let cancelled = jobs::cancel(tx, id, &by, line.at)?;
            if matches!(cancelled, Cancelled::Now | Cancelled::Requested) {
                audit_log::append(tx, &line)?;
            }
            Ok::<_, wharf_metadata::Error>(cancelled)
        });
        match cancelled.await? {
            Cancelled::Unknown => Err(Error::UnknownJob(id)),
            cancelled => {
                if let Some(run) = self.running().get(&id) {
                    run.stop(Stop::Requested);
                }
                self.note_end();
                Ok(cancelled)
            }
        }
    }

    /// Jobs, the newest first, before the job `before`; only of a kind and in a state, if given.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub async fn list(
        &self,
        (kind, state): (Option<&str>, Option<State>),
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Job>, Error> {
        let kind = kind.map(str::to_owned);
        let page = self.inner.metadata.read(move |tx| {
            let filter = Filter {
                kind: kind.as_deref(),
                state,
            };
            jobs::page(tx, filter, before, limit)
        });
        Ok(page.await?)
    }

    /// One job.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownJob`], and failures of the index.
    pub async fn show(&self, id: i64) -> Result<Job, Error> {
        let found = self.inner.metadata.read(move |tx| jobs::find(tx, id)).await?;
        found.ok_or(Error::UnknownJob(id))
    }

    /// Lines of a job's log, the oldest first, after the line `after`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownJob`], and failures of the index.
    pub async fn log(&self, id: i64, after: i64, limit: usize) -> Result<Vec<LogLine>, Error> {
        let page = self.inner.metadata.read(move |tx| {
            let is_known = jobs::find(tx, id)?.is_some();
            Ok::<_, wharf_metadata::Error>((is_known, jobs::log_page(tx, id, after, limit)?))
        });
        match page.await? {
            (true, lines) => Ok(lines),
            (false, _) => Err(Error::UnknownJob(id)),
        }
    }

    /// Waits until a job has ended, whoever runs it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownJob`] also when it is forgotten meanwhile; failures of the index.
    pub async fn wait(&self, id: i64) -> Result<Job, Error> {
        let mut ended = self.inner.ended.subscribe();
        loop {
            ended.mark_unchanged();
            let job = self.show(id).await?;
            if job.state.is_end() {
                return Ok(job);
            }
            // by a time-out, or because some job here has ended: look again
            drop(tokio::time::timeout(LOOK, ended.changed()).await);
        }
    }

    /// How many jobs of each kind wait and run.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub async fn counts(&self) -> Result<Vec<(String, State, u64)>, Error> {
        Ok(self.inner.metadata.read(jobs::counts).await?)
    }

    /// Every registered kind, by name.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub async fn kinds(&self) -> Result<Vec<KindStatus>, Error> {
        let rows = self.inner.metadata.read(jobs::kinds).await?;
        let rows: HashMap<&str, &KindRow> = rows.iter().map(|row| (row.kind.as_str(), row)).collect();
        let kinds: Vec<Kind> = self.registered().values().cloned().collect();
        Ok(kinds
            .iter()
            .map(|kind| self.status(kind, rows.get(kind.name).copied()))
            .collect())
    }

    /// Sets the schedule of a kind for all processes, or with `None` goes back to the configured one.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], [`Error::NotStartable`], [`Error::Schedule`], and failures of the index.
    pub async fn set_schedule(&self, kind: &str, schedule: Option<&str>, actor: Actor<'_>) -> Result<(), Error> {
        let known = self.kind(kind)?;
        if known.payload.is_none() {
            return Err(Error::NotStartable(kind.to_owned()));
        }
        let wanted = schedule
            .map(|text| Schedule::parse(text, &self.inner.zone))
            .transpose()?;
        let effective = wanted.as_ref().unwrap_or(&known.schedule).clone();
        let (wanted, by) = (wanted.map(|schedule| schedule.to_string()), actor.name.to_owned());
        let line = self.line(actor, "job.schedule", known.name, &effective.to_string());
        let next = effective.next_after((self.inner.clock)(), None);
        let set = self.inner.metadata.write(move |tx| {
            jobs::register(tx, known.name, line.at)?;
            jobs::set_schedule(tx, known.name, wanted.as_deref(), &by, line.at)?;
            jobs::plan(tx, known.name, &effective.to_string(), next.map(Into::into))?;
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(())
        });
        set.await?;
        self.wake();
        Ok(())
    }

    /// Lets jobs of a kind run, or wait, in all processes. What runs already goes on.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], and failures of the index.
    pub async fn set_enabled(&self, kind: &str, is_enabled: bool, actor: Actor<'_>) -> Result<(), Error> {
        let known = self.kind(kind)?;
        let action = if is_enabled { "job.enable" } else { "job.disable" };
        let (line, by) = (self.line(actor, action, known.name, ""), actor.name.to_owned());
        let set = self.inner.metadata.write(move |tx| {
            jobs::register(tx, known.name, line.at)?;
            jobs::set_enabled(tx, known.name, is_enabled, &by, line.at)?;
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(())
        });
        set.await?;
        self.wake();
        Ok(())
    }

    fn status(&self, kind: &Kind, row: Option<&KindRow>) -> KindStatus {
        let own = row.and_then(|row| row.schedule.clone());
        let time =
            |pick: fn(&KindRow) -> Option<wharf_metadata::Timestamp>| row.and_then(pick).map(|time| time.to_jiff());
        KindStatus {
            name: kind.name,
            title: kind.title,
            is_startable: kind.payload.is_some(),
            is_enabled: row.is_none_or(|row| row.is_enabled),
            overridden: own.is_some().then(|| kind.schedule.to_string()),
            schedule: own.unwrap_or_else(|| kind.schedule.to_string()),
            next_at: time(|row| row.next_at),
            last_success_at: time(|row| row.last_success_at),
            last_failure_at: time(|row| row.last_failure_at),
        }
    }

    fn kind(&self, name: &str) -> Result<Kind, Error> {
        let kinds = self.registered();
        kinds.get(name).cloned().ok_or_else(|| Error::UnknownKind {
            kind: name.to_owned(),
            known: kinds.keys().copied().collect::<Vec<_>>().join(", "),
        })
    }

    fn line(&self, actor: Actor<'_>, action: &str, subject: &str, detail: &str) -> Line {
        Line {
            id: 0,
            at: self.now(),
            actor: actor.name.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
            address: actor.address.to_owned(),
            result: "ok".to_owned(),
        }
    }

    pub(crate) fn register(&self, kind: Kind) {
        let mut kinds = self.inner.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(kind.name, kind);
    }

    pub(crate) fn registered(&self) -> impl std::ops::Deref<Target = BTreeMap<&'static str, Kind>> + '_ {
        self.inner.kinds.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<i64, Run>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an attempt that has ended, unless a later one has its place.
    pub(crate) fn forget_running(&self, run: &Run) {
        let mut running = self.running();
        if running.get(&run.job().id).is_some_and(|now| now.lease() == run.lease()) {
            running.remove(&run.job().id);
        }
    }

    pub(crate) fn remember_wanted(&self) {
        self.lock_wanted().get_or_insert_default();
    }

    pub(crate) fn wanted(&self) -> Vec<i64> {
        self.lock_wanted().iter().flatten().copied().collect()
    }

    pub(crate) fn forget_wanted(&self, id: i64) {
        if let Some(wanted) = self.lock_wanted().as_mut() {
            wanted.remove(&id);
        }
    }

    fn lock_wanted(&self) -> MutexGuard<'_, Option<BTreeSet<i64>>> {
        self.inner.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.inner.zone
    }

    pub(crate) fn now(&self) -> wharf_metadata::Timestamp {
        (self.inner.clock)().into()
    }

    pub(crate) async fn woken(&self) {
        self.inner.woken.notified().await;
    }

    pub(crate) fn note_end(&self) {
        self.inner.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}
