//! A job from the wish to its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Enqueued, Error, Kind, NewJob, Run, Runner, RunnerConfig, State};

use super::ENGINE;
use crate::fixture::{Fixture, Running, ended, kind};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_leaves_its_summary_progress_and_log() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| {
        let rooms: u64 = run.payload::<serde_json::Value>()?["rooms"].as_u64().unwrap();
        run.progress(rooms, Some(rooms), "rooms");
        run.log("the kitchen was the worst");
        run.log("all swept");
        Ok(json!({ "rooms": rooms }))
    });
    let running = Running::start(runner);
    let wish = NewJob::new("sweep").payload(&json!({ "rooms": 3 })).by("alice");
    let id = jobs.enqueue(wish).await.unwrap().id();
    let job = ended(&jobs, id).await;
    assert_eq!(job.state, State::Done);
    assert_eq!(job.summary.as_deref(), Some(r#"{"rooms":3}"#));
    assert_eq!((job.progress.done, job.progress.total), (3, Some(3)));
    assert_eq!((job.requested_by.as_str(), job.attempts), ("alice", 1));
    let log = jobs.log(id, 0, 10).await.unwrap();
    let lines: Vec<&str> = log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["the kitchen was the worst", "all swept"]);
    assert_eq!(jobs.log(id, log[0].id, 10).await.unwrap(), log[1..]);
    assert!(jobs.kinds().await.unwrap()[0].last_success_at.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_wish_of_the_same_key_joins_the_one_that_waits() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let wish = || NewJob::new("sweep").key("kitchen");
    let later = wish().not_before(fixture.now() + jiff::SignedDuration::from_hours(1));
    let first = jobs.enqueue(later).await.unwrap();
    assert!(matches!(first, Enqueued::New(_)));
    // and it becomes due as early as the second one would
    assert_eq!(jobs.enqueue(wish()).await.unwrap(), Enqueued::Waiting(first.id()));
    assert_eq!(jobs.show(first.id()).await.unwrap().run_at.to_jiff(), fixture.now());
    let other = jobs.enqueue(NewJob::new("sweep").key("cellar")).await.unwrap();
    assert!(matches!(other, Enqueued::New(_)));
    let free = [NewJob::new("sweep"), NewJob::new("sweep")].map(|wish| jobs.enqueue(wish));
    for wish in free {
        assert!(matches!(wish.await.unwrap(), Enqueued::New(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_higher_priority_come_first_and_lists_have_pages_and_filters() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut ids = Vec::new();
    for priority in [0, 5, -5, 5] {
        let wish = NewJob::new("sweep").priority(priority);
        ids.push(jobs.enqueue(wish).await.unwrap().id());
    }
    let unknown = jobs.enqueue(NewJob::new("other")).await.unwrap().id();
    let seen = Arc::clone(&order);
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), move |run: Run| {
        seen.lock().unwrap().push(run.job().id);
        async { Ok(json!({})) }
    });
    let running = Running::start(runner);
    for id in &ids {
        ended(&jobs, *id).await;
    }
    assert_eq!(*order.lock().unwrap(), [ids[1], ids[3], ids[0], ids[2]]);
    let list = async |kind, state, before, limit| {
        let page = jobs.list((kind, state), before, limit).await.unwrap();
        page.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 2).await, [unknown, ids[3]]);
    assert_eq!(list(None, None, Some(ids[3]), 2).await, [ids[2], ids[1]]);
    assert_eq!(list(Some("other"), None, None, 9).await, [unknown]);
    assert!(list(Some("sweep"), Some(State::Waiting), None, 9).await.is_empty());
    assert_eq!(list(None, Some(State::Done), Some(ids[1]), 9).await, [ids[0]]);
    assert_eq!(jobs.counts().await.unwrap(), [("other".to_owned(), State::Waiting, 1)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_wanted_with_the_change_or_not_at_all() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let own = jobs.clone();
    let refused = fixture.metadata.write(move |tx| {
        own.enqueue_in(tx, &NewJob::new("sweep"))?;
        Err::<(), _>(Error::NotStartable("on purpose".to_owned()))
    });
    refused.await.unwrap_err();
    assert_eq!(jobs.list((None, None), None, 10).await.unwrap(), []);
    let long = jobs.enqueue(NewJob::new("sweep").key("x".repeat(401))).await;
    assert!(long.unwrap_err().to_string().contains("more than 400 bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_can_be_run_without_a_server_and_only_that_one() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "command");
    runner.register(kind(), async |_run: Run| Ok(json!("swept")));
    let first = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    let second = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    let job = runner.run_one(second).await.unwrap().unwrap();
    assert_eq!((job.id, job.state), (second, State::Done));
    assert_eq!(jobs.show(first).await.unwrap().state, State::Waiting);
    assert_eq!(runner.run_one(second).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_what_it_wants_itself_and_leaves_everything_else_to_the_server() {
    let fixture = Fixture::on(ENGINE);
    let server = fixture.jobs();
    let others = server.enqueue(NewJob::new("sweep")).await.unwrap().id();
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "command").for_command();
    let daily = kind().schedule(wharf_jobs::Schedule::every(Duration::from_secs(60)).unwrap());
    runner.register(daily, async |_run: Run| Ok(json!("swept")));
    let running = Running::start(runner);
    let own = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    assert_eq!(ended(&jobs, own).await.state, State::Done);
    fixture.advance(Duration::from_secs(600));
    let again = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    assert_eq!(ended(&jobs, again).await.state, State::Done);
    assert_eq!(jobs.show(others).await.unwrap().state, State::Waiting);
    assert_eq!(jobs.list((None, None), None, 10).await.unwrap().len(), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_runs_no_more_jobs_at_a_time_than_it_may() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let config = RunnerConfig {
        concurrency: 2,
        poll: Duration::from_millis(10),
        ..RunnerConfig::new("one")
    };
    let mut runner = Runner::new(jobs.clone(), config);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for name in ["sweep", "dust", "polish"] {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        runner.register(Kind::new(name, "Cleans").most_running(9), move |_run: Run| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(json!({}))
            }
        });
    }
    let mut ids = Vec::new();
    for name in ["sweep", "dust", "polish"].repeat(5) {
        ids.push(jobs.enqueue(NewJob::new(name)).await.unwrap().id());
    }
    let running = Running::start(runner);
    for id in ids {
        ended(&jobs, id).await;
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    running.stop().await;
}
