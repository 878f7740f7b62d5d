//! One attempt at a job: the work in a task of its own, the lease beside it, and what comes of it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use wharf_metadata::error::Kind as IndexFailure;
use wharf_metadata::jobs::{self, Ending, Job, Renewal, Returned, Returning};

use super::{Core, End, Ended, Registered, micros};
use crate::run::{Run, Stop, shortened};
use crate::{Failure, Kind, Outcome};

/// What is written down at the end of an attempt.
#[derive(Clone)]
enum Settlement {
    /// It is not tried again.
    End(Ending),
    /// After this time it is tried again; `None` for one that was interrupted.
    Again(Duration, Option<String>),
}

impl Core {
    /// The attempt at a job that was claimed: from now on it can be told to stop.
    pub(super) fn begin(&self, job: Job) -> Run {
        let run = Run::new(job, self.jobs.metadata().clone(), self.jobs.clock().clone());
        let before = self.jobs.running().insert(run.job().id, run.clone());
        if let Some(stalled) = before {
            // this process itself was too slow to keep it
            stalled.stop(Stop::Lost);
        }
        run
    }

    /// Runs a claimed job and writes down what came of it.
    pub(super) async fn attempt(&self, registered: Registered, run: Run) {
        let kind = registered.kind.clone();
        let id = run.job().id;
        let started = Instant::now();
        tracing::info!(job = id, kind = kind.name, attempt = run.job().attempts, "job begins");
        let settlement = match refused(&run, &kind) {
            Some(settlement) => Some(settlement),
            None => {
                let outcome = self.work(registered, &run).await;
                settlement(outcome, &run, &kind)
            }
        };
        let end = match settlement {
            Some(settlement) => self.settle(&run, &settlement).await,
            None => End::Lost,
        };
        self.jobs.forget_running(&run);
        self.jobs.note_end();
        let took = started.elapsed();
        (self.observer)(Ended {
            kind: kind.name,
            end,
            took,
        });
    }

    /// Runs the work in its own task, so that work that blocks its thread does not stop the lease.
    async fn work(&self, registered: Registered, run: &Run) -> Option<Outcome> {
        let mut task = JoinSet::new();
        let own = run.clone();
        task.spawn(async move { registered.work.run_any(own).await });
        let mut next_renewal = Instant::now() + self.config.lease / 4;
        loop {
            tokio::select! {
                ended = task.join_next() => return ended.map(outcome),
                () = run.cancelled() => break,
                () = tokio::time::sleep(self.config.notes) => {
                    if run.has_notes() || Instant::now() >= next_renewal || self.is_lease_short(run) {
                        self.renew(run).await;
                        next_renewal = Instant::now() + self.config.lease / 4;
                    } else {
                        self.look(run).await;
                    }
                }
            }
        }
        // it was told to stop; the lease is longer than its patience
        match tokio::time::timeout(self.config.patience, task.join_next()).await {
            Ok(ended) => ended.map(outcome),
            Err(_) => {
                tracing::warn!(
                    job = run.job().id,
                    kind = run.job().kind,
                    "the job does not stop and is cut off"
                );
                task.shutdown().await;
                None
            }
        }
    }

    fn is_lease_short(&self, run: &Run) -> bool {
        let left = run.lease_until().duration_since(run.now());
        left.as_micros() < i128::from(micros(self.config.lease)) * 3 / 4
    }

    /// Prolongs the lease and writes the notes down.
    async fn renew(&self, run: &Run) {
        let (lease, until) = (run.lease(), self.jobs.now().plus(micros(self.config.lease)));
        let (progress, lines) = run.take_notes();
        let notes = (progress.clone(), lines.clone());
        let renewed = self.jobs.metadata().write(move |tx| {
            let (progress, lines) = &notes;
            jobs::renew(tx, lease, until, progress.as_ref(), lines)
        });
        match renewed.await {
            Ok(Renewal::Held) => run.prolonged(until),
            Ok(Renewal::Cancelled) => {
                run.prolonged(until);
                run.stop(Stop::Requested);
            }
            Ok(Renewal::Lost) => run.stop(Stop::Lost),
            Err(error) => {
                let error: wharf_metadata::Error = error;
                run.put_back_notes(progress.as_ref(), lines);
                tracing::warn!(job = lease.job_id, %error, "the lease of a job cannot be renewed");
                if !run.still_ours() {
                    run.stop(Stop::Lost);
                }
            }
        }
    }

    /// Sees, without writing, whether somebody does not want the job any more.
    async fn look(&self, run: &Run) {
        let lease = run.lease();
        let found = self.jobs.metadata().read(move |tx| jobs::find(tx, lease.job_id)).await;
        // a failure is seen again, and said, when the lease is renewed
        let Ok::<_, wharf_metadata::Error>(found) = found else {
            return;
        };
        match found {
            Some(job) if job.fencing == lease.fencing && !job.state.is_end() => {
                if job.cancelled_by.is_some() {
                    run.stop(Stop::Requested);
                }
            }
            _ => run.stop(Stop::Lost),
        }
    }

