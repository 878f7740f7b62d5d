//! `wharf gc`: garbage collection, and `registry garbage-collect`.

mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::follow::{follow, must_be_done};
use super::output::{Output, print, say};
use super::registry::GarbageCollectArgs;
use super::{serve, write_error};
use crate::app::local::{self, Local, segment};
use show::{ExplanationView, PlanView, RunView, StatusView};

/// `wharf gc …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf gc status                        what waits, and when it goes
  wharf gc run --dry-run                 every object that would go, and why
  wharf gc explain sha256:4bcd…          who holds a blob or manifest")]
pub struct GcArgs {
    /// What to do
    #[command(subcommand)]
    pub command: GcCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf gc`.
#[derive(Debug, Subcommand)]
pub enum GcCommand {
    /// Look at everything now, and remove what nothing has held for the grace period. The registry
    /// does so by itself; this is for those who do not want to wait
    #[command(after_help = "Examples:
  wharf gc run
  wharf gc run --untagged
  wharf gc run --dry-run --output json")]
    Run {
        /// Only say what would go, when, and why
        #[arg(long)]
        dry_run: bool,
        /// Manifests that no tag points to go as well, unless an index lists them or they refer to a
        /// manifest that is there
        #[arg(long)]
        untagged: bool,
        /// Do not wait for its end
        #[arg(long, conflicts_with = "dry_run")]
        detach: bool,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show what waits for the collector, and when it comes
    #[command(after_help = "Example:\n  wharf gc status")]
    Status {
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List the latest runs and what each removed
    #[command(after_help = "Example:\n  wharf gc history --limit 5")]
    History {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Say who holds a blob or manifest, since when, and when it goes
    #[command(after_help = "Example:
  wharf gc explain sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    Explain {
        /// Its digest
        digest: String,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What the registry says is wrong, or it cannot be reached.
pub fn run(arguments: &GcArgs, env: &[(String, String)]) -> Result<()> {
    let loaded = serve::load(arguments.config.as_deref(), env)?;
    local::with(&loaded.config, async |registry| {
        perform(registry, &arguments.command).await
    })
}

async fn perform(registry: &mut Local, command: &GcCommand) -> Result<()> {
    match command {
        GcCommand::Run {
            dry_run: true,
            untagged,
            output,
            ..
        } => {
            let plan = plan(registry, *untagged, false).await?;
            say(*output, plan, |plan: &PlanView| show::plan(plan))
        }
        GcCommand::Run {
            untagged,
            detach,
            output,
            ..
        } => {
            let id = start(registry, *untagged, false).await?;
            if *detach && registry.is_running() {
                write_error(&format!("job {id} is started: see `wharf jobs show {id}`\n"));
                return say(*output, json!({ "job": id }), |_: &Value| String::new());
            }
            let job = follow(registry, id).await?;
            must_be_done(&job)?;
            let status: StatusView = registry.call(Method::GET, "/system/gc/status", None).await?;
            say(*output, job.summary.unwrap_or_default(), |summary: &Value| {
                show::removed(summary) + &show::rest(&status)
            })
        }
        GcCommand::Status { output } => {
            let status = registry.call(Method::GET, "/system/gc/status", None).await?;
            say(*output, status, |status: &StatusView| show::status(status))
        }
        GcCommand::History { limit, output } => {
            let path = format!("/system/gc?page_size={limit}");
            let runs = registry.call(Method::GET, &path, None).await?;
            say(*output, runs, |runs: &Vec<RunView>| show::history(runs))
        }
        GcCommand::Explain { digest, output } => {
            let path = format!("/system/gc/blobs/{}", segment(digest));
            let told_of = registry.call(Method::GET, &path, None).await?;
            say(*output, told_of, |view: &ExplanationView| show::explanation(view))
        }
    }
}

async fn start(registry: &mut Local, with_untagged: bool, at_once: bool) -> Result<i64> {
    let payload = json!({ "delete_untagged": with_untagged, "at_once": at_once });
    let started: Value = registry.call(Method::POST, "/system/gc", Some(&payload)).await?;
    started["job"]
        .as_i64()
        .ok_or_else(|| anyhow::anyhow!("the registry did not say which job it made"))
}

async fn plan(registry: &mut Local, with_untagged: bool, at_once: bool) -> Result<Value> {
    let path = format!("/system/gc/plan?delete_untagged={with_untagged}&at_once={at_once}");
    registry.call(Method::GET, &path, None).await
}

/// `registry garbage-collect`: says what goes and removes it, at once where nobody can push; a
/// registry that takes pushes keeps to its grace period.
///
/// # Errors
///
/// As [`run`].
pub fn garbage_collect(arguments: &GarbageCollectArgs, env: &[(String, String)]) -> Result<()> {
    let loaded = serve::load(arguments.config.as_deref(), env)?;
    local::with(&loaded.config, async |registry| collect(registry, arguments).await)
}

async fn collect(registry: &mut Local, arguments: &GarbageCollectArgs) -> Result<()> {
    let status: StatusView = registry.call(Method::GET, "/system/gc/status", None).await?;
    let (untagged, at_once) = (arguments.delete_untagged, status.is_quiet);
    if !arguments.quiet {
        let found: PlanView = serde_json::from_value(plan(registry, untagged, at_once).await?)?;
        print(&show::eligible(&found))?;
    }
    if arguments.dry_run {
        return Ok(());
    }
    let id = start(registry, untagged, at_once).await?;
    let job = follow(registry, id).await?;
    must_be_done(&job)?;
    if !arguments.quiet {
        let status: StatusView = registry.call(Method::GET, "/system/gc/status", None).await?;
        print(&(show::removed(&job.summary.unwrap_or_default()) + &show::rest(&status)))?;
    }
    Ok(())
}
