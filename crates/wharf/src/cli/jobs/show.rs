//! Jobs for people's eyes.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::follow::JobView;
use crate::cli::table::table;

/// A line of a job's log.
#[derive(Debug, Deserialize)]
pub(super) struct LineView {
    pub(super) id: i64,
    time: Timestamp,
    message: String,
}

/// A kind of jobs.
#[derive(Debug, Deserialize)]
pub(super) struct KindView {
    kind: String,
    title: String,
    schedule: String,
    configured_schedule: String,
    enabled: bool,
    next_time: Option<Timestamp>,
    last_success_time: Option<Timestamp>,
    last_failure_time: Option<Timestamp>,
}

/// A table of jobs.
pub(super) fn jobs(jobs: &[JobView]) -> String {
    let rows: Vec<[String; 6]> = jobs
        .iter()
        .map(|job| {
            [
                job.id.to_string(),
                job.kind.clone(),
                job.state.clone(),
                time(job.start_time.or(Some(job.creation_time))),
                took(job),
                outcome(job),
            ]
        })
        .collect();
    table(["ID", "KIND", "STATE", "SINCE", "TOOK", "OUTCOME"], &rows)
}

/// Everything about a job.
pub(super) fn job(job: &JobView, payload: &Value) -> String {
    // whoever uses the machine's own socket has no name
    let by = |name: &str| match name {
        "" => "the operator".to_owned(),
        name => name.to_owned(),
    };
    let mut lines = vec![
        ("job", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("state", job.state.clone()),
        ("payload", payload.to_string()),
        ("wanted by", job.requested_by.clone()),
        ("wanted at", time(Some(job.creation_time))),
        ("due at", time(Some(job.run_time))),
        ("attempts", job.attempts.to_string()),
        ("begun at", time(job.start_time)),
        ("ended at", time(job.end_time)),
        ("progress", job.progress()),
    ];
    lines.extend(job.cancelled_by.as_ref().map(|name| ("cancelled by", by(name))));
    lines.extend(job.summary.as_ref().map(|summary| ("summary", summary.to_string())));
    lines.extend(job.error.as_ref().map(|error| ("error", error.clone())));
    lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<13}{value}\n"))
        .collect()
}

/// The lines of a log.
pub(super) fn lines(lines: &[LineView]) -> String {
    lines
        .iter()
        .map(|line| format!("{:.3} {}\n", line.time, line.message))
        .collect()
}

/// A table of kinds.
pub(super) fn kinds(kinds: &[KindView]) -> String {
    let rows: Vec<[String; 6]> = kinds
        .iter()
        .map(|kind| {
            [
                kind.kind.clone(),
                scheduled(kind),
                time(kind.next_time.filter(|_| kind.enabled)),
                time(kind.last_success_time),
                time(kind.last_failure_time),
                kind.title.clone(),
            ]
        })
        .collect();
    table(
        ["KIND", "SCHEDULE", "NEXT", "LAST DONE", "LAST FAILED", "WHAT IT DOES"],
        &rows,
    )
}

/// What was changed of a kind.
pub(super) fn changed(kind: &KindView) -> String {
    let next = match kind.next_time.filter(|_| kind.enabled) {
        Some(next) => format!(", next at {next:.0}"),
        None => String::new(),
    };
    format!("{}: {}{next}\n", kind.kind, scheduled(kind))
}

/// What a finished job says of itself.
pub(super) fn summary(job: &JobView) -> String {
    match &job.summary {
        Some(Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect(),
        Some(Value::Null) | None => String::new(),
        Some(other) => format!("{other}\n"),
    }
}

fn scheduled(kind: &KindView) -> String {
    let mut text = kind.schedule.clone();
    if kind.schedule != kind.configured_schedule {
        text.push_str(" (set)");
    }
    if !kind.enabled {
        text.push_str(" (disabled)");
    }
    text
}

fn time(time: Option<Timestamp>) -> String {
    time.map(|time| format!("{time:.0}")).unwrap_or_default()
}

fn took(job: &JobView) -> String {
    match (job.start_time, job.end_time) {
        (Some(start), Some(end)) => format!("{:.1}s", end.duration_since(start).as_secs_f64()),
        _ => String::new(),
    }
}

fn outcome(job: &JobView) -> String {
    match (&job.error, &job.summary) {
        (Some(error), _) => error.clone(),
        (None, Some(summary)) => summary.to_string(),
        (None, None) => job.progress(),
    }
}
