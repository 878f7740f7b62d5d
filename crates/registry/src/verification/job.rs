//! Verification, scrubbing and rebuilding as jobs.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use wharf_jobs::{Actor, Failure, Jobs, Kind, NewJob, Outcome, Run, Schedule};
use wharf_metadata::audit_log;
use wharf_oci::RepositoryName;

use super::{Observer, Options, Repair, Report, Verification};
use crate::adoption::Phase;
use crate::finding::{Finding, FindingKind, Tally};
use crate::{Error, Result};

/// The kind of jobs that make the index anew.
pub const REBUILD: &str = "index_rebuild";
/// The kind of jobs that compare index and storage.
pub const VERIFY: &str = "index_verify";
/// The kind of jobs that read all bytes again.
pub const SCRUB: &str = "scrub";

/// How often a rebuild says how far it is.
const REPORT: Duration = Duration::from_secs(1);

/// What a rebuild cannot bring back.
pub const KEPT: &str = "Accounts, who may see which project, members, robots, keys and tag history are not in the \
     storage: a rebuild leaves them as the index has them. Where the index has lost them, only a snapshot or a \
     backup brings them back (wharf backup restore). Projects that were found anew are private.";

impl Verification {
    /// Jobs that rebuild.
    pub fn rebuild_kind() -> Kind {
        Kind::new(REBUILD, "Makes the index anew from the storage").attempts(3)
    }

    /// Jobs that compare.
    pub fn verify_kind() -> Kind {
        Kind::new(VERIFY, "Compares the index with the storage").attempts(2)
    }

    /// Jobs that read all bytes again: when, how many per second at most (0 for as fast as it goes),
    /// and whether damaged bytes may be put aside.
    pub fn scrub_kind(schedule: Schedule, bytes_per_second: u64, repairs: bool) -> Kind {
        let repair = if repairs { Repair::Yes } else { Repair::No };
        Kind::new(SCRUB, "Reads all bytes again and looks for damage")
            .schedule(schedule)
            .payload(json!({ "bytes_per_second": bytes_per_second, "repair": repair.as_str() }))
    }

    /// Makes a job that compares; answers its number.
    ///
    /// # Errors
    ///
    /// The index cannot be written.
    pub async fn start(&self, jobs: &Jobs, options: &Options, actor: Actor<'_>) -> Result<i64> {
        let payload = options.payload();
        let job = NewJob::new(VERIFY).by(actor.name).payload(&payload);
        self.enqueue(jobs, job, ("index.verify", payload.to_string()), actor)
            .await
    }

    /// Makes a job that makes the index anew, unless one waits already; answers its number.
    ///
    /// # Errors
    ///
    /// The index cannot be written.
    pub async fn start_rebuild(&self, jobs: &Jobs, actor: Actor<'_>) -> Result<i64> {
        let job = NewJob::new(REBUILD).key(Kind::SCHEDULED).by(actor.name);
        self.enqueue(jobs, job, ("index.rebuild", String::new()), actor).await
    }

    async fn enqueue(
        &self,
        jobs: &Jobs,
        job: NewJob,
        (action, detail): (&str, String),
        actor: Actor<'_>,
    ) -> Result<i64> {
        let line = audit_log::Line {
            id: 0,
            at: self.now().into(),
            actor: actor.name.to_owned(),
            action: action.to_owned(),
            subject: String::new(),
            detail,
            address: actor.address.to_owned(),
            result: "ok".to_owned(),
        };
        let maker = jobs.clone();
        let made = self.metadata.write(move |tx| {
            let made = maker.enqueue_in(tx, &job)?;
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(made)
        });
        let id = made.await?.id();
        jobs.wake();
        Ok(id)
    }

