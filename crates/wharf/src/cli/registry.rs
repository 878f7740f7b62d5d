//! The command line of distribution's own binary, `registry`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::called_as;

/// `registry garbage-collect [-d] [-m] [CONFIG]`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf garbage-collect --dry-run /etc/docker/registry/config.yml
  wharf garbage-collect --delete-untagged /etc/docker/registry/config.yml")]
pub struct GarbageCollectArgs {
    /// The configuration of the registry, as for `wharf serve`
    pub config: Option<PathBuf>,
    /// Only say what would be removed
    #[arg(long, short = 'd', num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub dry_run: bool,
    /// Also remove manifests that no tag points to, unless an index lists them or they refer to a
    /// manifest that stays
    #[arg(long, short = 'm', num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub delete_untagged: bool,
    /// Say nothing but what is wrong
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
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
