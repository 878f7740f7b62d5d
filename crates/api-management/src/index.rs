//! `/index`: the index as a whole, and how it stands to the storage.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wharf_registry::adoption::{Phase, Snapshot};
use wharf_registry::jobs::Job;
use wharf_registry::verification::{REBUILD, SCRUB, Status, VERIFY, findings_json};

use crate::call::{Administrator, Answer, json as answer};
use crate::{Failure, Resources};

/// What only the program as a whole can do with its index.
pub trait IndexKeeper: Send + Sync {
    /// Takes what the storage holds now for true; what is gone from it goes from the index.
    fn accept_storage(&self) -> BoxFuture<'_, Result<Accepted, Failure>>;
    /// How this process stands to the index.
    fn role(&self) -> Role;
    /// Whether storage and index belong together.
    fn is_trusted(&self) -> bool;
}

/// How a process stands to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves, and owns the index.
    Owner,
    /// It serves reads while another process owns the index.
    StandBy,
    /// It works on the files of a registry that does not run.
    Command,
}

/// What became of an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// It has its effect already.
    Now,
    /// It has its effect at the next start.
    AtNextStart,
    /// Storage and index belong together.
    Nothing,
}

pub(crate) fn routes() -> Router<Resources> {
    Router::new()
        .route("/index", get(status))
        .route("/index/accept-storage", post(accept_storage))
}

async fn accept_storage(State(resources): State<Resources>, Administrator(_): Administrator) -> Answer {
    let accepted = resources.index.accept_storage().await?;
    answer(&json!({ "accepted": accepted }))
}

async fn status(State(resources): State<Resources>, Administrator(_): Administrator) -> Answer {
    let status = resources.verification.status().await?;
    let (role, is_trusted) = (resources.index.role(), resources.index.is_trusted());
    let now = resources.verification.now();
    let damaged = status.first_damaged.iter().map(|damaged| {
        json!({
            "digest": damaged.sha256.to_string(), "damage": damaged.damage.as_str(), "detail": damaged.detail,
            "found_time": damaged.found_at.to_jiff(),
        })
    });
    answer(&json!({
        "state": state(&status, role, is_trusted),
        "epoch": status.completeness.epoch,
        "repositories": status.counts.repositories,
        "tags": status.counts.tags,
        "manifests": status.counts.manifests,
        "blobs": status.counts.blobs,
        "adoption": (role == Role::Owner).then(|| adoption(&status.adoption, now)),
        "findings": findings_json(&status.adoption.findings),
        "damaged": { "count": status.damaged, "blobs": damaged.collect::<Vec<_>>() },
        "last": {
            "verify": last(&resources, VERIFY).await?,
            "scrub": last(&resources, SCRUB).await?,
            "rebuild": last(&resources, REBUILD).await?,
        },
    }))
}

/// How things stand in a word.
fn state(status: &Status, role: Role, is_trusted: bool) -> &'static str {
    match role {
        _ if !is_trusted => "refused",
        Role::StandBy => "standing-by",
        _ if status.completeness.is_complete => "complete",
        Role::Command => "incomplete",
        Role::Owner if status.adoption.phase == Phase::Failed => "failed",
        Role::Owner => "indexing",
    }
}

fn adoption(progress: &Snapshot, now: Timestamp) -> Value {
    let micros = now.as_microsecond();
    let time = |time: Option<i64>| time.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    json!({
        "phase": progress.phase.as_str(),
        "is_full": progress.is_full,
        "start_time": time(progress.began),
        "end_time": time(progress.ended),
        "total": progress.total,
        "repositories": progress.repositories,
        "failed_repositories": progress.failed,
        "tags": progress.tags,
        "manifests": progress.manifests,
        "layers": progress.layers,
        "blobs": progress.blobs,
        "changes": progress.changes,
        "seconds": progress.seconds(micros),
        "tags_per_second": progress.rate(micros),
        "seconds_left": progress.rest(micros),
    })
}

/// The latest job of a kind, with what came of it.
async fn last(resources: &Resources, kind: &str) -> Result<Option<Value>, Failure> {
    let jobs = resources.jobs.list((Some(kind), None), None, 1).await?;
    jobs.first().map(told).transpose()
}

fn told(job: &Job) -> Result<Value, Failure> {
    let summary: Option<Value> = job
        .summary
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(Failure::internal)?;
    // what was left of it, where it was repaired
    let outcome = summary.as_ref().map(|summary| match &summary["remaining"] {
        Value::Null => summary,
        remaining => remaining,
    });
    Ok(json!({
        "job": job.id,
        "state": job.state.as_str(),
        "creation_time": job.created_at.to_jiff(),
        "end_time": job.ended_at.map(|time| time.to_jiff()),
        "progress": { "done": job.progress.done, "total": job.progress.total, "text": job.progress.text },
        "faults": outcome.map(|outcome| outcome["faults"].clone()),
        "findings": outcome.map(|outcome| outcome["findings"].clone()),
        "error": job.error,
    }))
}
