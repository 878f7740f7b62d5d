//! `wharf repository`: listing repositories, and deleting one with everything in it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::output::{Output, confirm, count, say, time};
use super::serve;
use crate::app::local::{self, Local, segment};

/// `wharf repository …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf repository list
  wharf repository delete team/app       with everything in it, to the trash")]
pub struct RepositoryArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RepositoryCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf repository`.
#[derive(Debug, Subcommand)]
pub enum RepositoryCommand {
    /// List repositories by name
    #[command(after_help = "Examples:
  wharf repository list
  wharf repository list --after team/app --limit 1000 --output json")]
    List {
        /// Only repositories behind this one, in byte order
        #[arg(long)]
        after: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Delete a repository with everything in it. It leaves every list, and its folder goes; what was
    /// in it goes to the trash
    #[command(after_help = "Examples:
  wharf repository delete team/app
  wharf repository delete team/app --purge --yes")]
    Delete {
        /// The repository
        repository: String,
        /// For good, past the trash
        #[arg(long)]
        purge: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Deserialize)]
struct ListView {
    repositories: Vec<NameView>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NameView {
    name: String,
}

#[derive(Debug, Deserialize)]
struct DeletedView {
    manifests: u64,
    expires_at: Option<Timestamp>,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What the registry says is wrong, or it cannot be reached.
pub fn run(arguments: &RepositoryArgs, env: &[(String, String)]) -> Result<()> {
    let config = serve::load(arguments.config.as_deref(), env)?.config;
    local::with(&config, async |registry| match &arguments.command {
        RepositoryCommand::List { after, limit, output } => {
            let mut path = format!("/repositories?page_size={limit}");
            if let Some(after) = after {
                path.push_str(&format!("&after={}", segment(after)));
            }
            say(*output, registry.call(Method::GET, &path, None).await?, list)
        }
        RepositoryCommand::Delete {
            repository,
            purge,
            yes,
            output,
        } => {
            if !yes {
                ask(registry, repository, *purge).await?;
            }
            let path = format!("/repositories/{}?purge={purge}", segment(repository));
            let deleted: Value = registry.call(Method::DELETE, &path, None).await?;
            say(*output, deleted, |deleted: &DeletedView| told(repository, deleted))
        }
    })
}

async fn ask(registry: &mut Local, repository: &str, purge: bool) -> Result<()> {
    // one that is not there is told before the question
    let path = format!("/repositories/{}/tags?page_size=1", segment(repository));
    let _: Value = registry.call(Method::GET, &path, None).await?;
    let usage: Value = registry.call(Method::GET, "/trash/usage", None).await?;
    let fate = match purge || usage["keep_seconds"] == 0 {
        true => "Nothing of it can be brought back.",
        false => "It goes to the trash.",
    };
    confirm(&format!("Delete {repository} with everything in it? {fate}"))
}

fn list(list: &ListView) -> String {
    let mut text: String = list
        .repositories
        .iter()
        .map(|found| format!("{}\n", found.name))
        .collect();
    if let Some(next) = &list.next {
        text.push_str(&format!("and more: see --after {next}\n"));
    }
    text
}

fn told(repository: &str, deleted: &DeletedView) -> String {
    let manifests = count(deleted.manifests, "manifest");
    match deleted.expires_at {
        Some(at) => format!(
            "{repository} is deleted with {manifests}: `wharf trash restore --repository {repository}` brings it back until {}\n",
            time(at)
        ),
        None => format!("{repository} is deleted with {manifests}, for good\n"),
    }
}
