//! `/system/gc`: collecting garbage.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_oci::Digest;
use wharf_registry::garbage_collection::{
    Collector, Explanation, Hold, Kept, Past, Plan, Planned, PlannedKind, Request, Status, Verdict, Waits, Wish,
};
use wharf_registry::trash::Trashed;

use crate::call::{
    Administrator, Answer, Params, Payload, accepted, address, job_actor, json as answer, link_next, page_size,
};
use crate::{Failure, PREFIX, Resources};

/// Objects of a plan that are told one by one.
const MOST_PLANNED: usize = 100_000;
/// Runs of a page when nobody says how many, and of the largest page.
const PAGE: usize = 100;

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/system/gc", get(history).post(start))
        .route("/system/gc/status", get(status))
        .route("/system/gc/plan", get(plan))
        .route("/system/gc/blobs/{digest}", get(explain))
}

#[derive(Deserialize)]
struct Start {
    /// Manifests without a tag go as well.
    #[serde(default)]
    delete_untagged: bool,
    /// Without a grace period.
    #[serde(default)]
    at_once: bool,
}

#[derive(Deserialize)]
struct Page {
    before: Option<i64>,
    page_size: Option<usize>,
}

async fn start(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(start): Payload<Start>,
) -> Answer {
    let collector = &resources.collector;
    check_at_once(collector, &start)?;
    if !collector.may_begin().await? {
        return Err(Failure::precondition(NOT_ALLOWED));
    }
    let wish = Wish {
        with_untagged: start.delete_untagged,
        at_once: start.at_once,
    };
    let address = address(&caller);
    let actor = job_actor(&caller, &address);
    accepted(collector.start(&resources.jobs, wish, actor).await?)
}

/// Why nothing is collected.
const NOT_ALLOWED: &str = "nothing may be collected before index and storage were compared, and while they do not belong \
                           together: see `wharf index status`";

fn check_at_once(collector: &Collector, start: &Start) -> Result<(), Failure> {
    if start.at_once && !collector.is_quiet() {
        return Err(Failure::precondition(
            "the registry takes pushes: what clients are pushing at this moment needs the grace period",
        ));
    }
    Ok(())
}

async fn plan(
    State(resources): State<Resources>,
    Administrator(_): Administrator,
    Params(start): Params<Start>,
) -> Answer {
    check_at_once(&resources.collector, &start)?;
    let request = Request {
        cause: String::new(),
        grace: start.at_once.then_some(std::time::Duration::ZERO),
        is_full: true,
        with_untagged: start.delete_untagged,
    };
    let plan = resources.collector.plan(&request).await?;
    answer(&plan_value(&plan))
}

async fn history(
    State(resources): State<Resources>,
    Administrator(_): Administrator,
    Params(page): Params<Page>,
) -> Answer {
    let size = page_size(page.page_size, PAGE, PAGE)?;
    let mut runs = resources.collector.history(page.before, size + 1).await?;
    let has_more = runs.len() > size;
    runs.truncate(size);
    let mut page = answer(&runs.iter().map(run_value).collect::<Vec<_>>())?;
    if let Some(last) = runs.last().filter(|_| has_more) {
        let next = format!("{PREFIX}/system/gc?before={}&page_size={size}", last.id);
        link_next(&mut page, &next)?;
    }
    Ok(page)
}

async fn status(State(resources): State<Resources>, Administrator(_): Administrator) -> Answer {
    let status = resources.collector.status().await?;
    answer(&status_value(&status))
}

async fn explain(
    State(resources): State<Resources>,
    Administrator(_): Administrator,
    Path(digest): Path<String>,
) -> Answer {
    let digest: Digest = digest
        .parse()
        .map_err(|error| Failure::bad_request(format!("{digest:?} is no digest: {error}")))?;
    let told = resources.collector.explain(&digest).await?;
    if told.verdict == Verdict::Unknown {
        return Err(Failure::not_found(format!("there is no blob or manifest {digest}")));
    }
    answer(&explanation_value(&told))
}

fn plan_value(plan: &Plan) -> Value {
    let told = plan.objects.iter().take(MOST_PLANNED).map(planned_value);
    let count = |kind: PlannedKind| plan.objects.iter().filter(|object| object.kind == kind).count();
    json!({
        "objects": told.collect::<Vec<_>>(),
        "manifests": count(PlannedKind::Manifest),
        "links": count(PlannedKind::Link),
        "blobs": count(PlannedKind::Blob),
        "stored_blobs": plan.stored,
        "bytes": plan.bytes,
        "is_allowed": plan.is_allowed,
    })
}

