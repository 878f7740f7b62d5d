//! `/jobs`: long and scheduled work.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use wharf_registry::jobs::{self, Cancelled, Job, KindStatus, LogLine};

use crate::call::{Administrator, Answer, Params, Payload, address, job_actor, json, link_next, locate_job, page_size};
use crate::{Failure, PREFIX, Resources};

/// Entries of a page when nobody says how many.
const PAGE: usize = 50;
/// Entries of the largest page.
const LARGEST_PAGE: usize = 1_000;

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/jobs", get(list).post(start))
        .route("/jobs/schedules", get(schedules))
        .route("/jobs/schedules/{kind}", put(change))
        .route("/jobs/{id}", get(show))
        .route("/jobs/{id}/log", get(log))
        .route("/jobs/{id}/cancel", post(cancel))
}

/// Which jobs, and which page of them.
#[derive(Deserialize)]
struct ListParams {
    kind: Option<String>,
    state: Option<String>,
    before: Option<i64>,
    page_size: Option<usize>,
}

#[derive(Deserialize)]
struct LogParams {
    #[serde(default)]
    after: i64,
    page_size: Option<usize>,
}

#[derive(Deserialize)]
struct Wish {
    kind: String,
}

/// What is to change. A schedule that is null goes back to the configured one.
#[derive(Deserialize)]
struct Change {
    #[serde(default, deserialize_with = "given")]
    schedule: Option<Option<String>>,
    enabled: Option<bool>,
}

/// Tells null from what is not there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A job as the API shows it.
#[derive(Serialize)]
struct JobView<'a> {
    id: i64,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    state: &'static str,
    attempts: u64,
    payload: &'a RawValue,
    progress: ProgressView<'a>,
    summary: Option<&'a RawValue>,
    error: Option<&'a str>,
    requested_by: &'a str,
    cancelled_by: Option<&'a str>,
    creation_time: Timestamp,
    run_time: Timestamp,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
}

#[derive(Serialize)]
struct ProgressView<'a> {
    done: u64,
    total: Option<u64>,
    text: &'a str,
}

#[derive(Serialize)]
struct LineView<'a> {
    id: i64,
    time: Timestamp,
    message: &'a str,
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'a str,
    title: &'a str,
    schedule: &'a str,
    configured_schedule: &'a str,
    enabled: bool,
    startable: bool,
    next_time: Option<Timestamp>,
    last_success_time: Option<Timestamp>,
    last_failure_time: Option<Timestamp>,
}

async fn list(
    State(resources): State<Resources>,
    Administrator(_): Administrator,
    Params(params): Params<ListParams>,
) -> Answer {
    let state = params.state.as_deref().map(known_state).transpose()?;
    let size = page_size(params.page_size, PAGE, LARGEST_PAGE)?;
    let mut jobs = resources
        .jobs
        .list((params.kind.as_deref(), state), params.before, size + 1)
        .await?;
    let has_more = jobs.len() > size;
    jobs.truncate(size);
    let views = jobs.iter().map(view).collect::<Result<Vec<_>, _>>()?;
    let mut answer = json(&views)?;
    if let Some(last) = jobs.last().filter(|_| has_more) {
        let mut next = format!("{PREFIX}/jobs?before={}&page_size={size}", last.id);
        // both are letters and underscores here: a kind that is something else has no next page
        if let Some(kind) = params.kind.as_deref() {
            next.push_str(&format!("&kind={kind}"));
        }
        if let Some(state) = state {
            next.push_str(&format!("&state={}", state.as_str()));
        }
        link_next(&mut answer, &next)?;
    }
    Ok(answer)
}

async fn show(State(resources): State<Resources>, Administrator(_): Administrator, Path(id): Path<String>) -> Answer {
    let job = resources.jobs.show(number(&id)?).await?;
    json(&view(&job)?)
}

async fn log(
    State(resources): State<Resources>,
    Administrator(_): Administrator,
    Path(id): Path<String>,
    Params(params): Params<LogParams>,
) -> Answer {
    let (id, size) = (number(&id)?, page_size(params.page_size, PAGE, LARGEST_PAGE)?);
    let mut lines = resources.jobs.log(id, params.after, size + 1).await?;
    let has_more = lines.len() > size;
    lines.truncate(size);
    let views: Vec<LineView<'_>> = lines.iter().map(line_view).collect();
    let mut answer = json(&views)?;
    if let Some(last) = lines.last().filter(|_| has_more) {
        let next = format!("{PREFIX}/jobs/{id}/log?after={}&page_size={size}", last.id);
        link_next(&mut answer, &next)?;
    }
    Ok(answer)
}