    /// Writes down how the attempt ended; tries until the lease is over.
    async fn settle(&self, run: &Run, settlement: &Settlement) -> End {
        loop {
            match self.write_down(run, settlement).await {
                Ok(end) => {
                    say(run, end, settlement);
                    return end;
                }
                Err(error) if may_help(&error) && run.still_ours() => {
                    tracing::warn!(job = run.job().id, %error, "the end of a job cannot be written down; it is tried again");
                    tokio::time::sleep(self.config.notes).await;
                }
                Err(error) => {
                    tracing::error!(job = run.job().id, %error, "the end of a job cannot be written down; it is begun again");
                    return End::Lost;
                }
            }
        }
    }

    async fn write_down(&self, run: &Run, settlement: &Settlement) -> Result<End, wharf_metadata::Error> {
        let (lease, now) = (run.lease(), self.jobs.now());
        let (progress, lines) = run.last_notes();
        let notes = lines.clone();
        let (metadata, settlement) = (self.jobs.metadata(), settlement.clone());
        let written = metadata.write(move |tx| match &settlement {
            Settlement::End(ending) => {
                let is_ours = jobs::finish(tx, lease, ending, (&progress, &lines), now)?;
                Ok(if is_ours { end_of(ending) } else { End::Lost })
            }
            Settlement::Again(after, error) => {
                let returning = Returning {
                    run_at: now.plus(micros(*after)),
                    error: error.as_deref(),
                };
                let returned = jobs::return_to_queue(tx, lease, returning, (&progress, &lines), now)?;
                Ok(returned_end(returned, error.is_some()))
            }
        });
        let written = written.await;
        if written.is_err() {
            run.put_back_notes(None, notes);
        }
        written
    }
}

/// What is not even tried: a job that nobody wants, or one that takes the process down each time.
fn refused(run: &Run, kind: &Kind) -> Option<Settlement> {
    let job = run.job();
    if job.cancelled_by.is_some() {
        return Some(Settlement::End(Ending::Cancelled));
    }
    (job.attempts > kind.attempts).then(|| {
        let last = job
            .error
            .as_deref()
            .unwrap_or("the process that ran it ended without a word");
        Settlement::End(Ending::Failed(format!(
            "given up after {} attempts: {last}",
            job.attempts - 1
        )))
    })
}

/// What to write down; `None` when there is nothing to be written by this process any more.
fn settlement(outcome: Option<Outcome>, run: &Run, kind: &Kind) -> Option<Settlement> {
    let stopped = run.stop_reason();
    if stopped == Some(Stop::Lost) {
        return None;
    }
    Some(match (outcome.unwrap_or(Err(Failure::Cancelled)), stopped) {
        (Ok(summary), _) => Settlement::End(Ending::Done(summary.to_string())),
        (Err(_), Some(Stop::Requested)) => Settlement::End(Ending::Cancelled),
        (Err(Failure::Fatal { cause }), _) => Settlement::End(Ending::Failed(shortened(cause))),
        (Err(_), Some(Stop::Shutdown)) => Settlement::Again(Duration::ZERO, None),
        (Err(failure), _) => {
            let cause = shortened(failure.to_string());
            let attempts = run.job().attempts;
            match failure {
                _ if attempts >= kind.attempts => Settlement::End(Ending::Failed(cause)),
                Failure::Retry { after: Some(after), .. } => Settlement::Again(after, Some(cause)),
                _ => Settlement::Again(kind.wait_after(attempts), Some(cause)),
            }
        }
    })
}

fn outcome(ended: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    ended.unwrap_or_else(|error| match error.is_panic() {
        true => Err(Failure::retry("the work panicked; the server's log says where")),
        false => Err(Failure::Cancelled),
    })
}

fn end_of(ending: &Ending) -> End {
    match ending {
        Ending::Done(_) => End::Done,
        Ending::Failed(_) => End::Failed,
        Ending::Cancelled => End::Cancelled,
    }
}

fn returned_end(returned: Returned, is_failure: bool) -> End {
    match returned {
        Returned::Waiting if is_failure => End::Retried,
        Returned::Waiting => End::Interrupted,
        Returned::Superseded(_) | Returned::Cancelled => End::Cancelled,
        Returned::Lost => End::Lost,
    }
}

/// Whether the index may take it a moment later.
fn may_help(error: &wharf_metadata::Error) -> bool {
    matches!(
        error.kind(),
        IndexFailure::Unavailable | IndexFailure::NoSpace | IndexFailure::Unique
    )
}

fn say(run: &Run, end: End, settlement: &Settlement) {
    let (job, kind, end) = (run.job().id, run.job().kind.as_str(), end.as_str());
    match settlement {
        Settlement::End(Ending::Done(summary)) => tracing::info!(job, kind, end, %summary, "job ends"),
        Settlement::End(Ending::Failed(error)) => tracing::error!(job, kind, end, error, "job ends"),
        Settlement::End(Ending::Cancelled) => tracing::info!(job, kind, end, "job ends"),
        Settlement::Again(after, error) => {
            tracing::warn!(job, kind, end, error, again_after = ?after, "job ends");
        }
    }
}
