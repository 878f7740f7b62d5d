//! How jobs end that do not simply succeed: cancels, failures, stops of the process, old age.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Cancelled, End, Error, Failure, Kind, NewJob, Run, State};
use wharf_metadata::audit_log;

use super::ENGINE;
use crate::fixture::{ALICE, Fixture, Running, ended, kind, seconds, until};

/// Work that goes on until it is told to stop.
async fn endless(run: Run) -> wharf_jobs::Outcome {
    run.progress(1, None, "rooms");
    run.cancelled().await;
    run.go_on()?;
    Ok(json!({}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_cancelled_at_once_and_never_runs() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let id = jobs.enqueue(NewJob::new("sweep").key("kitchen")).await.unwrap().id();
    assert_eq!(jobs.cancel(id, ALICE).await.unwrap(), Cancelled::Now);
    let job = ended(&jobs, id).await;
    assert_eq!(
        (job.state, job.cancelled_by.as_deref()),
        (State::Cancelled, Some("alice"))
    );
    assert_eq!(
        jobs.cancel(id, ALICE).await.unwrap(),
        Cancelled::Ended(State::Cancelled)
    );
    assert!(matches!(jobs.cancel(4711, ALICE).await, Err(Error::UnknownJob(4711))));
    // its key is free again
    assert_ne!(
        jobs.enqueue(NewJob::new("sweep").key("kitchen")).await.unwrap().id(),
        id
    );
    let audit = fixture.write(|tx| audit_log::page(tx, None, 10)).await;
    let audit: Vec<_> = audit
        .iter()
        .map(|line| (line.action.as_str(), line.actor.as_str(), line.address.as_str()))
        .collect();
    assert_eq!(audit, [("job.cancel", "alice", "192.0.2.1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_here_or_elsewhere_is_told_to_stop() {
    let fixture = Fixture::on(ENGINE);
    for canceller in [fixture.jobs(), fixture.jobs()] {
        let jobs = fixture.jobs();
        let mut runner = fixture.runner(&jobs, "one");
        runner.register(kind(), endless);
        let running = Running::start(runner);
        let id = canceller.enqueue(NewJob::new("sweep")).await.unwrap().id();
        fixture.until(id, State::Running).await;
        assert_eq!(canceller.cancel(id, ALICE).await.unwrap(), Cancelled::Requested);
        assert_eq!(ended(&canceller, id).await.state, State::Cancelled);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_listen_is_cut_off() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), |_run: Run| std::future::pending());
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    fixture.until(id, State::Running).await;
    jobs.cancel(id, ALICE).await.unwrap();
    assert_eq!(ended(&jobs, id).await.state, State::Cancelled);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_later_and_later_until_the_job_is_given_up() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind().attempts(3), async |run: Run| {
        Err(Failure::retry(format!("no broom at attempt {}", run.job().attempts)))
    });
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    for (attempt, wait) in [(1, 10_i64), (2, 20)] {
        let now = fixture.now();
        until("the attempt has failed", async || {
            let job = jobs.show(id).await.unwrap();
            job.state == State::Waiting && job.attempts == attempt
        })
        .await;
        let job = jobs.show(id).await.unwrap();
        assert_eq!(
            job.error.as_deref(),
            Some(format!("no broom at attempt {attempt}").as_str())
        );
        assert_eq!(seconds(now, job.run_at.to_jiff()), wait);
        fixture.advance(Duration::from_secs(wait.unsigned_abs()));
    }
    let job = ended(&jobs, id).await;
    assert_eq!(
        (job.state, job.error.as_deref()),
        (State::Failed, Some("no broom at attempt 3"))
    );
    assert!(jobs.kinds().await.unwrap()[0].last_failure_at.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_says_itself_when_it_wants_to_be_tried_again_or_that_nothing_helps() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| {
        let busy = run.payload::<bool>()?;
        Err(match busy {
            true => Failure::retry_after(Duration::from_secs(7), "the room is in use"),
            false => Failure::fatal("there is no such room"),
        })
    });
    let running = Running::start(runner);
    let now = fixture.now();
    let enqueue = async |payload| {
        let wish = NewJob::new("sweep").payload(&payload);
        jobs.enqueue(wish).await.unwrap().id()
    };
    let busy = enqueue(json!(true)).await;
    until("the attempt has failed", async || {
        jobs.show(busy).await.unwrap().error.is_some()
    })
    .await;
    let job = jobs.show(busy).await.unwrap();
    assert_eq!(job.state, State::Waiting);
    assert_eq!(seconds(now, job.run_at.to_jiff()), 7);
    let none = ended(&jobs, enqueue(json!(false)).await).await;
    assert_eq!(
        (none.state, none.attempts, none.error.as_deref()),
        (State::Failed, 1, Some("there is no such room"))
    );
    let wrong = ended(&jobs, enqueue(json!("kitchen")).await).await;
    assert_eq!(wrong.state, State::Failed);
    assert!(wrong.error.unwrap().contains("the payload cannot be read"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_attempt_and_nothing_else() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind().attempts(1), async |run: Run| match run.payload::<bool>()? {
        true => panic!("the ceiling came down"),
        false => Ok(json!({})),
    });
    let running = Running::start(runner);
    for (payload, state) in [(true, State::Failed), (false, State::Done)] {
        let wish = NewJob::new("sweep").payload(&json!(payload));
        let id = jobs.enqueue(wish).await.unwrap().id();
        assert_eq!(ended(&jobs, id).await.state, state);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_process_gives_jobs_back_and_counts_as_no_attempt() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let ends = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&ends);
    let mut runner = fixture
        .runner(&jobs, "one")
        .observed(Arc::new(move |ended| seen.lock().unwrap().push(ended.end)));
    runner.register(kind().most_running(2), async |run: Run| {
        run.save(&7).await?;
        match run.payload::<bool>()? {
            true => endless(run).await,
            // this one does not listen
            false => std::future::pending().await,
        }
    });
    let running = Running::start(runner);
    let mut ids = Vec::new();
    for listens in [true, false] {
        let wish = NewJob::new("sweep").payload(&json!(listens));
        ids.push(jobs.enqueue(wish).await.unwrap().id());
    }
    for id in &ids {
        until("it has a checkpoint", async || {
            jobs.show(*id).await.unwrap().checkpoint.is_some()
        })
        .await;
    }
    running.stop().await;
    for id in &ids {
        let job = jobs.show(*id).await.unwrap();
        assert_eq!((job.state, job.attempts, job.error), (State::Waiting, 0, None));
    }
    assert_eq!(*ends.lock().unwrap(), [End::Interrupted, End::Interrupted]);

    // the next process goes on where this one was
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "two");
    runner.register(kind(), async |run: Run| Ok(json!(run.checkpoint::<u64>()?)));
    let running = Running::start(runner);
    for id in ids {
        assert_eq!(ended(&jobs, id).await.summary.as_deref(), Some("7"));
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_end_is_cut_and_long_lines_too() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind(), async |run: Run| {
        run.log("ü".repeat(5_000));
        for line in 1..10_100 {
            run.log(line.to_string());
        }
        Ok(json!({}))
    });
    let running = Running::start(runner);
    let id = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    ended(&jobs, id).await;
    let log = jobs.log(id, 0, 20_000).await.unwrap();
    assert_eq!(log.len(), 10_001);
    assert!(log[0].message.len() < 4_200 && log[0].message.ends_with('…'));
    assert_eq!(log[9_999].message, "9999");
    assert_eq!(log[10_000].message, "more lines follow that are not kept");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_are_forgotten_with_their_logs_and_others_stay() {
    let fixture = Fixture::on(ENGINE);
    let jobs = fixture.jobs();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut runner = fixture.runner(&jobs, "one");
    runner.register(kind().most_running(4), move |run: Run| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            run.log("swept");
            Ok(json!({}))
        }
    });
    let purge = Kind::new("job_purge", "Forgets old jobs");
    runner.register_purge(purge, Duration::from_secs(3_600));
    let running = Running::start(runner);
    let mut old = Vec::new();
    for _ in 0..120 {
        old.push(jobs.enqueue(NewJob::new("sweep")).await.unwrap().id());
    }
    for id in &old {
        ended(&jobs, *id).await;
    }
    let tomorrow = fixture.now() + jiff::SignedDuration::from_hours(24);
    let waiting = jobs
        .enqueue(NewJob::new("sweep").not_before(tomorrow))
        .await
        .unwrap()
        .id();
    fixture.advance(Duration::from_secs(3_601));
    let young = jobs.enqueue(NewJob::new("sweep")).await.unwrap().id();
    ended(&jobs, young).await;
    let purged = jobs.run_now("job_purge", ALICE).await.unwrap().id();
    let purged = ended(&jobs, purged).await;
    assert_eq!(purged.summary.as_deref(), Some(r#"{"jobs":120}"#));
    for id in old {
        assert!(matches!(jobs.show(id).await, Err(Error::UnknownJob(_))));
        assert!(matches!(jobs.log(id, 0, 10).await, Err(Error::UnknownJob(_))));
    }
    assert_eq!(jobs.show(waiting).await.unwrap().state, State::Waiting);
    assert_eq!(jobs.log(young, 0, 10).await.unwrap().len(), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 121);
    running.stop().await;
}