    /// Does a job of the kind [`REBUILD`].
    ///
    /// # Errors
    ///
    /// Why it did not come to its end, and whether it is worth another attempt.
    pub async fn rebuild_work(&self, run: Run) -> Outcome {
        self.wait(&run).await?;
        let progress = self.adoption.progress();
        let mut ticker = tokio::time::interval(REPORT);
        let rebuild = self.adoption.rebuild();
        tokio::pin!(rebuild);
        loop {
            tokio::select! {
                rebuilt = &mut rebuild => break rebuilt.map_err(failure)?,
                () = run.cancelled() => return Err(Failure::Cancelled),
                _ = ticker.tick() => {
                    let now = progress.snapshot();
                    let what = match now.phase {
                        Phase::Blobs => "repositories; looking for bytes that none of them names",
                        _ => "repositories",
                    };
                    run.progress(now.repositories, Some(now.total).filter(|total| *total > 0), what);
                }
            }
        }
        let done = progress.snapshot();
        run.progress(done.repositories, Some(done.total), "repositories");
        run.log(KEPT);
        Ok(json!({
            "repositories": done.repositories, "tags": done.tags, "manifests": done.manifests, "layers": done.layers,
            "blobs": done.blobs, "changes": done.changes, "findings": findings_json(&done.findings), "note": KEPT,
        }))
    }

    /// Does a job of the kind [`VERIFY`]. What was repaired is compared once more.
    ///
    /// # Errors
    ///
    /// As [`Self::rebuild_work`].
    pub async fn verify_work(&self, run: Run) -> Outcome {
        let options = Options::parse(&run.payload::<Value>()?).map_err(Failure::fatal)?;
        self.wait(&run).await?;
        let observer = JobObserver {
            run: &run,
            does_save: false,
        };
        let report = ended(&run, self.run(&options, &observer).await)?;
        let mut summary = report.to_json();
        if options.repair == Repair::Yes && report.actions > 0 {
            // damaged bytes are read again whether that is asked for or not
            let once_more = Options {
                repositories: options.repositories,
                ..Options::default()
            };
            run.log("what was repaired is compared once more");
            let remaining = ended(&run, self.run(&once_more, &observer).await)?;
            summary["remaining"] = remaining.to_json();
        }
        self.count().await.map_err(failure)?;
        Ok(summary)
    }

    /// Does a job of the kind [`SCRUB`], from where the last attempt came to.
    ///
    /// # Errors
    ///
    /// As [`Self::rebuild_work`].
    pub async fn scrub_work(&self, run: Run) -> Outcome {
        let payload: Value = run.payload()?;
        let mut options = Options::parse(&payload).map_err(Failure::fatal)?;
        options.bytes = true;
        self.wait(&run).await?;
        let first = run.checkpoint::<u64>()?.unwrap_or_default();
        let observer = JobObserver {
            run: &run,
            does_save: true,
        };
        let report = ended(&run, self.scrub(&options, first, &observer).await)?;
        self.count().await.map_err(failure)?;
        let faults = report.faults();
        if faults > 0 {
            tracing::error!(faults, "reading all bytes again found damage: see wharf index status");
        }
        Ok(report.to_json())
    }

    /// Until the storage was looked through nothing can be said about differences.
    async fn wait(&self, run: &Run) -> std::result::Result<(), Failure> {
        if self.is_alone || self.adoption.is_settled() {
            return Ok(());
        }
        run.progress(0, None, "until the storage was looked through after the start");
        tokio::select! {
            () = self.adoption.settled() => Ok(()),
            () = run.cancelled() => Err(Failure::Cancelled),
        }
    }
}

fn ended(run: &Run, report: Result<Report>) -> std::result::Result<Report, Failure> {
    if run.is_cancelled() {
        return Err(Failure::Cancelled);
    }
    report.map_err(failure)
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Metadata(error) => error.into(),
        Error::NameUnknown(name) => Failure::fatal(format_args!(
            "neither the index nor the storage has a repository {name}"
        )),
        error => Failure::retry(error),
    }
}

/// What was found, as people and programs read it.
pub fn findings_json<'f>(findings: impl IntoIterator<Item = (&'f FindingKind, &'f Tally)>) -> Value {
    let findings = findings.into_iter().map(|(kind, tally)| {
        json!({
            "kind": kind.as_str(), "side": kind.side().as_str(), "is_fault": kind.is_fault(), "count": tally.count,
            "examples": tally.examples,
        })
    });
    findings.collect()
}

