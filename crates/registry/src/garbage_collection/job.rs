//! Collecting as a job: one at a time in all processes, with progress, a log and a way to stop it.

use serde_json::{Value, json};
use wharf_jobs::{Actor, Failure, Jobs, NewJob, Outcome, Run};
use wharf_metadata::audit_log;

use super::{Collector, Counts, End, Request};
use crate::{Error, Result};

/// The name of the kind of these jobs.
pub const KIND: &str = "garbage_collection";
/// The key of jobs that changes ask for.
const CHANGES: &str = "changes";
/// Who wanted a run that nobody signed in for: a command on the machine, or a schedule made there.
const OPERATOR: &str = "operator";

/// What somebody asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Manifests without a tag go as well.
    pub with_untagged: bool,
    /// Without a grace period: for a registry that nobody can push to now.
    pub at_once: bool,
}

impl Collector {
    /// Does one job.
    ///
    /// # Errors
    ///
    /// Why it did not come to its end, and whether it is worth another attempt.
    pub async fn work(&self, run: Run) -> Outcome {
        let payload: Value = run.payload()?;
        let is_set = |name: &str| payload[name].as_bool().unwrap_or(false);
        if is_set("at_once") && !self.is_quiet() {
            return Err(Failure::fatal(
                "it was asked to collect without a grace period while nobody could push, and now somebody can",
            ));
        }
        let by = run.job().requested_by.as_str();
        let request = Request {
            cause: match by {
                "" if run.job().key.as_deref() == Some(CHANGES) => CHANGES.to_owned(),
                "" => OPERATOR.to_owned(),
                by => by.to_owned(),
            },
            grace: is_set("at_once").then_some(std::time::Duration::ZERO),
            is_full: is_set("full"),
            with_untagged: is_set("untagged"),
        };
        let goes_on = |counts: &Counts| {
            let text = format!(
                "blobs deleted ({} bytes), {} condemned, {} links and {} manifests removed",
                counts.bytes, counts.condemned, counts.links, counts.manifests
            );
            run.progress(counts.blobs, None, text);
            run.go_on().is_ok()
        };
        let report = self.run(&request, goes_on).await?;
        match report.end {
            End::Done => {}
            End::Stopped => return Err(Failure::Cancelled),
            End::Incomplete if request.is_full => {
                return Err(Failure::retry(
                    "nothing may be collected before index and storage were compared: see `wharf index status`",
                ));
            }
            End::Incomplete => run.log("nothing may be collected before index and storage were compared"),
        }
        let counts = report.counts;
        if !counts.is_empty() {
            tracing::info!(
                manifests = counts.manifests,
                links = counts.links,
                condemned = counts.condemned,
                blobs = counts.blobs,
                bytes = counts.bytes,
                "garbage collected"
            );
        }
        Ok(json!({
            "manifests": counts.manifests,
            "links": counts.links,
            "condemned": counts.condemned,
            "blobs": counts.blobs,
            "bytes": counts.bytes,
        }))
    }

    /// Makes a job that looks at everything; answers its number.
    ///
    /// # Errors
    ///
    /// The index cannot be written.
    pub async fn start(&self, jobs: &Jobs, wish: Wish, actor: Actor<'_>) -> Result<i64> {
        let payload = json!({ "full": true, "untagged": wish.with_untagged, "at_once": wish.at_once });
        let job = NewJob::new(KIND)
            .key(payload.to_string())
            .by(actor.name)
            .payload(&payload);
        let line = audit_log::Line {
            id: 0,
            at: self.now(),
            actor: actor.name.to_owned(),
            action: "garbage.collect".to_owned(),
            subject: String::new(),
            detail: payload.to_string(),
            address: actor.address.to_owned(),
            result: "ok".to_owned(),
        };
        let maker = jobs.clone();
        let made = self.parts.metadata.write(move |tx| {
            let made = maker.enqueue_in(tx, &job)?;
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(made)
        });
        let id = made.await?.id();
        jobs.wake();
        Ok(id)
    }

    /// Makes a job for what is due, unless one waits already; `None` when nothing is due.
    ///
    /// # Errors
    ///
    /// The index cannot be read or written.
    pub async fn start_if_due(&self, jobs: &Jobs) -> Result<Option<i64>> {
        if !self.is_due().await? {
            return Ok(None);
        }
        let (maker, job) = (jobs.clone(), NewJob::new(KIND).key(CHANGES));
        let made = self.parts.metadata.write(move |tx| maker.enqueue_in(tx, &job));
        let id = made.await.map_err(Error::from)?.id();
        jobs.wake();
        Ok(Some(id))
    }
}
