//! `wharf index`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use wharf_api_management::index::Accepted;

use super::serve;
use crate::app::local;

/// `wharf index …`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wharf index accept-storage /etc/docker/registry/config.yml")]
pub struct IndexArgs {
    /// What to do with the index
    #[command(subcommand)]
    pub command: IndexCommand,
}

/// The commands below `wharf index`.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Take what the storage holds now for true, where the registry says that it is not its own:
    /// what is gone from it goes from the index
    #[command(after_help = "Example:\n  wharf index accept-storage /etc/docker/registry/config.yml")]
    AcceptStorage {
        /// The configuration of the registry, as for `wharf serve`
        config: Option<PathBuf>,
    },
}

#[derive(Deserialize)]
struct AcceptAnswer {
    accepted: Accepted,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// The registry cannot be reached, or its index cannot be opened.
pub fn run(arguments: &IndexArgs, env: &[(String, String)]) -> Result<()> {
    let IndexCommand::AcceptStorage { config } = &arguments.command;
    let loaded = serve::load(config.as_deref(), env)?;
    let answer: AcceptAnswer = local::with(&loaded.config, async |registry| {
        registry.call(Method::POST, "/index/accept-storage", None).await
    })?;
    super::write_error(match answer.accepted {
        Accepted::Now => "accepted: the registry serves what the storage holds\n",
        Accepted::AtNextStart => "accepted: the next start takes what the storage holds for true\n",
        Accepted::Nothing => "storage and index belong together: there was nothing to accept\n",
    });
    Ok(())
}