fn planned_value(object: &Planned) -> Value {
    json!({
        "kind": object.kind.as_str(),
        "repository": object.repository.as_ref().map(ToString::to_string),
        "digest": object.digest.to_string(),
        "size": object.size,
        "at": object.at.to_jiff().to_string(),
        "reason": object.reason,
    })
}

fn run_value(run: &Past) -> Value {
    json!({
        "id": run.id,
        "cause": run.cause,
        "started_at": run.started_at.to_jiff().to_string(),
        "ended_at": run.ended_at.map(|at| at.to_jiff().to_string()),
        "outcome": run.outcome,
        "manifests": run.counts.manifests,
        "links": run.counts.links,
        "condemned": run.counts.condemned,
        "blobs": run.counts.blobs,
        "bytes": run.counts.bytes,
    })
}

fn status_value(status: &Status) -> Value {
    let waiting = status.waiting.iter().map(|waiting| {
        json!({
            "kind": match waiting.kind {
                Waits::Link => "link",
                Waits::Blob => "blob",
                Waits::Referrer => "referrer",
                Waits::Untagged => "untagged",
            },
            "count": waiting.count,
            "oldest": waiting.oldest.map(|at| at.to_jiff().to_string()),
        })
    });
    json!({
        "grace_seconds": status.policy.grace.as_secs(),
        "untagged_after_seconds": status.policy.untagged_after.map(|after| after.as_secs()),
        "objects_per_second": status.policy.objects_per_second,
        "bytes_per_second": status.policy.bytes_per_second,
        "is_allowed": status.is_allowed,
        "is_quiet": status.is_quiet,
        "waiting": waiting.collect::<Vec<_>>(),
        "condemned": status.condemned,
        "next_due": status.next_due.map(|at| at.to_jiff().to_string()),
        "last": status.last.as_ref().map(run_value),
    })
}

fn explanation_value(told: &Explanation) -> Value {
    let (verdict, at) = match told.verdict {
        Verdict::Unknown => ("unknown", None),
        Verdict::Held => ("held", None),
        Verdict::Unneeded(at) => ("unneeded", Some(at)),
        Verdict::Unheld(at) => ("unheld", Some(at)),
        Verdict::Condemned(at) => ("condemned", Some(at)),
        Verdict::Deleting(at) => ("deleting", Some(at)),
        Verdict::Writing(at) => ("writing", Some(at)),
    };
    let blob = told.blob.as_ref();
    json!({
        "digest": told.digest.to_string(),
        "sha256": blob.map(|blob| blob.sha256.to_string()),
        "size": blob.map(|blob| blob.size),
        "touched_at": blob.map(|blob| blob.touched_at.to_jiff().to_string()),
        "verdict": verdict,
        "at": at.map(|at| at.to_jiff().to_string()),
        "is_allowed": told.is_allowed,
        "trash": told.trashed.iter().map(trashed_value).collect::<Vec<_>>(),
        "holders": told.holds.iter().map(hold_value).collect::<Vec<_>>(),
        "is_cut": told.is_cut,
    })
}

fn hold_value(hold: &Hold) -> Value {
    let referenced_by = hold.referenced_by.iter().map(|(digest, tags)| {
        json!({
            "digest": digest.to_string(),
            "tags": tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "repository": hold.repository.to_string(),
        "linked_at": hold.linked_at.map(|at| at.to_jiff().to_string()),
        "link_goes_at": hold.link_goes_at.map(|at| at.to_jiff().to_string()),
        "referenced_by": referenced_by.collect::<Vec<_>>(),
        "manifest": hold.manifest.as_ref().map(kept_value),
    })
}

fn trashed_value(trashed: &Trashed) -> Value {
    json!({
        "id": trashed.id,
        "repository": trashed.repository.to_string(),
        "digest": trashed.digest().to_string(),
        "deleted_at": trashed.trashed_at.to_jiff().to_string(),
        "deleted_by": trashed.trashed_by,
        "expires_at": trashed.expires_at.to_jiff().to_string(),
    })
}

fn kept_value(kept: &Kept) -> Value {
    json!({
        "pushed_at": kept.pushed_at.to_jiff().to_string(),
        "tags": kept.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tag_left_at": kept.tag_left_at.map(|at| at.to_jiff().to_string()),
        "subject": kept.subject.map(|subject| subject.to_string()),
        "goes_at": kept.goes_at.map(|at| at.to_jiff().to_string()),
    })
}
