//! Long and scheduled work: every kind of job there is, and the loop that runs them in the process
//! that owns the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Failure, Jobs, Kind, Run, Runner, RunnerConfig, Schedule, Work};
use wharf_metadata::Metadata;
use wharf_registry::backup::scheduled::{self, BackupFolder};
use wharf_registry::garbage_collection::{self, Collector};
use wharf_registry::trash::{self, Trash};
use wharf_registry::verification::{self, Verification};

use super::background::ADOPTION;
use super::{Workings, background, index};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::shutdown::Tasks;

/// How often the jobs that wait and run are counted for `/metrics`.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How often the damaged blobs are counted for `/metrics`.
const DAMAGE_INTERVAL: Duration = Duration::from_secs(60);
/// When the space of the trash is first counted for `/metrics`.
const TRASH_INTERVAL: Duration = Duration::from_secs(60);
/// In each how many such intervals it is counted again: that reads all of it.
const TRASH_TURNS: u64 = 10;
/// How often it is looked whether anything is due for the collector.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60);
/// When work that must not touch a wrong storage is tried again.
const UNTRUSTED: Duration = Duration::from_secs(300);

/// The handle by which everybody makes jobs.
pub(super) fn handle(config: &Config, metadata: &Metadata) -> Jobs {
    Jobs::in_zone(metadata.clone(), super::clock(), config.jobs.time_zone.clone())
}

/// What runs the jobs of this process.
#[derive(Clone)]
pub(super) struct Engine {
    runner: Runner,
    collection: Collection,
    verification: Verification,
    trash: Trash,
    jobs: Jobs,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// One that knows every kind of job. Nothing runs yet.
    pub(super) fn new(config: &Config, workings: &Workings, metrics: &Arc<Metrics>) -> Self {
        let mut nonce = [0_u8; 8];
        (super::random())(&mut nonce);
        let owner = format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(nonce));
        let settings = RunnerConfig {
            concurrency: config.jobs.concurrency,
            // whoever owns the index is the only one that works on it (consistency rule 9)
            is_alone: !workings.index.is_shared(),
            ..RunnerConfig::new(owner)
        };
        let observed = Arc::clone(metrics);
        let mut runner = Runner::new(workings.jobs.clone(), settings).observed(Arc::new(move |ended| {
            observed.job(ended.kind).ended(ended.end, ended.took);
        }));
        register_purges(&mut runner, config, workings);
        register_collection(&mut runner, workings);
        register_backup(&mut runner, config, workings);
        register_verification(&mut runner, config, workings);
        register_expiry(&mut runner, config, workings);
        Self {
            runner,
            collection: Collection::new(config, workings),
            verification: workings.verification.clone(),
            trash: workings.lifecycle.trash.clone(),
            jobs: workings.jobs.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Runs jobs until the process stops: only where the index is this process's own.
    pub(super) fn start(self, tasks: &Tasks) {
        tasks.spawn("jobs", self.runner.run(tasks.shutdown().stopping_owned()));
        self.collection.start(tasks, &self.jobs);
        let verification = self.verification;
        background::every(tasks, "damage counts", DAMAGE_INTERVAL, move || {
            let verification = verification.clone();
            async move { verification.count().await.map_err(Into::into) }
        });
        let (trash, turn) = (self.trash, AtomicU64::new(0));
        background::every(tasks, "trash counts", TRASH_INTERVAL, move || {
            let is_due = turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRASH_TURNS);
            let trash = trash.clone();
            async move {
                match is_due {
                    true => trash.count().await.map_err(Into::into),
                    false => Ok(()),
                }
            }
        });
        let (jobs, metrics) = (self.jobs, self.metrics);
        background::every(tasks, "job counts", COUNT_INTERVAL, move || {
            let (jobs, metrics) = (jobs.clone(), Arc::clone(&metrics));
            async move {
                metrics.count_jobs(&jobs.kinds().await?, &jobs.counts().await?);
                Ok(())
            }
        });
    }

    /// Runs what a command asks for, while the registry is stopped, and nothing else.
    pub(super) fn start_for_command(self, tasks: &Tasks) {
        let runner = self.runner.for_command();
        tasks.spawn("jobs", runner.run(tasks.shutdown().stopping_owned()));
    }
}

fn register_purges(runner: &mut Runner, config: &Config, workings: &Workings) {
    let kind = Kind::new("job_purge", "Forgets jobs that ended long ago");
    runner.register_purge(kind.schedule(config.jobs.schedule("job_purge")), config.jobs.retention);
    if let Some(purging) = config.storage.upload_purging.clone() {
        // distribution's keys say when
        let schedule = Schedule::every(purging.interval).unwrap_or_else(|_| Schedule::never());
        let kind = Kind::new("upload_purge", "Removes uploads that nobody continues").schedule(schedule);
        let purge = workings.purge.clone();
        let work = move |run: Run| {
            let purge = purge.clone();
            async move { purge.work(run, purging.age, purging.dry_run).await }
        };
        runner.register(kind, on_trusted_storage(&workings.index, work));
    }
}

