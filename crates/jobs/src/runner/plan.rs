//! Making jobs when their time has come, and forgetting old ones.

use std::time::Duration;

use serde_json::json;
use wharf_metadata::jobs::{self, NewJob};

use super::{Registered, Runner, micros};
use crate::{Error, Jobs, Kind, Outcome, Run, Schedule};

/// Jobs that are forgotten in one transaction.
const BATCH: usize = 50;

impl Runner {
    /// Makes a kind known to the index and plans its next job, if its schedule is another one now.
    pub(super) async fn prepare(&self, registered: &Registered) -> Result<(), Error> {
        let (jobs, kind, now) = (self.jobs.clone(), registered.kind.clone(), self.jobs.now());
        let prepared = self.jobs.metadata().write(move |tx| {
            jobs::register(tx, kind.name, now)?;
            let Some(row) = jobs::kind(tx, kind.name)? else {
                return Ok(());
            };
            let schedule = effective(&jobs, &kind, row.schedule.as_deref());
            if row.planned != schedule.to_string() {
                let next = schedule.next_after(now.to_jiff(), None);
                jobs::plan(tx, kind.name, &schedule.to_string(), next.map(Into::into))?;
            }
            Ok::<_, wharf_metadata::Error>(())
        });
        Ok(prepared.await?)
    }

    /// Makes the jobs whose time has come: one for each kind, however often it was missed, and none
    /// while the last one waits or runs.
    pub(super) async fn make_scheduled(&self) -> Result<(), Error> {
        let now = self.jobs.now();
        let due = self
            .jobs
            .metadata()
            .read(move |tx| jobs::due_schedules(tx, now))
            .await?;
        for registered in due.iter().filter_map(|kind| self.works.get(kind.as_str())) {
            let (jobs, kind) = (self.jobs.clone(), registered.kind.clone());
            let made = self.jobs.metadata().write(move |tx| {
                let row = jobs::kind(tx, kind.name)?.filter(|row| row.next_at.is_some_and(|next| next <= now));
                let Some(row) = row else { return Ok(()) };
                let schedule = effective(&jobs, &kind, row.schedule.as_deref());
                let next = schedule.next_after(now.to_jiff(), row.next_at.map(|next| next.to_jiff()));
                jobs::plan(tx, kind.name, &schedule.to_string(), next.map(Into::into))?;
                let is_running = jobs::is_running(tx, kind.name, Kind::SCHEDULED)?;
                if let Some(payload) = kind.payload.as_ref().filter(|_| !is_running) {
                    let new = NewJob {
                        kind: kind.name,
                        key: Some(Kind::SCHEDULED),
                        payload: &payload.to_string(),
                        run_at: now,
                        priority: 0,
                        requested_by: "",
                    };
                    jobs::enqueue(tx, &new, now)?;
                }
                Ok::<_, wharf_metadata::Error>(())
            });
            made.await?;
        }
        Ok(())
    }
}

/// The schedule that counts: an administrator's before the configured one.
fn effective(jobs: &Jobs, kind: &Kind, own: Option<&str>) -> Schedule {
    let Some(own) = own else { return kind.schedule.clone() };
    Schedule::parse(own, jobs.zone()).unwrap_or_else(|error| {
        tracing::warn!(kind = kind.name, %error, "the configured schedule counts");
        kind.schedule.clone()
    })
}

/// Forgets jobs that ended so long ago.
pub(super) async fn purge(jobs: Jobs, run: Run, retention: Duration) -> Outcome {
    let before = jobs.now().plus(-micros(retention));
    let mut total = 0_u64;
    loop {
        run.go_on()?;
        let purged = jobs.metadata().write(move |tx| jobs::purge(tx, before, BATCH)).await?;
        total += purged as u64;
        run.progress(total, None, "jobs forgotten");
        if purged < BATCH {
            return Ok(json!({ "jobs": total }));
        }
    }
}
