//! `wharf serve`

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use crate::{app, config};

/// The most threads that wait for the disk at the same time. Each keeps memory of its own: without a
/// bound a collection that meets many pushes takes hundreds of them, and 300 MiB.
const BLOCKING_THREADS: usize = 32;

/// `wharf serve [CONFIG]`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf serve                                    data in ./wharf-data, address 127.0.0.1:5000, built-in accounts
  wharf serve /etc/docker/registry/config.yml    the configuration of registry:2 or 3, unchanged
  REGISTRY_HTTP_ADDR=:8080 wharf serve           settings by environment, as for registry")]
pub struct ServeArgs {
    /// A config.yml of distribution 2.8 or 3. Without it: REGISTRY_CONFIGURATION_PATH, else
    /// /etc/distribution/config.yml or /etc/docker/registry/config.yml, else built-in defaults
    pub config: Option<PathBuf>,
}

/// Runs until a signal ends it.
///
/// # Errors
///
/// Why it cannot start.
pub fn run(arguments: &ServeArgs, env: &[(String, String)]) -> Result<()> {
    let loaded = load(arguments.config.as_deref(), env)?;
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err(anyhow!("the cryptography provider was chosen already"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("wharf")
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("the runtime cannot be started")?;
    let found = found_by_itself(arguments, env, &loaded);
    let served = runtime.block_on(app::serve(loaded));
    match found {
        Some(file) => served.with_context(|| {
            format!(
                "with {file}, which was found because no configuration was named (name another, or move it away to \
                 start with a folder of its own)"
            )
        }),
        None => served,
    }
}

/// The configuration file, when it was neither named on the command line nor in the environment:
/// somebody may not know that it is there.
fn found_by_itself(arguments: &ServeArgs, env: &[(String, String)], loaded: &config::Loaded) -> Option<String> {
    let is_named = arguments.config.is_some() || env.iter().any(|(name, _)| name == "REGISTRY_CONFIGURATION_PATH");
    match &loaded.config.origin {
        config::Origin::File(file) if !is_named => Some(file.display().to_string()),
        _ => None,
    }
}

/// Reads the configuration for a command, telling what is wrong with it as `config check` does.
///
/// # Errors
///
/// What is wrong, with the place.
pub fn load(file: Option<&std::path::Path>, env: &[(String, String)]) -> Result<config::Loaded> {
    config::load(file, env).map_err(|error| anyhow!("{error}"))
}