fn register_collection(runner: &mut Runner, workings: &Workings) {
    let kind = Kind::new(garbage_collection::KIND, "Removes what nothing holds").payload(json!({ "full": true }));
    let collector = workings.collector.clone();
    let work = move |run: Run| {
        let collector = collector.clone();
        async move { collector.work(run).await }
    };
    runner.register(kind, on_trusted_storage(&workings.index, work));
}

fn register_verification(runner: &mut Runner, config: &Config, workings: &Workings) {
    let (index, parts) = (&workings.index, &workings.verification);
    let verification = parts.clone();
    let verify = move |run: Run| {
        let verification = verification.clone();
        async move { verification.verify_work(run).await }
    };
    runner.register(Verification::verify_kind(), on_trusted_storage(index, verify));
    let (verification, turns) = (parts.clone(), index.turns.clone());
    let rebuild = move |run: Run| {
        let (verification, turns) = (verification.clone(), turns.clone());
        async move { turns.alone(ADOPTION, verification.rebuild_work(run)).await }
    };
    runner.register(Verification::rebuild_kind(), on_trusted_storage(index, rebuild));
    let kind = Verification::scrub_kind(
        config.jobs.schedule(verification::SCRUB),
        config.scrub.bytes_per_second,
        !config.storage.read_only,
    );
    let verification = parts.clone();
    let scrub = move |run: Run| {
        let verification = verification.clone();
        async move { verification.scrub_work(run).await }
    };
    runner.register(kind, on_trusted_storage(index, scrub));
}

fn register_expiry(runner: &mut Runner, config: &Config, workings: &Workings) {
    let kind = Kind::new(trash::KIND, "Purges what has been in the trash for its time")
        .schedule(config.jobs.schedule(trash::KIND));
    let trash = workings.lifecycle.trash.clone();
    let work = move |run: Run| {
        let trash = trash.clone();
        async move { trash.work(run).await }
    };
    runner.register(kind, on_trusted_storage(&workings.index, work));
}

/// Makes a job whenever something is due for the collector.
#[derive(Clone)]
struct Collection {
    collector: Collector,
    index: index::Index,
    /// How often it is looked; `None` for a storage that is read-only, which is left alone.
    interval: Option<Duration>,
}

impl Collection {
    fn new(config: &Config, workings: &Workings) -> Self {
        // a shorter grace period is one of a test
        let interval = (config.gc.grace_period / 10).clamp(Duration::from_millis(50), COLLECT_INTERVAL);
        Self {
            collector: workings.collector.clone(),
            index: workings.index.clone(),
            interval: (!config.storage.read_only).then_some(interval),
        }
    }

    fn start(self, tasks: &Tasks, jobs: &Jobs) {
        let (Self { collector, index, .. }, jobs) = (self.clone(), jobs.clone());
        let Some(interval) = self.interval else { return };
        let shutdown = tasks.shutdown().clone();
        background::every(tasks, "garbage collection", interval, move || {
            let (collector, jobs, shutdown) = (collector.clone(), jobs.clone(), shutdown.clone());
            let is_trusted = index.is_trusted();
            async move {
                collector.count().await?;
                if is_trusted && let Some(id) = collector.start_if_due(&jobs).await? {
                    tokio::select! {
                        ended = jobs.wait(id) => drop(ended?),
                        // it goes on after the next start
                        () = shutdown.stopping() => {}
                    }
                }
                Ok(())
            }
        });
    }
}

fn register_backup(runner: &mut Runner, config: &Config, workings: &Workings) {
    let Some(settings) = &config.backup.scheduled else {
        return;
    };
    let folder = BackupFolder {
        backups: workings.backups.clone(),
        folder: settings.folder.clone(),
        keep: settings.keep,
    };
    let kind = Kind::new(scheduled::KIND, "Makes a backup of the index").schedule(settings.schedule.clone());
    runner.register(kind, move |run: Run| {
        let folder = folder.clone();
        async move { folder.work(run).await }
    });
}

/// Work that removes something, or believes what it finds, is done only where the storage is the
/// one that the index knows (consistency rule 16).
pub(super) fn on_trusted_storage(index: &index::Index, work: impl Work) -> impl Work {
    let (index, work) = (index.clone(), Arc::new(work));
    move |run: Run| {
        let (index, work) = (index.clone(), Arc::clone(&work));
        async move {
            if !index.is_trusted() {
                let cause = "the storage is not the one that the index knows: see `wharf index accept-storage`";
                return Err(Failure::retry_after(UNTRUSTED, cause));
            }
            work.run(run).await
        }
    }
}
