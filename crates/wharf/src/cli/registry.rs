//! The command line of distribution's own binary, `registry`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::{called_as, serve};

/// `registry garbage-collect [-d] [-m] CONFIG`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wharf garbage-collect --dry-run /etc/docker/registry/config.yml")]
pub struct GarbageCollectArgs {
    /// The configuration of the registry
    pub config: PathBuf,
    /// Only say what would be removed
    #[arg(long, short = 'd')]
    pub dry_run: bool,
    /// Also remove manifests that no tag points to
    #[arg(long, short = 'm')]
    pub delete_untagged: bool,
    /// Say less
    #[arg(long, short)]
    pub quiet: bool,
}

/// Reads the arguments as registry's image does: a first argument that is a `.yml` file means
/// `serve` with it, and so does the bare name `registry`. `None` when they are our own.
pub fn rewrite(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let program = arguments.first()?;
    let first = arguments
        .get(1)
        .and_then(|argument| argument.to_str())
        .unwrap_or_default();
    if first.ends_with(".yml") || first.ends_with(".yaml") {
        let rest = arguments.iter().skip(1).cloned();
        return Some([program.clone(), "serve".into()].into_iter().chain(rest).collect());
    }
    (called_as(arguments, "registry") && arguments.len() == 1).then(|| vec![program.clone(), "serve".into()])
}

/// Says what is not there yet, after checking the configuration.
///
/// # Errors
///
/// Always: nothing is collected by this version.
pub fn garbage_collect(arguments: &GarbageCollectArgs, env: &[(String, String)]) -> Result<()> {
    serve::load(Some(&arguments.config), env)?;
    bail!(
        "nothing was removed: a running wharf collects garbage by itself, and this command does not do it yet. Stop wharf and run \
         distribution's `registry garbage-collect` on the same folder if space is short now; wharf finds out what it removed at \
         its next start"
    )
}
