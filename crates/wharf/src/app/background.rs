//! What runs beside the requests.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use wharf_registry::adoption::Adoption;
use wharf_registry::backup::snapshot::Outcome;
use wharf_registry::turns::Turns;

use super::bucket::claim::INTERVAL as CLAIM_INTERVAL;
use super::{Workings, index, settings};
use crate::config::{Config, ForeignWriters};
use crate::health::Check;
use crate::shutdown::{Shutdown, Signals, Tasks};

/// How long a link that was written may wait to become durable.
const MIRROR_INTERVAL: Duration = Duration::from_millis(250);
/// How long it may take until it is written down that somebody asked for a blob.
const TOUCH_INTERVAL: Duration = Duration::from_secs(2);
/// How long a pull may wait to be counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
/// How often the write-ahead log is copied into the database.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether credentials have changed elsewhere.
const CREDENTIALS_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether a snapshot is due.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// How often deletions of repositories are tried again that the storage has refused.
const DELETION_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a process that died has left something.
const LEFT_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether another process has looked through the storage.
const FOLLOWING_INTERVAL: Duration = Duration::from_millis(250);
/// The turn of looking through the storage.
pub(super) const ADOPTION: &str = "adoption";
/// When the storage is looked through a second time, for what the predecessor wrote while it was
/// shutting down (consistency rule 7).
const SECOND_PASS: Duration = Duration::from_secs(180);

/// Starts every background task.
///
/// # Errors
///
/// A health check is configured that cannot be made.
pub(super) fn start(config: &Config, tasks: &Tasks, workings: &Workings) -> Result<()> {
    let mirror = workings.mirror.clone();
    every(tasks, "mirror", MIRROR_INTERVAL, move || {
        let mirror = mirror.clone();
        async move { mirror.flush().await.map_err(Into::into) }
    });
    let touches = workings.touches.clone();
    every(tasks, "touches", TOUCH_INTERVAL, move || {
        let touches = touches.clone();
        async move { touches.flush().await.map_err(Into::into) }
    });
    let counter = workings.counter.clone();
    every(tasks, "pull counts", COUNT_INTERVAL, move || {
        let counter = counter.clone();
        async move { counter.flush().await.map_err(Into::into) }
    });
    let index = workings.index.clone();
    every(tasks, "checkpoint", CHECKPOINT_INTERVAL, move || {
        let index = index.clone();
        async move { index.maintain().await }
    });
    let (index, shutdown) = (workings.index.clone(), tasks.shutdown().clone());
    every(tasks, "bucket", CLAIM_INTERVAL, move || {
        let (index, shutdown) = (index.clone(), shutdown.clone());
        async move {
            if !index.renew_claim().await? {
                tracing::error!("another process works on the bucket with an index of its own: this one stops");
                shutdown.begin();
            }
            Ok(())
        }
    });
    let accounts = workings.accounts.clone();
    every(tasks, "credentials", CREDENTIALS_INTERVAL, move || {
        let accounts = accounts.clone();
        async move {
            match &accounts {
                Some(accounts) => accounts.poll().await.map_err(Into::into),
                None => Ok(()),
            }
        }
    });
    start_snapshots(tasks, workings);
    start_checks(config, tasks, workings)
}

/// Looks through the storage at start and once more some minutes later, and finishes deletions of
/// repositories that it has refused.
pub(super) fn start_adoption(config: &Config, tasks: &Tasks, workings: &Workings) {
    if !workings.index.is_trusted() {
        return;
    }
    let deletions = workings.lifecycle.deletions.clone();
    every(tasks, "deletions of repositories", DELETION_INTERVAL, move || {
        let deletions = deletions.clone();
        async move { deletions.recover().await.map(drop).map_err(Into::into) }
    });
    if workings.index.is_shared() {
        start_shared_adoption(config, tasks, workings);
        return;
    }
    let adoption = workings.adoption.clone();
    let shutdown = tasks.shutdown().clone();
    let has_second_pass = config.storage.foreign_writers != ForeignWriters::Never;
    tasks.spawn("adoption", async move {
        let passes = async {
            if let Err(error) = adoption.run().await {
                tracing::error!(%error, "the storage could not be looked through; repositories are looked at when they are asked for");
            }
            if has_second_pass {
                tokio::time::sleep(SECOND_PASS).await;
                if let Err(error) = adoption.run_again().await {
                    tracing::warn!(%error, "the second look through the storage failed");
                }
            }
        };
        tokio::select! {
            () = passes => {}
            () = shutdown.stopping() => {}
        }
    });
}

