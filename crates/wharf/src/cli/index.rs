//! `wharf index`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::serve;
use crate::app;

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
    /// Take what the storage holds now for true: what is gone from it goes from the index at the
    /// next start
    #[command(after_help = "Example:\n  wharf index accept-storage /etc/docker/registry/config.yml")]
    AcceptStorage {
        /// The configuration of the registry, as for `wharf serve`
        config: Option<PathBuf>,
    },
}

/// Runs the command on a registry that is stopped.
///
/// # Errors
///
/// The registry runs, or its index cannot be opened.
pub fn run(arguments: &IndexArgs, env: &[(String, String)]) -> Result<()> {
    let IndexCommand::AcceptStorage { config } = &arguments.command;
    let loaded = serve::load(config.as_deref(), env)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(app::accept_storage(&loaded.config))?;
    super::write_error("accepted: the next start takes what the storage holds for true\n");
    Ok(())
}
