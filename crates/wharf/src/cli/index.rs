//! `wharf index`: how the index stands to the storage, and what can be done about it.

mod show;
mod verify;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use wharf_api_management::index::Accepted;

use super::follow::{follow, must_be_done};
use super::output::{Output, ask, print, say};
use super::{serve, write_error};
use crate::app::local::{self, Local};

/// `wharf index …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf index status              how far the storage was read, and what is wrong in it
  wharf index verify              every difference between index and storage
  wharf index verify --bytes      the same, and all bytes are read again
  wharf index rebuild             make the index anew from the storage")]
pub struct IndexArgs {
    /// What to do with the index
    #[command(subcommand)]
    pub command: IndexCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf index`.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Show whether the index knows all of the storage, how far it is, and what was found wrong
    #[command(after_help = "Examples:
  wharf index status
  wharf index status --output json")]
    Status {
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Compare index and storage in both directions. Ends with 1 when differences remain
    #[command(after_help = "Examples:
  wharf index verify
  wharf index verify team/app team/tools
  wharf index verify --bytes --bytes-per-second 50000000
  wharf index verify --repair --dry-run
  wharf index verify --repair")]
    Verify(verify::VerifyArgs),
    /// Make the index anew from the storage alone, while the registry serves or while it is stopped
    #[command(after_help = "Examples:
  wharf index rebuild
  wharf index rebuild --yes --config /etc/docker/registry/config.yml")]
    Rebuild {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take what the storage holds now for true, where the registry says that it is not its own:
    /// what is gone from it goes from the index
    #[command(after_help = "Example:\n  wharf index accept-storage /etc/docker/registry/config.yml")]
    AcceptStorage {
        /// The configuration of the registry, as for `wharf serve`
        #[arg(value_name = "CONFIG")]
        file: Option<PathBuf>,
    },
}

#[derive(Deserialize)]
struct AcceptAnswer {
    accepted: Accepted,
}

/// What the registry answers that begins with work.
#[derive(Deserialize)]
struct Started {
    job: i64,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// The registry cannot be reached, its index cannot be opened, or differences remain.
pub fn run(arguments: &IndexArgs, env: &[(String, String)]) -> Result<()> {
    let file = match &arguments.command {
        IndexCommand::AcceptStorage { file: Some(file) } => Some(file),
        _ => arguments.config.as_ref(),
    };
    let config = serve::load(file.map(PathBuf::as_path), env)?.config;
    if let IndexCommand::Rebuild { yes: false } = &arguments.command {
        confirm()?;
    }
    local::with(&config, async |registry| match &arguments.command {
        IndexCommand::Status { output } => status(registry, *output).await,
        IndexCommand::Verify(arguments) => verify::run(registry, arguments).await,
        IndexCommand::Rebuild { .. } => rebuild(registry).await,
        IndexCommand::AcceptStorage { .. } => accept_storage(registry).await,
    })
}

async fn status(registry: &mut Local, output: Output) -> Result<()> {
    let status: Value = registry.call(Method::GET, "/index", None).await?;
    say(output, status, show::status)
}

async fn rebuild(registry: &mut Local) -> Result<()> {
    let started: Started = registry.call(Method::POST, "/index/rebuild", None).await?;
    let job = follow(registry, started.job).await?;
    must_be_done(&job)?;
    let summary = job.summary.context("the registry does not say what it did")?;
    print(&show::rebuilt(&serde_json::from_value(summary)?))
}

async fn accept_storage(registry: &mut Local) -> Result<()> {
    let answer: AcceptAnswer = registry.call(Method::POST, "/index/accept-storage", None).await?;
    write_error(match answer.accepted {
        Accepted::Now => "accepted: the registry serves what the storage holds\n",
        Accepted::AtNextStart => "accepted: the next start takes what the storage holds for true\n",
        Accepted::Nothing => "storage and index belong together: there was nothing to accept\n",
    });
    Ok(())
}

/// Asks the person at the terminal.
fn confirm() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("a rebuild reads all of the storage: say --yes where nobody can be asked");
    }
    ask(
        "Everything in the storage is read, and images, tags and referrers of the index become what it says. Requests go on; \
         nothing is collected meanwhile. Accounts, rights and history stay. Go on?",
    )
}
