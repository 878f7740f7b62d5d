//! One runner per job, whatever becomes of processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wharf_jobs::{End, NewJob, Run, Runner, RunnerConfig, State};

use super::ENGINE;
use crate::fixture::{ALICE, Fixture, Running, ended, kind, seconds, until};

const LEASE: Duration = Duration::from_secs(61);

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_on_one_index_run_each_job_once() {
    let fixture = Fixture::on(ENGINE);
    let runs = Arc::new(Mutex::new(HashMap::<i64, usize>::new()));
    let runners: Vec<Running> = ["one", "two"]
        .into_iter()
        .map(|owner| {
            let mut runner = fixture.runner(&fixture.jobs(), owner);
            let runs = Arc::clone(&runs);
            runner.register(kind().most_running(8), move |run: Run| {
                *runs.lock().unwrap().entry(run.job().id).or_default() += 1;
                async move {
                    tokio::task::yield_now().await;
                    Ok(json!({}))
                }
            });
            Running::start(runner)
        })
        .collect();
    let jobs = fixture.jobs();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(jobs.enqueue(NewJob::new("sweep")).await.unwrap().id());
    }
    for id in &ids {
        assert_eq!(ended(&jobs, *id).await.attempts, 1);
    }
    let runs = runs.lock().unwrap().clone();
    assert_eq!(runs.len(), ids.len());
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    for running in runners {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_jobs_of_a_kind_run_at_a_time_than_it_allows_and_none_of_one_key() {
    let fixture = Fixture::on(ENGINE);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let rooms = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let mut runners = Vec::new();
    for owner in ["one", "two"] {
        let mut runner = fixture.runner(&fixture.jobs(), owner);
        let (now, most, rooms) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&rooms));
        runner.register(kind().most_running(3), move |run: Run| {
            let (now, most, rooms) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&rooms));
            async move {
                let room = run.job().key.clone().unwrap();
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                assert_eq!(rooms.lock().unwrap().insert(room.clone(), 1), None);
                tokio::time::sleep(Duration::from_millis(3)).await;
                rooms.lock().unwrap().remove(&room);
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(json!({}))
            }
        });
        runners.push(Running::start(runner));
    }
    let jobs = fixture.jobs();
    let mut ids = Vec::new();
    for round in 0..10 {
        for room in ["kitchen", "cellar", "attic", "hall", "study"] {
            ids.push(jobs.enqueue(NewJob::new("sweep").key(room)).await.unwrap().id());
        }
        if round % 3 == 0 {
            fixture.until(ids[0], State::Done).await;
        }
    }
    for id in ids {
        assert_eq!(ended(&jobs, id).await.state, State::Done);
    }
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    for running in runners {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_another_process_goes_on_from_the_checkpoint_when_the_lease_is_over() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| {
        run.save(&json!({ "swept": ["kitchen"] })).await?;
        std::future::pending().await
    });
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    until("it has a checkpoint", async || {
        jobs.show(id).await.unwrap().checkpoint.is_some()
    })
    .await;
    running.crash().await;

    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "two");
    runner.register(kind(), async |run: Run| {
        Ok(run.checkpoint::<serde_json::Value>()?.unwrap_or_default())
    });
    let running = Running::start(runner);
    // a job that comes after it shows that the runner has looked
    let other = NewJob::new("other");
    let other = jobs.enqueue(other).await.unwrap().id();
    assert_eq!(jobs.show(id).await.unwrap().owner.as_deref(), Some("one"));
    fixture.advance(LEASE);
    let job = ended(&jobs, id).await;
    assert_eq!(job.summary.as_deref(), Some(r#"{"swept":["kitchen"]}"#));
    assert_eq!(job.attempts, 2);
    assert_eq!(
        jobs.show(other).await.unwrap().state,
        State::Waiting,
        "nobody does that"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_process_goes_on_at_once_with_what_another_has_left() {
    for is_command in [false, true] {
        let fixture = Fixture::on(ENGINE);
        let jobs = fixture.jobs();
        let mut runner = fixture.runner(&jobs, "one");
        runner.register(kind(), async |_: Run| std::future::pending().await);
        let running = Running::start(runner);
        let id = jobs.enqueue(NewJob::new("sweep").key("kitchen")).await.unwrap().id();
        fixture.until(id, State::Running).await;
        running.crash().await;

        let jobs = fixture.jobs();
        let config = RunnerConfig {
            poll: Duration::from_millis(10),
            is_alone: true,
            ..RunnerConfig::new("two")
        };
        let mut runner = Runner::new(jobs.clone(), config);
        runner.register(kind(), async |_: Run| Ok(json!({})));
        let running = Running::start(if is_command { runner.for_command() } else { runner });
        // a command does what it was asked for, which no dead process holds up
        let other = jobs.enqueue(NewJob::new("sweep").key("cellar")).await.unwrap().id();
        assert_eq!(ended(&jobs, other).await.state, State::Done);
        if is_command {
            assert_eq!(jobs.show(id).await.unwrap().state, State::Waiting);
        } else {
            let job = ended(&jobs, id).await;
            assert_eq!((job.state, job.attempts), (State::Done, 2));
        }
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_comes_back_too_late_cannot_finish_save_or_write() {
    let fixture = Fixture::on(ENGINE);
    let (jobs, go_on) = (fixture.jobs(), Arc::new(Notify::new()));
    let ends = Arc::new(Mutex::new(Vec::new()));
    let late = Arc::new(Mutex::new(None));
    // this one stalls: it says nothing of itself in between
    let config = RunnerConfig {
        notes: Duration::from_secs(3_600),
        ..RunnerConfig::new("one")
    };
    let seen = Arc::clone(&ends);
    let mut runner = Runner::new(jobs.clone(), config).observed(Arc::new(move |ended| {
        seen.lock().unwrap().push(ended.end);
    }));
    let (woken, metadata, tried) = (Arc::clone(&go_on), fixture.metadata.clone(), Arc::clone(&late));
    runner.register(kind(), move |run: Run| {
        let (woken, metadata, tried) = (Arc::clone(&woken), metadata.clone(), Arc::clone(&tried));
        async move {
            woken.notified().await;
            let own = run.clone();
            let held: bool = metadata.write(move |tx| own.is_held_in(tx)).await?;
            *tried.lock().unwrap() = Some((run.still_ours(), held, run.save(&1).await.is_ok()));
            Ok(json!("the late one"))
        }
    });
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    let mut stalled = JoinSet::new();
    stalled.spawn(async move { runner.run_one(id).await });
    fixture.until(id, State::Running).await;
    fixture.advance(LEASE);

    let other = fixture.jobs();
    let mut runner = fixture.runner(&other, "two");
    runner.register(kind(), async |_run: Run| Ok(json!("the other one")));
    let running = Running::start(runner);
    assert_eq!(ended(&other, id).await.summary.as_deref(), Some(r#""the other one""#));
    go_on.notify_one();
    until("the late one has ended", async || !ends.lock().unwrap().is_empty()).await;
    assert_eq!(*ends.lock().unwrap(), [End::Lost]);
    assert_eq!(*late.lock().unwrap(), Some((false, false, false)));
    let job = jobs.show(id).await.unwrap();
    assert_eq!(
        (job.summary.as_deref(), job.checkpoint),
        (Some(r#""the other one""#), None)
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_too_slow_to_keep_its_job_begins_it_again_and_ends_the_stalled_attempt() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let config = RunnerConfig {
        notes: Duration::from_secs(3_600),
        poll: Duration::from_millis(10),
        ..RunnerConfig::new("one")
    };
    let ends = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ends);
    let mut runner = Runner::new(jobs.clone(), config).observed(Arc::new(move |ended| {
        seen.lock().unwrap().push(ended.end);
    }));
    runner.register(kind(), async |run: Run| match run.job().attempts {
        1 => {
            run.cancelled().await;
            Err(wharf_jobs::Failure::Cancelled)
        }
        attempt => Ok(json!(attempt)),
    });
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    fixture.until(id, State::Running).await;
    fixture.advance(LEASE);
    assert_eq!(ended(&jobs, id).await.summary.as_deref(), Some("2"));
    running.stop().await;
    let mut ends = ends.lock().unwrap().clone();
    ends.sort_by_key(|end| end.as_str());
    assert_eq!(ends, [End::Done, End::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_lives_keeps_its_job_for_longer_than_a_lease() {
    let fixture = Fixture::on(ENGINE);
    let (jobs, go_on) = (fixture.jobs(), Arc::new(Notify::new()));
    let mut runners = Vec::new();
    for owner in ["one", "two"] {
        let mut runner = fixture.runner(&fixture.jobs(), owner);
        let go_on = Arc::clone(&go_on);
        runner.register(kind(), move |_run: Run| {
            let go_on = Arc::clone(&go_on);
            async move {
                go_on.notified().await;
                Ok(json!({}))
            }
        });
        runners.push(Running::start(runner));
    }
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    fixture.until(id, State::Running).await;
    for _ in 0..6 {
        fixture.advance(Duration::from_secs(20));
        let now = fixture.now();
        until("the lease is renewed", async || {
            let until = jobs.show(id).await.unwrap().lease_until.unwrap().to_jiff();
            seconds(now, until) == 60
        })
        .await;
    }
    go_on.notify_waiters();
    assert_eq!(ended(&jobs, id).await.attempts, 1);
    for running in runners {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_the_process_down_each_time_is_given_up() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    for attempt in 1..=2 {
        let mut runner = fixture.runner(&jobs, "doomed");
        runner.register(kind().attempts(2), |_run: Run| std::future::pending());
        let running = Running::start(runner);
        until("it runs", async || jobs.show(id).await.unwrap().attempts == attempt).await;
        running.crash().await;
        fixture.advance(LEASE);
    }
    let mut runner = fixture.runner(&jobs, "wary");
    runner.register(kind().attempts(2), |_run: Run| std::future::pending());
    let running = Running::start(runner);
    let job = ended(&jobs, id).await;
    assert_eq!(job.state, State::Failed);
    let error = job.error.unwrap();
    assert!(error.starts_with("given up after 2 attempts"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cancelled_while_its_process_was_dead_does_not_begin_again() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), |_run: Run| std::future::pending());
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    fixture.until(id, State::Running).await;
    running.crash().await;
    let jobs = fixture.jobs();
    jobs.cancel(id, ALICE).await.unwrap();
    fixture.advance(LEASE);
    let mut runner = fixture.runner(&jobs, "two");
    runner.register(kind(), async |_run: Run| Ok(json!({})));
    let running = Running::start(runner);
    assert_eq!(ended(&jobs, id).await.state, State::Cancelled);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_back_while_another_of_its_key_waits_leaves_its_checkpoint_to_it() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| match run.checkpoint::<u64>()? {
        Some(rooms) => Ok(json!(rooms)),
        None => {
            run.save(&5).await?;
            run.cancelled().await;
            Err(wharf_jobs::Failure::Cancelled)
        }
    });
    let running = Running::start(runner);
    let wish = || NewJob::new("sweep").key("kitchen");
    let first = jobs.enqueue(wish()).await.unwrap().id();
    until("it has a checkpoint", async || {
        jobs.show(first).await.unwrap().checkpoint.is_some()
    })
    .await;
    let second = jobs.enqueue(wish()).await.unwrap().id();
    assert_ne!(first, second);
    running.stop().await;
    let left = jobs.show(first).await.unwrap();
    assert_eq!(left.state, State::Cancelled);
    assert_eq!(
        left.error.as_deref(),
        Some(format!("job {second} waits to do the same").as_str())
    );
    let mut runner = fixture.runner(&jobs, "two");
    runner.register(kind(), async |run: Run| Ok(json!(run.checkpoint::<u64>()?)));
    let running = Running::start(runner);
    assert_eq!(ended(&jobs, second).await.summary.as_deref(), Some("5"));
    running.stop().await;
}
