//! Watching a job until it ends: how far it has come on standard error, its end as exit code.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, bail};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::write_error;
use crate::app::local::Local;

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Without a terminal: how many looks pass between two lines.
const QUIET: u32 = 34;

/// A job as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct JobView {
    /// Its number.
    pub id: i64,
    /// What kind of work it is.
    pub kind: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// How often it was begun.
    pub attempts: u64,
    /// How far it has come.
    pub progress: ProgressView,
    /// What came of it.
    pub summary: Option<Value>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Who wanted it; empty for the registry itself.
    pub requested_by: String,
    /// Who wants it no more.
    pub cancelled_by: Option<String>,
    /// When it was wanted.
    pub creation_time: jiff::Timestamp,
    /// When it may run.
    pub run_time: jiff::Timestamp,
    /// When its last attempt began.
    pub start_time: Option<jiff::Timestamp>,
    /// When it ended.
    pub end_time: Option<jiff::Timestamp>,
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProgressView {
    /// How many things are done.
    pub done: u64,
    /// Of how many, when that is known.
    pub total: Option<u64>,
    /// What the things are.
    pub text: String,
}

impl JobView {
    /// Whether nothing will happen to it any more.
    pub fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "waiting" | "running")
    }

    /// Where it is, in a few words: `3 of 7 repositories`.
    pub fn progress(&self) -> String {
        let ProgressView { done, total, text } = &self.progress;
        let counted = match total {
            Some(total) => format!("{done} of {total}"),
            None if *done > 0 => done.to_string(),
            None => String::new(),
        };
        [counted.as_str(), text.as_str()].join(" ").trim().to_owned()
    }
}

/// Watches a job until it ends; answers it as it is then.
///
/// # Errors
///
/// The registry cannot be reached any more, or the job was forgotten.
pub async fn follow(registry: &mut Local, id: i64) -> Result<JobView> {
    let mut line = StatusLine::default();
    loop {
        let job: JobView = registry.call(Method::GET, &format!("/jobs/{id}"), None).await?;
        if job.has_ended() {
            line.clear();
            return Ok(job);
        }
        let told = match (job.state.as_str(), &job.error) {
            ("waiting", Some(error)) => format!("job {id} is tried again at {:.0}: {error}", job.run_time),
            ("waiting", None) => format!("job {id} waits for its turn"),
            _ if job.progress().is_empty() => format!("job {id} runs"),
            _ => format!("job {id}: {}", job.progress()),
        };
        line.show(&told);
        tokio::time::sleep(LOOK).await;
    }
}

/// The end of a job as the end of a command.
///
/// # Errors
///
/// It did not do what it was for.
pub fn must_be_done(job: &JobView) -> Result<()> {
    let error = job.error.as_deref().unwrap_or("it says nothing more");
    match job.state.as_str() {
        "done" => Ok(()),
        "cancelled" => bail!("job {} was cancelled", job.id),
        _ => bail!("job {} failed: {error}; see `wharf jobs log {}`", job.id, job.id),
    }
}

/// One line that is written over itself on a terminal; elsewhere a line every ten seconds.
#[derive(Default)]
struct StatusLine {
    shown: String,
    looks: u32,
}

impl StatusLine {
    fn show(&mut self, text: &str) {
        if std::io::stderr().is_terminal() {
            if self.shown != text {
                write_error(&format!("\r\x1b[K{text}"));
            }
        } else if self.looks.is_multiple_of(QUIET) && self.shown != text {
            write_error(&format!("{text}\n"));
        } else {
            self.looks += 1;
            return;
        }
        self.looks += 1;
        text.clone_into(&mut self.shown);
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() && !self.shown.is_empty() {
            write_error("\r\x1b[K");
        }
    }
}
