//! `wharf trash`: what was deleted and can be brought back.

mod show;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::output::{Named, Output, confirm, count, print, say};
use super::serve;
use crate::app::local::{self, Local, segment};

/// `wharf trash …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf trash list                       what was deleted, until when it can be brought back, and its space
  wharf trash restore team/app:v1.2      bring a tag back, with its manifest if that was deleted too
  wharf trash empty --repository old     give its space back before its time is over")]
pub struct TrashArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TrashCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf trash`.
#[derive(Debug, Subcommand)]
pub enum TrashCommand {
    /// List what was deleted, the latest first, and the space that it takes
    #[command(after_help = "Examples:
  wharf trash list
  wharf trash list --repository team/app --output json")]
    List {
        /// Only of this repository
        #[arg(long)]
        repository: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Bring back a tag, a manifest with its tags, or everything that a repository has in the trash
    #[command(after_help = "Examples:
  wharf trash restore team/app:v1.2
  wharf trash restore team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  wharf trash restore --repository team/app      also one that was deleted as a whole")]
    Restore {
        /// What comes back
        #[command(flatten)]
        what: What,
        /// Move tags back that point to something else by now
        #[arg(long)]
        force: bool,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Delete for good what is in the trash: all of it, or what is named. Its bytes go when garbage is
    /// collected
    #[command(after_help = "Examples:
  wharf trash empty
  wharf trash empty --repository team/app --yes
  wharf trash empty team/app:v1.2 --yes")]
    Empty {
        /// REPOSITORY:TAG, REPOSITORY@DIGEST, or the number of an entry
        what: Option<String>,
        /// Only of this repository
        #[arg(long, conflicts_with = "what")]
        repository: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

/// What comes back.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// REPOSITORY:TAG, REPOSITORY@DIGEST, or the number of an entry
    what: Option<String>,
    /// Everything of this repository
    #[arg(long)]
    repository: Option<String>,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What the registry says is wrong, or it cannot be reached.
pub fn run(arguments: &TrashArgs, env: &[(String, String)]) -> Result<()> {
    let config = serve::load(arguments.config.as_deref(), env)?.config;
    local::with(&config, async |registry| match &arguments.command {
        TrashCommand::List {
            repository,
            limit,
            output,
        } => list(registry, repository.as_deref(), *limit, *output).await,
        TrashCommand::Restore { what, force, output } => restore(registry, what, *force, *output).await,
        TrashCommand::Empty {
            what,
            repository,
            yes,
            output,
        } => {
            let which = Which {
                what: what.as_deref(),
                repository: repository.as_deref(),
            };
            empty(registry, which, *yes, *output).await
        }
    })
}

async fn list(registry: &mut Local, repository: Option<&str>, limit: u16, output: Output) -> Result<()> {
    let mut path = format!("/trash?page_size={limit}");
    if let Some(repository) = repository {
        path.push_str(&format!("&repository={}", segment(repository)));
    }
    let mut found: Value = registry.call(Method::GET, &path, None).await?;
    found["usage"] = usage(registry, repository).await?;
    say(output, found, show::list)
}

/// The space of a repository in the trash, or of all; with how long it is kept.
async fn usage(registry: &mut Local, repository: Option<&str>) -> Result<Value> {
    let told: Value = registry.call(Method::GET, "/trash/usage", None).await?;
    let mut usage = match repository {
        None => told["total"].clone(),
        Some(name) => {
            let all = told["repositories"].as_array();
            let found = all.and_then(|all| all.iter().find(|usage| usage["repository"] == name));
            let none = || json!({ "manifests": 0, "tags": 0, "bytes": 0, "bytes_only_here": 0 });
            found.cloned().unwrap_or_else(none)
        }
    };
    usage["keep_seconds"] = told["keep_seconds"].clone();
    Ok(usage)
}

/// Names one entry, as the API does.
fn entry(what: &str) -> Result<Value> {
    if let Ok(id) = what.parse::<i64>() {
        return Ok(json!({ "id": id }));
    }
    Ok(match Named::parse(what)? {
        Named::Tag(repository, tag) => json!({ "repository": repository, "tag": tag }),
        Named::Digest(repository, digest) => json!({ "repository": repository, "digest": digest }),
    })
}

async fn restore(registry: &mut Local, what: &What, force: bool, output: Output) -> Result<()> {
    let mut wish = match (&what.what, &what.repository) {
        (Some(what), _) => entry(what)?,
        (None, repository) => json!({ "repository": repository }),
    };
    wish["force"] = force.into();
    let restored: Value = registry.call(Method::POST, "/trash/restore", Some(&wish)).await?;
    if what.what.is_some() {
        return say(output, restored, show::restored);
    }
    let (back, failed) = (restored["manifests"].as_u64(), restored["failed"].as_u64());
    let is_empty = back == Some(0) && restored["tags"] == 0 && failed == Some(0);
    if is_empty && restored["kept_tags"] == 0 {
        bail!(
            "nothing of {} is in the trash",
            what.repository.as_deref().unwrap_or_default()
        );
    }
    say(output, restored, show::restored_all)?;
    match failed {
        Some(0) | None => Ok(()),
        Some(failed) => bail!("{} in the trash could not be restored", count(failed, "thing")),
    }
}

#[derive(Clone, Copy)]
struct Which<'a> {
    what: Option<&'a str>,
    repository: Option<&'a str>,
}

async fn empty(registry: &mut Local, which: Which<'_>, yes: bool, output: Output) -> Result<()> {
    let wish = match which {
        Which { what: Some(what), .. } => entry(what)?,
        Which {
            repository: Some(repository),
            ..
        } => json!({ "repository": repository }),
        Which { .. } => json!({ "all": true }),
    };
    if !yes {
        let question = match which.what {
            Some(what) => format!("{what} cannot be brought back after this. Delete it for good?"),
            None => show::question(&serde_json::from_value(usage(registry, which.repository).await?)?),
        };
        confirm(&question)?;
    }
    let purged: Value = registry.call(Method::POST, "/trash/purge", Some(&wish)).await?;
    match output {
        Output::Json => say(output, purged, |_: &Value| String::new()),
        Output::Text => print(&show::purged(&serde_json::from_value(purged)?)),
    }
}
