//! `wharf jobs`: long and scheduled work.

mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::follow::{JobView, follow, must_be_done};
use super::output::{Output, print, print_json, say};
use super::{serve, write_error};
use crate::app::local::{self, Local, segment};

/// Lines of a log that are read in one go.
const LINES: usize = 1_000;

/// `wharf jobs …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf jobs list                        what waits, runs and has ended
  wharf jobs run upload_purge            start a job and watch it
  wharf jobs schedule job_purge '@daily Europe/Berlin'")]
pub struct JobsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: JobsCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf jobs`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, the newest first
    #[command(after_help = "Examples:
  wharf jobs list
  wharf jobs list --state failed --limit 100
  wharf jobs list --kind upload_purge --output json")]
    List {
        /// Only jobs of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only jobs in this state: waiting, running, done, failed or cancelled
        #[arg(long)]
        state: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show everything about a job
    #[command(after_help = "Example:\n  wharf jobs show 17")]
    Show {
        /// Its number
        id: i64,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print what a job has said
    #[command(after_help = "Examples:
  wharf jobs log 17
  wharf jobs log 17 --follow")]
    Log {
        /// Its number
        id: i64,
        /// Go on until the job ends
        #[arg(long, short)]
        follow: bool,
    },
    /// End a job that waits, and tell one that runs to stop
    #[command(after_help = "Example:\n  wharf jobs cancel 17")]
    Cancel {
        /// Its number
        id: i64,
    },
    /// Start a job of a kind and watch it until it ends; `wharf jobs schedules` lists the kinds.
    /// While the registry is stopped, the command runs the job itself
    #[command(after_help = "Examples:
  wharf jobs run upload_purge
  wharf jobs run upload_purge --detach")]
    Run {
        /// The kind
        kind: String,
        /// Do not wait for its end
        #[arg(long)]
        detach: bool,
    },
    /// List the kinds of jobs: when they are made, and how the last one ended
    #[command(after_help = "Example:\n  wharf jobs schedules")]
    Schedules {
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Change when jobs of a kind are made, or whether they run
    #[command(
        override_usage = "wharf jobs schedule [OPTIONS] <KIND> <SCHEDULE|--reset|--enable|--disable>",
        after_help = "Examples:
  wharf jobs schedule upload_purge 'every 6h'
  wharf jobs schedule upload_purge '30 3 * * * Europe/Berlin'
  wharf jobs schedule upload_purge --reset       as the configuration says
  wharf jobs schedule upload_purge --disable     its jobs wait until --enable"
    )]
    Schedule(ScheduleArgs),
}

/// What to change of a kind.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "change")]
pub struct ScheduleChange {
    /// never, an interval such as 'every 6h', @hourly, @daily, @weekly, @monthly, or five cron
    /// fields, these with or without a time zone behind
    schedule: Option<String>,
    /// Go back to the configured schedule
    #[arg(long)]
    reset: bool,
    /// Let its jobs run
    #[arg(long)]
    enable: bool,
    /// Let its jobs wait
    #[arg(long)]
    disable: bool,
}

/// `wharf jobs schedule …`
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// The kind
    kind: String,
    /// What to change
    #[command(flatten)]
    change: ScheduleChange,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What went wrong, and what to do about it; a job that is watched and fails.
pub fn run(arguments: &JobsArgs, env: &[(String, String)]) -> Result<()> {
    let config = serve::load(arguments.config.as_deref(), env)?.config;
    local::with(&config, async |registry| match &arguments.command {
        JobsCommand::List {
            kind,
            state,
            limit,
            output,
        } => list(registry, (kind.as_deref(), state.as_deref()), *limit, *output).await,
        JobsCommand::Show { id, output } => show(registry, *id, *output).await,
        JobsCommand::Log { id, follow } => log(registry, *id, *follow).await,
        JobsCommand::Cancel { id } => cancel(registry, *id).await,
        JobsCommand::Run { kind, detach } => start(registry, kind, *detach).await,
        JobsCommand::Schedules { output } => schedules(registry, *output).await,
        JobsCommand::Schedule(arguments) => schedule(registry, arguments).await,
    })
}

async fn list(
    registry: &mut Local,
    (kind, state): (Option<&str>, Option<&str>),
    limit: u16,
    output: Output,
) -> Result<()> {
    let mut path = format!("/jobs?page_size={limit}");
    for (name, value) in [("kind", kind), ("state", state)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let jobs: Value = registry.call(Method::GET, &path, None).await?;
    say(output, jobs, |jobs: &Vec<JobView>| show::jobs(jobs))
}

async fn show(registry: &mut Local, id: i64, output: Output) -> Result<()> {
    let job: Value = registry.call(Method::GET, &format!("/jobs/{id}"), None).await?;
    match output {
        Output::Json => print_json(&job),
        Output::Text => print(&show::job(&serde_json::from_value(job.clone())?, &job["payload"])),
    }
}

async fn log(registry: &mut Local, id: i64, goes_on: bool) -> Result<()> {
    let mut after = 0;
    loop {
        // asked first, so that no line of its end is missed
        let job: JobView = registry.call(Method::GET, &format!("/jobs/{id}"), None).await?;
        let mut has_more = true;
        while has_more {
            let path = format!("/jobs/{id}/log?after={after}&page_size={LINES}");
            let lines: Vec<show::LineView> = registry.call(Method::GET, &path, None).await?;
            has_more = lines.len() == LINES;
            after = lines.last().map_or(after, |line| line.id);
            print(&show::lines(&lines))?;
        }
        if job.has_ended() || !goes_on {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

async fn cancel(registry: &mut Local, id: i64) -> Result<()> {
    let path = format!("/jobs/{id}/cancel");
    let job: JobView = registry.call(Method::POST, &path, None).await?;
    write_error(&match job.has_ended() {
        true => format!("job {id} is cancelled\n"),
        false => format!("job {id} runs and is told to stop\n"),
    });
    Ok(())
}

async fn start(registry: &mut Local, kind: &str, detach: bool) -> Result<()> {
    let wish = json!({ "kind": kind });
    let job: JobView = registry.call(Method::POST, "/jobs", Some(&wish)).await?;
    if detach && registry.is_running() {
        write_error(&format!(
            "job {} is started: see `wharf jobs show {}`\n",
            job.id, job.id
        ));
        return Ok(());
    }
    let job = follow(registry, job.id).await?;
    must_be_done(&job)?;
    print(&show::summary(&job))
}

async fn schedules(registry: &mut Local, output: Output) -> Result<()> {
    let kinds: Value = registry.call(Method::GET, "/jobs/schedules", None).await?;
    say(output, kinds, |kinds: &Vec<show::KindView>| show::kinds(kinds))
}

async fn schedule(registry: &mut Local, arguments: &ScheduleArgs) -> Result<()> {
    let change = &arguments.change;
    let wish = match &change.schedule {
        Some(schedule) => json!({ "schedule": schedule }),
        None if change.reset => json!({ "schedule": null }),
        None => json!({ "enabled": change.enable }),
    };
    let path = format!("/jobs/schedules/{}", segment(&arguments.kind));
    let kind: show::KindView = registry.call(Method::PUT, &path, Some(&wish)).await?;
    write_error(&show::changed(&kind));
    Ok(())
}
