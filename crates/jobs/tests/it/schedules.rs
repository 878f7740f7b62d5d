//! Jobs that are made because it is time.

#![expect(clippy::unwrap_used, reason = "helpers that fail must fail the test")]

use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Error, Jobs, Kind, NewJob, Run, Schedule, State, schedule};

use super::ENGINE;
use crate::fixture::{ALICE, Fixture, Running, ended, kind, seconds, until};

const HOUR: Duration = Duration::from_secs(3_600);

fn scheduled(text: &str) -> Kind {
    let utc = jiff::tz::TimeZone::UTC;
    kind()
        .schedule(Schedule::parse(text, &utc).unwrap())
        .payload(json!({ "rooms": 9 }))
}

async fn sweep(run: Run) -> wharf_jobs::Outcome {
    run.payload()
}

fn start(fixture: &Fixture, jobs: &Jobs, kind: Kind) -> Running {
    let mut runner = fixture.runner(jobs, "one");
    runner.register(kind, sweep);
    Running::start(runner)
}

async fn planned(jobs: &Jobs) -> Option<jiff::Timestamp> {
    jobs.kinds().await.unwrap()[0].next_at
}

/// How many jobs have ended, once there are that many.
async fn done(jobs: &Jobs, count: usize) {
    until(&format!("{count} jobs are done"), async || {
        jobs.list((None, Some(State::Done)), None, 100).await.unwrap().len() == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_made_each_time_by_one_of_all_processes() {
    let fixture = Fixture::on(ENGINE);
    let (jobs, other) = (fixture.jobs(), fixture.jobs());
    let running = [
        start(&fixture, &jobs, scheduled("every 1h")),
        start(&fixture, &other, scheduled("every 1h")),
    ];
    until("it is planned", async || planned(&jobs).await.is_some()).await;
    let first = planned(&jobs).await.unwrap();
    assert_eq!(seconds(fixture.now(), first), 3_600);
    for count in 1..=3 {
        fixture.advance(HOUR);
        done(&jobs, count).await;
    }
    let list = jobs.list((Some("sweep"), None), None, 10).await.unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].summary.as_deref(), Some(r#"{"rooms":9}"#));
    assert_eq!(list[0].requested_by, "");
    for running in running {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_passed_while_nobody_ran_are_made_up_for_once() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let running = start(&fixture, &jobs, scheduled("every 1h"));
    until("it is planned", async || planned(&jobs).await.is_some()).await;
    running.stop().await;
    fixture.advance(HOUR * 100 + HOUR / 2);
    let jobs = fixture.jobs();
    let running = start(&fixture, &jobs, scheduled("every 1h"));
    done(&jobs, 1).await;
    // and the rhythm stays
    assert_eq!(seconds(fixture.now(), planned(&jobs).await.unwrap()), 1_800);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nightly_job_keeps_its_hour_when_the_clocks_change() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let start_of: jiff::Timestamp = "2027-03-27T20:00:00Z".parse().unwrap();
    let ahead = start_of.duration_since(fixture.now());
    fixture.advance(Duration::try_from(ahead).unwrap());
    let running = start(&fixture, &jobs, scheduled("0 4 * * * Europe/Berlin"));
    // the clocks go forward in the night of March 28th
    for (count, planned_at) in [
        (1, "2027-03-28T02:00:00Z"),
        (2, "2027-03-29T02:00:00Z"),
        (3, "2027-03-30T02:00:00Z"),
    ] {
        let planned_at: jiff::Timestamp = planned_at.parse().unwrap();
        until("it is planned", async || planned(&jobs).await == Some(planned_at)).await;
        fixture.advance(Duration::try_from(planned_at.duration_since(fixture.now())).unwrap());
        done(&jobs, count).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_an_administrator_sets_counts_until_it_is_taken_back() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let running = start(&fixture, &jobs, scheduled("every 24h"));
    until("it is planned", async || planned(&jobs).await.is_some()).await;
    jobs.set_schedule("sweep", Some("every 1h"), ALICE).await.unwrap();
    let status = jobs.kinds().await.unwrap().remove(0);
    assert_eq!(status.schedule, "every 1h");
    assert_eq!(status.overridden.as_deref(), Some("every 24h"));
    fixture.advance(HOUR);
    done(&jobs, 1).await;
    running.stop().await;

    // after a restart, with another configuration
    let jobs = fixture.jobs();
    let running = start(&fixture, &jobs, scheduled("@daily"));
    fixture.advance(HOUR);
    done(&jobs, 2).await;
    jobs.set_schedule("sweep", None, ALICE).await.unwrap();
    let status = jobs.kinds().await.unwrap().remove(0);
    assert_eq!((status.schedule.as_str(), status.overridden), ("0 0 * * * UTC", None));
    jobs.set_schedule("sweep", Some("never"), ALICE).await.unwrap();
    assert_eq!(planned(&jobs).await, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configured_schedule_counts_from_the_next_start() {
    let fixture = Fixture::on(ENGINE);
    for (text, seconds) in [("every 24h", Some(86_400)), ("every 1h", Some(3_600)), ("never", None)] {
        let jobs = fixture.jobs();
        let running = start(&fixture, &jobs, scheduled(text));
        let expected = seconds.map(|seconds| fixture.now() + jiff::Span::new().seconds(seconds));
        until("it is planned", async || planned(&jobs).await == expected).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_a_job_by_its_kind_and_never_two_that_wait() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), |_run: Run| std::future::pending());
    runner.register(Kind::new("single", "Needs to be told what").not_startable(), sweep);
    let running = Running::start(runner);
    let first = jobs.run_now("sweep", ALICE).await.unwrap().id();
    fixture.until(first, State::Running).await;
    let second = jobs.run_now("sweep", ALICE).await.unwrap();
    let third = jobs.run_now("sweep", ALICE).await.unwrap();
    assert_ne!(second.id(), first);
    assert_eq!(second.id(), third.id());
    assert_eq!(jobs.show(second.id()).await.unwrap().requested_by, "alice");
    let unknown = jobs.run_now("weep", ALICE).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there is no kind of jobs called \"weep\"; known are: single, sweep"
    );
    let needy = jobs.run_now("single", ALICE).await.unwrap_err();
    assert!(matches!(needy, Error::NotStartable(_)), "{needy}");
    let wrong = jobs.set_schedule("sweep", Some("often"), ALICE).await.unwrap_err();
    assert!(
        matches!(wrong, Error::Schedule(schedule::ScheduleError::Form { .. })),
        "{wrong}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_that_waits_for_hours_is_tried_at_once_when_a_person_says_so() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| match run.job().attempts {
        1 => Err(wharf_jobs::Failure::retry_after(HOUR * 5, "not now")),
        _ => Ok(json!({})),
    });
    let running = Running::start(runner);
    let first = jobs.run_now("sweep", ALICE).await.unwrap().id();
    until("it has failed", async || {
        jobs.show(first).await.unwrap().error.is_some()
    })
    .await;
    // a wish for the same is no reason to hurry
    let wish = NewJob::new("sweep").key(Kind::SCHEDULED);
    assert_eq!(jobs.enqueue(wish).await.unwrap().id(), first);
    assert!(jobs.show(first).await.unwrap().run_at.to_jiff() > fixture.now());
    assert_eq!(jobs.run_now("sweep", ALICE).await.unwrap().id(), first);
    assert_eq!(ended(&jobs, first).await.state, State::Done);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_disabled_kind_wait_until_it_is_enabled() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let running = start(&fixture, &jobs, scheduled("every 1h"));
    until("it is planned", async || planned(&jobs).await.is_some()).await;
    jobs.set_enabled("sweep", false, ALICE).await.unwrap();
    let asked = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    fixture.advance(HOUR * 2);
    let mut others = fixture.runner(&fixture.jobs(), "two");
    others.register(Kind::new("other", "Shows that time passes"), sweep);
    let others = Running::start(others);
    let other = jobs.enqueue(NewJob::new("other")).await.unwrap().id();
    ended(&jobs, other).await;
    assert_eq!(jobs.show(asked).await.unwrap().state, State::Waiting);
    jobs.set_enabled("sweep", true, ALICE).await.unwrap();
    assert_eq!(ended(&jobs, asked).await.state, State::Done);
    // the hour that has passed is made up for
    done(&jobs, 3).await;
    running.stop().await;
    others.stop().await;
}
