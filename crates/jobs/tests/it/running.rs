//! A job from the wish to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Cancelled, Enqueued, Error, Failure, NewJob, Run, State};

use crate::fixture::{ALICE, Fixture, Running, kind, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_leaves_its_summary_progress_and_log() {
    let fixture = Fixture::new();
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
    let job = jobs.wait(id).await.unwrap();
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
    let fixture = Fixture::new();
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