async fn start(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(wish): Payload<Wish>,
) -> Answer {
    let address = address(&caller);
    let started = resources.jobs.run_now(&wish.kind, job_actor(&caller, &address)).await?;
    let job = resources.jobs.show(started.id()).await?;
    let mut answer = json(&view(&job)?)?;
    *answer.status_mut() = StatusCode::CREATED;
    locate_job(&mut answer, job.id)?;
    Ok(answer)
}

async fn cancel(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path(id): Path<String>,
) -> Answer {
    let (id, address) = (number(&id)?, address(&caller));
    match resources.jobs.cancel(id, job_actor(&caller, &address)).await? {
        Cancelled::Ended(state) => Err(Failure::conflict(format!("job {id} is {} already", state.as_str()))),
        _ => {
            let job = resources.jobs.show(id).await?;
            let mut answer = json(&view(&job)?)?;
            *answer.status_mut() = StatusCode::ACCEPTED;
            Ok(answer)
        }
    }
}

async fn schedules(State(resources): State<Resources>, Administrator(_): Administrator) -> Answer {
    let kinds = resources.jobs.kinds().await?;
    let views: Vec<KindView<'_>> = kinds.iter().map(kind_view).collect();
    json(&views)
}

async fn change(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path(kind): Path<String>,
    Payload(change): Payload<Change>,
) -> Answer {
    let address = address(&caller);
    if change.schedule.is_none() && change.enabled.is_none() {
        return Err(Failure::bad_request(
            "there is neither a schedule nor enabled: nothing to change",
        ));
    }
    if let Some(schedule) = &change.schedule {
        let actor = job_actor(&caller, &address);
        resources.jobs.set_schedule(&kind, schedule.as_deref(), actor).await?;
    }
    if let Some(is_enabled) = change.enabled {
        let actor = job_actor(&caller, &address);
        resources.jobs.set_enabled(&kind, is_enabled, actor).await?;
    }
    let kinds: HashMap<&str, KindStatus> = resources
        .jobs
        .kinds()
        .await?
        .into_iter()
        .map(|kind| (kind.name, kind))
        .collect();
    let changed = kinds.get(kind.as_str());
    let changed = changed.ok_or_else(|| Failure::internal("a kind of jobs that was changed is not there"))?;
    json(&kind_view(changed))
}

fn view(job: &Job) -> Result<JobView<'_>, Failure> {
    let raw = |text| serde_json::from_str::<&RawValue>(text).map_err(Failure::internal);
    Ok(JobView {
        id: job.id,
        kind: &job.kind,
        key: job.key.as_deref(),
        state: job.state.as_str(),
        attempts: job.attempts,
        payload: raw(&job.payload)?,
        progress: ProgressView {
            done: job.progress.done,
            total: job.progress.total,
            text: &job.progress.text,
        },
        summary: job.summary.as_deref().map(raw).transpose()?,
        error: job.error.as_deref(),
        requested_by: &job.requested_by,
        cancelled_by: job.cancelled_by.as_deref(),
        creation_time: job.created_at.to_jiff(),
        run_time: job.run_at.to_jiff(),
        start_time: job.started_at.map(|time| time.to_jiff()),
        end_time: job.ended_at.map(|time| time.to_jiff()),
    })
}

fn line_view(line: &LogLine) -> LineView<'_> {
    LineView {
        id: line.id,
        time: line.at.to_jiff(),
        message: &line.message,
    }
}

fn kind_view(kind: &KindStatus) -> KindView<'_> {
    KindView {
        kind: kind.name,
        title: kind.title,
        schedule: &kind.schedule,
        configured_schedule: kind.overridden.as_deref().unwrap_or(&kind.schedule),
        enabled: kind.is_enabled,
        startable: kind.is_startable,
        next_time: kind.next_at,
        last_success_time: kind.last_success_at,
        last_failure_time: kind.last_failure_at,
    }
}

fn number(text: &str) -> Result<i64, Failure> {
    text.parse()
        .map_err(|_| Failure::not_found(format!("there is no job {text:?}: jobs have numbers")))
}

fn known_state(text: &str) -> Result<jobs::State, Failure> {
    let known = jobs::State::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| {
        let all = jobs::State::ALL.map(jobs::State::as_str).join(", ");
        Failure::bad_request(format!("{text:?} is no state of a job: they are {all}"))
    })
}