/// The same where several processes serve: one of them looks through the storage, for all, when
/// nobody has done so before, or the configuration wants it at every start.
fn start_shared_adoption(config: &Config, tasks: &Tasks, workings: &Workings) {
    let mirror = workings.mirror.clone();
    every(tasks, "what others have left", LEFT_INTERVAL, move || {
        let mirror = mirror.clone();
        async move {
            let finished = mirror.recover_left().await?;
            if finished > 0 {
                tracing::info!(links = finished, "finished what another process had left");
            }
            Ok(())
        }
    });
    let (adoption, turns) = (workings.adoption.clone(), workings.index.turns.clone());
    let (shutdown, is_always) = (
        tasks.shutdown().clone(),
        config.storage.foreign_writers == ForeignWriters::Always,
    );
    tasks.spawn("adoption", async move {
        let passes = async {
            if adoption.is_settled() {
                if is_always && let Err(error) = turns.alone_if_free(ADOPTION, adoption.run_again()).await {
                    tracing::warn!(%error, "the look through the storage failed");
                }
                return;
            }
            loop {
                match follow_or_lead(&adoption, &turns).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, "the storage could not be looked through; it is tried again"),
                }
                tokio::time::sleep(FOLLOWING_INTERVAL).await;
            }
        };
        tokio::select! {
            () = passes => {}
            () = shutdown.stopping() => {}
        }
    });
}

/// On a storage that is not the one of the index: an administrator may accept it at any process, or
/// the right one may be there again.
pub(super) fn wait_until_accepted(config: &Config, tasks: &Tasks, workings: &Workings) {
    let (config, inner, workings) = (config.clone(), tasks.clone(), workings.clone());
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("storage identity", async move {
        while !workings.index.is_trusted() {
            tokio::select! {
                () = tokio::time::sleep(LEFT_INTERVAL) => {}
                () = shutdown.stopping() => return,
            }
            // this process may have been the one that was asked
            if workings.index.is_trusted() {
                return;
            }
            if let Err(error) = index::prepare(&config, &workings).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the storage cannot be looked at; it is tried again"
                );
            }
        }
        start_adoption(&config, &inner, &workings);
    });
}

/// Takes for true what another process has found, or looks through the storage itself when nobody
/// does. `false` while somebody else does.
async fn follow_or_lead(adoption: &Adoption, turns: &Turns) -> Result<bool, wharf_registry::Error> {
    if adoption.is_complete().await? {
        adoption.trust();
        adoption.follow_others(false);
        return Ok(true);
    }
    adoption.follow_others(true);
    let leading = async {
        // somebody may have come to the end since it was asked
        if adoption.is_complete().await? {
            return Ok(());
        }
        adoption.follow_others(false);
        let led = adoption.run().await;
        adoption.follow_others(true);
        led
    };
    turns.alone_if_free(ADOPTION, leading).await?;
    Ok(false)
}

/// Saves what the storage cannot rebuild soon after it has changed. Never into a storage that may
/// be another one.
fn start_snapshots(tasks: &Tasks, workings: &Workings) {
    let Some(snapshots) = workings.snapshots.clone() else {
        return;
    };
    let index = workings.index.clone();
    every(tasks, "snapshots", SNAPSHOT_INTERVAL, move || {
        let (snapshots, index) = (snapshots.clone(), index.clone());
        async move {
            if !index.is_trusted() {
                return Ok(());
            }
            if let Outcome::Made { parts, bytes } = snapshots.look().await? {
                tracing::debug!(parts, bytes, "a snapshot was made");
            }
            Ok(())
        }
    });
}

fn start_checks(config: &Config, tasks: &Tasks, workings: &Workings) -> Result<()> {
    let mut checks = settings::checks(config)?;
    if let Some(check) = &config.health.storage_driver {
        let storage = workings.storage.clone();
        let name = format!("storagedriver_{}", storage.name());
        checks.push(Check::new(name, check.interval, check.threshold, move || {
            let storage = storage.clone();
            async move { storage.state().check().await.map_err(|error| error.to_string()) }
        }));
    }
    for check in checks {
        tasks.spawn(
            "health check",
            check.run(workings.health.clone(), tasks.shutdown().clone()),
        );
    }
    Ok(())
}

/// Runs `work` again and again, `interval` after its last end, until the process stops. A failure
/// is logged and does not end it.
pub(super) fn every<W, F>(tasks: &Tasks, name: &'static str, interval: Duration, work: W)
where
    W: Fn() -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let shutdown = tasks.shutdown().clone();
    tasks.spawn(name, async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.stopping() => return,
            }
            if let Err(error) = work().await {
                tracing::warn!(
                    task = name,
                    error = format!("{error:#}"),
                    "background work failed; it is tried again"
                );
            }
        }
    });
}

/// Ends the process on signals. Not part of the tasks that are waited for: it never ends.
#[expect(clippy::disallowed_methods, reason = "the composition root starts tasks")]
pub(super) fn watch_signals(signals: Signals, shutdown: Shutdown) {
    tokio::spawn(signals.run(shutdown));
}
