//! `wharf tag`: tags, where they have been, and setting them back.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{Named, Output, print, say, time};
use super::serve;
use super::table::table;
use crate::app::local::{self, Local, segment};

/// `wharf tag …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf tag list team/app                what each tag points to
  wharf tag history team/app:latest      every digest that it had, when and by whom
  wharf tag revert team/app:latest --steps 1")]
pub struct TagArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TagCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf tag`.
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// List the tags of a repository
    #[command(after_help = "Examples:
  wharf tag list team/app
  wharf tag list team/app --after v1.9 --limit 1000 --output json")]
    List {
        /// The repository
        repository: String,
        /// Only tags behind this one, in byte order
        #[arg(long)]
        after: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show every digest that a tag had, the latest first, also of a tag that is gone
    #[command(after_help = "Example:\n  wharf tag history team/app:latest")]
    History {
        /// REPOSITORY:TAG
        tag: String,
        /// How many changes at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Point a tag to what it pointed to before; also one that is gone
    #[command(after_help = "Examples:
  wharf tag revert team/app:latest --steps 1
  wharf tag revert team/app:latest --to sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    Revert {
        /// REPOSITORY:TAG
        tag: String,
        /// Where to
        #[command(flatten)]
        goal: Goal,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Delete a tag; its manifest stays
    #[command(after_help = "Examples:
  wharf tag delete team/app:v1.2
  wharf tag delete team/app:v1.2 --purge")]
    Delete {
        /// REPOSITORY:TAG
        tag: String,
        /// For good, past the trash
        #[arg(long)]
        purge: bool,
    },
}

/// Where a tag goes back to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Goal {
    /// To this digest
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
    /// To what it pointed to so many moves ago
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct TagsView {
    tags: Vec<TagView>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TagView {
    name: String,
    digest: String,
    updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct HistoryView {
    current: Option<String>,
    changes: Vec<ChangeView>,
    next: Option<i64>,
    found_in_storage: Vec<FoundView>,
}

#[derive(Debug, Deserialize)]
struct ChangeView {
    action: String,
    digest: String,
    at: Timestamp,
    by: String,
    #[serde(flatten)]
    left: LeftView,
}

#[derive(Debug, Deserialize)]
struct FoundView {
    digest: String,
    written_at: Option<Timestamp>,
    #[serde(flatten)]
    left: LeftView,
}

/// What is left of a manifest.
#[derive(Debug, Deserialize)]
struct LeftView {
    manifest: String,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct RevertedView {
    from: Option<String>,
    to: String,
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What the registry says is wrong, or it cannot be reached.
pub fn run(arguments: &TagArgs, env: &[(String, String)]) -> Result<()> {
    let config = serve::load(arguments.config.as_deref(), env)?.config;
    local::with(&config, async |registry| match &arguments.command {
        TagCommand::List {
            repository,
            after,
            limit,
            output,
        } => list(registry, (repository, after.as_deref()), *limit, *output).await,
        TagCommand::History { tag, limit, output } => {
            let path = format!("{}/history?page_size={limit}", path(tag)?);
            say(*output, registry.call(Method::GET, &path, None).await?, history)
        }
        TagCommand::Revert { tag, goal, output } => {
            let wish = match &goal.to {
                Some(digest) => json!({ "digest": digest }),
                None => json!({ "steps": goal.steps }),
            };
            let path = format!("{}/revert", path(tag)?);
            let reverted: Value = registry.call(Method::POST, &path, Some(&wish)).await?;
            say(*output, reverted, |reverted: &RevertedView| {
                self::reverted(tag, reverted)
            })
        }
        TagCommand::Delete { tag, purge } => {
            let path = format!("{}?purge={purge}", path(tag)?);
            let _: Value = registry.call(Method::DELETE, &path, None).await?;
            print(&match purge {
                true => format!("{tag} is deleted for good\n"),
                false => format!("{tag} is deleted: `wharf trash list` says whether and until when it can come back\n"),
            })
        }
    })
}

/// The path of a tag in the API.
fn path(tag: &str) -> Result<String> {
    let (repository, tag) = Named::tag(tag)?;
    Ok(format!("/repositories/{}/tags/{}", segment(repository), segment(tag)))
}

async fn list(
    registry: &mut Local,
    (repository, after): (&str, Option<&str>),
    limit: u16,
    output: Output,
) -> Result<()> {
    let mut path = format!("/repositories/{}/tags?page_size={limit}", segment(repository));
    if let Some(after) = after {
        path.push_str(&format!("&after={}", segment(after)));
    }
    say(output, registry.call(Method::GET, &path, None).await?, tags)
}

fn tags(page: &TagsView) -> String {
    let rows: Vec<[String; 3]> = page
        .tags
        .iter()
        .map(|tag| [tag.name.clone(), tag.digest.clone(), time(tag.updated_at)])
        .collect();
    let mut text = table(["TAG", "DIGEST", "SET AT"], &rows);
    if let Some(next) = &page.next {
        text.push_str(&format!("and more: see --after {next}\n"));
    }
    text
}

fn history(history: &HistoryView) -> String {
    let mut text = match &history.current {
        Some(digest) => format!("now at {digest}\n"),
        None => "the tag is gone\n".to_owned(),
    };
    let rows: Vec<[String; 5]> = history
        .changes
        .iter()
        .map(|change| {
            [
                time(change.at),
                change.action.clone(),
                change.digest.clone(),
                change.by.clone(),
                left(&change.left),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(["AT", "WHAT", "DIGEST", "BY", "MANIFEST"], &rows));
    }
    if history.next.is_some() {
        text.push_str("and older ones: see --limit\n");
    }
    let rows: Vec<[String; 3]> = history
        .found_in_storage
        .iter()
        .map(|found| {
            let written = found.written_at.map(time).unwrap_or_default();
            [found.digest.clone(), written, left(&found.left)]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("found in the storage, in no known order:\n");
        text.push_str(&table(["DIGEST", "LINK WRITTEN AT", "MANIFEST"], &rows));
    }
    text
}

fn left(left: &LeftView) -> String {
    match left.expires_at {
        Some(at) => format!("in the trash until {}", time(at)),
        None => left.manifest.clone(),
    }
}

fn reverted(tag: &str, reverted: &RevertedView) -> String {
    match &reverted.from {
        Some(from) => format!("{tag} points to {} again, and no longer to {from}\n", reverted.to),
        None => format!("{tag} points to {} again\n", reverted.to),
    }
}
