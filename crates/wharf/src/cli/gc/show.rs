//! Garbage collection as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::{size, time};
use crate::cli::table::table;

#[derive(Debug, Deserialize)]
pub struct PlanView {
    objects: Vec<PlannedView>,
    manifests: u64,
    links: u64,
    blobs: u64,
    stored_blobs: u64,
    bytes: u64,
    is_allowed: bool,
}

#[derive(Debug, Deserialize)]
struct PlannedView {
    kind: String,
    repository: Option<String>,
    digest: String,
    size: u64,
    at: Timestamp,
    reason: String,
}

#[derive(Debug, Deserialize)]
pub struct RunView {
    id: i64,
    cause: String,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    outcome: String,
    manifests: u64,
    links: u64,
    blobs: u64,
    bytes: u64,
}

#[derive(Debug, Deserialize)]
pub struct StatusView {
    grace_seconds: u64,
    untagged_after_seconds: Option<u64>,
    objects_per_second: Option<u64>,
    bytes_per_second: Option<u64>,
    is_allowed: bool,
    /// Whether nobody can push.
    pub is_quiet: bool,
    waiting: Vec<WaitingView>,
    condemned: u64,
    next_due: Option<Timestamp>,
    last: Option<RunView>,
}

#[derive(Debug, Deserialize)]
struct WaitingView {
    kind: String,
    count: u64,
    oldest: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct ExplanationView {
    digest: String,
    size: Option<u64>,
    verdict: String,
    at: Option<Timestamp>,
    is_allowed: bool,
    trash: Vec<TrashView>,
    holders: Vec<HolderView>,
    is_cut: bool,
}

#[derive(Debug, Deserialize)]
struct TrashView {
    id: i64,
    repository: String,
    digest: String,
    deleted_at: Timestamp,
    deleted_by: String,
    expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct HolderView {
    repository: String,
    linked_at: Option<Timestamp>,
    link_goes_at: Option<Timestamp>,
    referenced_by: Vec<ReferenceView>,
    manifest: Option<ManifestView>,
}

impl HolderView {
    /// Whether it holds by nothing but a link.
    const fn is_idle(&self) -> bool {
        self.referenced_by.is_empty() && self.manifest.is_none()
    }
}

#[derive(Debug, Deserialize)]
struct ReferenceView {
    digest: String,
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ManifestView {
    pushed_at: Timestamp,
    tags: Vec<String>,
    tag_left_at: Option<Timestamp>,
    subject: Option<String>,
    goes_at: Option<Timestamp>,
}

/// Why nothing goes, when nothing may.
const NOT_ALLOWED: &str = "nothing is collected before index and storage were compared, and while they do not belong together: see `wharf index status`\n";

pub fn plan(plan: &PlanView) -> String {
    let rows: Vec<[String; 5]> = plan
        .objects
        .iter()
        .map(|object| {
            let place = match &object.repository {
                Some(repository) => format!("{repository}@{}", object.digest),
                None => object.digest.clone(),
            };
            [
                object.kind.clone(),
                place,
                size(object.size),
                time(object.at),
                object.reason.clone(),
            ]
        })
        .collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text.push_str(&table(["KIND", "OBJECT", "SIZE", "GOES AFTER", "BECAUSE"], &rows));
    }
    text.push_str(&format!(
        "{} manifests, {} layer links and {} blobs would go: {} freed\n",
        plan.manifests,
        plan.links,
        plan.blobs,
        size(plan.bytes)
    ));
    text.push_str(&warnings(plan));
    text
}

fn warnings(plan: &PlanView) -> String {
    let mut text = String::new();
    let (all, told) = (plan.manifests + plan.links + plan.blobs, plan.objects.len() as u64);
    if all > told {
        text.push_str(&format!("{all} objects, of which {told} are listed\n"));
    }
    if !plan.is_allowed {
        text.push_str(NOT_ALLOWED);
    }
    text
}

/// As distribution's `garbage-collect` lists it: scripts look for these lines.
pub fn eligible(plan: &PlanView) -> String {
    let mut text = String::new();
    let (blobs, others): (Vec<_>, Vec<_>) = plan.objects.iter().partition(|object| object.kind == "blob");
    let mut shown = None;
    for object in others {
        if let Some(repository) = &object.repository
            && shown != Some(repository)
        {
            text.push_str(&format!("{repository}\n"));
            shown = Some(repository);
        }
        let what = if object.kind == "link" {
            "layer link"
        } else {
            "manifest"
        };
        text.push_str(&format!("{what} eligible for deletion: {}\n", object.digest));
    }
    text.push_str(&format!(
        "\n{} blobs marked, {} blobs and {} manifests eligible for deletion\n",
        plan.stored_blobs.saturating_sub(plan.blobs),
        plan.blobs,
        plan.manifests
    ));
    for blob in blobs {
        text.push_str(&format!("blob eligible for deletion: {}\n", blob.digest));
    }
    text.push_str(&warnings(plan));
    text
}

/// What becomes of what was not removed.
pub fn rest(status: &StatusView) -> String {
    let waiting: u64 = status.waiting.iter().map(|waiting| waiting.count).sum();
    let Some(next) = status.next_due.filter(|_| waiting > 0) else {
        return String::new();
    };
    format!(
        "{waiting} objects are within their grace period ({}) and are looked at from {} on; {} blobs are condemned\n",
        seconds(status.grace_seconds),
        time(next),
        status.condemned
    )
}

/// What a run removed.
pub fn removed(summary: &Value) -> String {
    let count = |name: &str| summary[name].as_u64().unwrap_or_default();
    format!(
        "removed {} manifests, {} layer links and {} blobs: {} freed\n",
        count("manifests"),
        count("links"),
        count("blobs"),
        size(count("bytes"))
    )
}

pub fn status(status: &StatusView) -> String {
    let mut text = String::new();
    let waiting: Vec<String> = status
        .waiting
        .iter()
        .filter(|waiting| waiting.count > 0)
        .map(|waiting| {
            let since = waiting.oldest.map(|at| format!(" (since {})", time(at)));
            format!("{} {}s{}", waiting.count, waiting.kind, since.unwrap_or_default())
        })
        .collect();
    let waiting = if waiting.is_empty() {
        "nothing".to_owned()
    } else {
        waiting.join(", ")
    };
    let next = status.next_due.map_or_else(|| "when something waits".to_owned(), time);
    let mut line = |name: &str, value: String| {
        // writing to a string cannot fail
        let _ = writeln!(text, "{name:<22}{value}");
    };
    line("waits for a review", waiting);
    line("condemned", format!("{} blobs", status.condemned));
    line("next review", next);
    line("grace period", seconds(status.grace_seconds));
    let untagged = status
        .untagged_after_seconds
        .map_or_else(|| "stay".to_owned(), |after| format!("go after {}", seconds(after)));
    line("untagged manifests", untagged);
    line("at most", rates(status));
    if let Some(last) = &status.last {
        line("last run", format!("{}, {}", time(last.started_at), said(last)));
    }
    if !status.is_allowed {
        text.push_str(NOT_ALLOWED);
    }
    text
}

fn rates(status: &StatusView) -> String {
    let objects = status
        .objects_per_second
        .map(|objects| format!("{objects} objects a second"));
    let bytes = status.bytes_per_second.map(|bytes| format!("{} a second", size(bytes)));
    let rates: Vec<String> = objects.into_iter().chain(bytes).collect();
    if rates.is_empty() {
        "as fast as it can".to_owned()
    } else {
        rates.join(", ")
    }
}

fn said(run: &RunView) -> String {
    format!(
        "{}: {} manifests, {} links, {} blobs, {} freed",
        run.outcome,
        run.manifests,
        run.links,
        run.blobs,
        size(run.bytes)
    )
}

pub fn history(runs: &[RunView]) -> String {
    let rows: Vec<[String; 9]> = runs
        .iter()
        .map(|run| {
            let took = run
                .ended_at
                .map(|ended| ended.duration_since(run.started_at).unsigned_abs());
            [
                run.id.to_string(),
                time(run.started_at),
                took.map(|took| format!("{}s", took.as_secs())).unwrap_or_default(),
                run.cause.clone(),
                run.manifests.to_string(),
                run.links.to_string(),
                run.blobs.to_string(),
                size(run.bytes),
                run.outcome.clone(),
            ]
        })
        .collect();
    table(
        [
            "ID",
            "STARTED",
            "TOOK",
            "CAUSE",
            "MANIFESTS",
            "LINKS",
            "BLOBS",
            "FREED",
            "OUTCOME",
        ],
        &rows,
    )
}

pub fn explanation(told: &ExplanationView) -> String {
    let at = told.at.map(time).unwrap_or_default();
    let verdict = match told.verdict.as_str() {
        "held" if !told.trash.is_empty() && told.holders.iter().all(HolderView::is_idle) => {
            "is needed by what lies in the trash: it stays as long as that".to_owned()
        }
        "held" => "is needed: it stays".to_owned(),
        "unneeded" => format!("is linked, but no manifest needs it: its bytes go after {at}"),
        "unheld" => format!("is held by nothing: its bytes go after {at}"),
        "condemned" => format!("is condemned: its bytes go after {at}, unless somebody asks for it"),
        "deleting" => format!("is being deleted, until {at} at the latest"),
        "writing" => format!("is on its way since {at}"),
        other => other.to_owned(),
    };
    let mut text = format!(
        "{} ({}) {verdict}\n",
        told.digest,
        told.size.map(size).unwrap_or_default()
    );
    for holder in &told.holders {
        text.push_str(&held(holder));
    }
    for trashed in &told.trash {
        let by = match trashed.deleted_by.as_str() {
            "" => String::new(),
            by => format!(" by {by}"),
        };
        text.push_str(&format!(
            "  trash {}: {}\n    needed by {}, deleted at {}{by}; it is purged at {}\n",
            trashed.id,
            trashed.repository,
            trashed.digest,
            time(trashed.deleted_at),
            time(trashed.expires_at)
        ));
    }
    if told.is_cut {
        text.push_str("  and more repositories\n");
    }
    if !told.is_allowed {
        text.push_str(NOT_ALLOWED);
    }
    text
}

fn held(holder: &HolderView) -> String {
    let mut text = format!("  {}\n", holder.repository);
    let mut line = |line: String| {
        // writing to a string cannot fail
        let _ = writeln!(text, "    {line}");
    };
    if let Some(linked_at) = holder.linked_at {
        let goes = holder
            .link_goes_at
            .map(|at| format!("; no manifest needs the link, it goes after {}", time(at)));
        line(format!("linked since {}{}", time(linked_at), goes.unwrap_or_default()));
    }
    for reference in &holder.referenced_by {
        line(format!("needed by {}{}", reference.digest, tagged(&reference.tags)));
    }
    if let Some(manifest) = &holder.manifest {
        line(format!(
            "a manifest, pushed at {}{}",
            time(manifest.pushed_at),
            tagged(&manifest.tags)
        ));
        if let Some(subject) = &manifest.subject {
            line(format!("it refers to {subject}"));
        }
        if let Some(left_at) = manifest.tag_left_at.filter(|_| manifest.tags.is_empty()) {
            line(format!("the last tag left it at {}", time(left_at)));
        }
        if let Some(goes_at) = manifest.goes_at {
            line(format!("it is reviewed after {}", time(goes_at)));
        }
    }
    text
}

fn tagged(tags: &[String]) -> String {
    match tags {
        [] => ", no tag points to it".to_owned(),
        tags => format!(", tagged {}", tags.join(", ")),
    }
}

fn seconds(seconds: u64) -> String {
    match seconds {
        0 => "none".to_owned(),
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