impl Report {
    /// The report as people and programs read it.
    pub fn to_json(&self) -> Value {
        json!({
            "repositories": self.repositories, "tags": self.tags, "manifests": self.manifests, "layers": self.layers,
            "blobs": self.blobs, "bytes": self.bytes, "faults": self.faults(),
            "findings": findings_json(&self.findings), "actions": self.actions, "first_actions": self.first_actions,
        })
    }
}

impl Repair {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::DryRun => "dry-run",
            Self::Yes => "yes",
        }
    }
}

impl Options {
    /// What a job's payload says: `repositories`, `bytes`, `bytes_per_second`, `repair` (`no`, `dry-run`
    /// or `yes`) and `forget_missing`, all of which may be left out.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(payload: &Value) -> std::result::Result<Self, String> {
        let flag = |name: &str| match &payload[name] {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            other => Err(format!("{name} is {other}: it may be true or false")),
        };
        let (bytes, forget_missing) = (flag("bytes")?, flag("forget_missing")?);
        let repair = match &payload["repair"] {
            Value::Null => Repair::No,
            other => [Repair::No, Repair::DryRun, Repair::Yes]
                .into_iter()
                .find(|repair| other == repair.as_str())
                .ok_or_else(|| format!("repair is {other}: it may be no, dry-run or yes"))?,
        };
        let bytes_per_second = match &payload["bytes_per_second"] {
            Value::Null => None,
            other => Some(
                other
                    .as_u64()
                    .ok_or_else(|| format!("bytes_per_second is {other}: it is a number"))?,
            ),
        };
        let repositories = named(&payload["repositories"])?;
        if forget_missing && repair == Repair::No {
            return Err("forget_missing goes with repair only".to_owned());
        }
        if !repositories.is_empty() && (bytes || forget_missing) {
            return Err("bytes belong to all repositories: name none to look at them".to_owned());
        }
        Ok(Self {
            repositories,
            bytes,
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0),
            repair,
            forget_missing,
        })
    }

    /// The payload of a job that does this.
    pub fn payload(&self) -> Value {
        let names: Vec<&str> = self.repositories.iter().map(RepositoryName::as_str).collect();
        json!({
            "repositories": names,
            "bytes": self.bytes,
            "bytes_per_second": self.bytes_per_second,
            "repair": self.repair.as_str(),
            "forget_missing": self.forget_missing,
        })
    }
}

fn named(list: &Value) -> std::result::Result<Vec<RepositoryName>, String> {
    let names = match list {
        Value::Null => return Ok(Vec::new()),
        Value::Array(names) => names,
        other => return Err(format!("repositories is {other}: it is a list of names")),
    };
    let parsed = names.iter().map(|name| match name.as_str() {
        Some(name) => name
            .parse()
            .map_err(|error| format!("{name:?} is no name of a repository: {error}")),
        None => Err(format!("{name} is no name of a repository")),
    });
    parsed.collect()
}

/// Writes into the job's log and progress.
struct JobObserver<'r> {
    run: &'r Run,
    /// Whether the next attempt begins where this one came to.
    does_save: bool,
}

impl Observer for JobObserver<'_> {
    fn finding(&self, finding: &Finding) {
        self.run.log(format!("{}: {finding}", finding.kind.as_str()));
    }

    fn action(&self, action: &str) {
        self.run.log(format!("repair: {action}"));
    }

    fn progress(&self, done: u64, total: Option<u64>, what: &str) {
        self.run.progress(done, total, what);
    }

    fn goes_on(&self) -> bool {
        self.run.go_on().is_ok()
    }

    fn reached(&self, folder: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.does_save && self.run.save(&folder).await.is_err() {
                return Err(Error::unavailable("the job cannot be noted down", 5));
            }
            Ok(())
        })
    }
}
