//! `wharf metadata`: the index from one database to another.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use wharf_metadata::transfer::{self, Copied};
use wharf_metadata::{Location, Metadata, ownership};

/// A process that owns an index says so every five seconds; after this long it is taken for dead.
const ALIVE: Duration = Duration::from_secs(60);

/// `wharf metadata …`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  wharf metadata copy --from sqlite:///var/lib/registry/wharf/index.db --to postgresql://wharf@db/wharf")]
pub struct MetadataArgs {
    /// What to do
    #[command(subcommand)]
    pub command: MetadataCommand,
}

/// The commands below `wharf metadata`.
#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Copy everything from one database to another one, which must be empty. The registry must be
    /// stopped
    #[command(after_help = "Examples:
  wharf metadata copy --from sqlite:///var/lib/registry/wharf/index.db --to postgresql://wharf@db/wharf
  WHARF_METADATA_TO='mariadb://wharf:secret@db/wharf' wharf metadata copy --from sqlite:///srv/wharf/index.db")]
    Copy {
        /// The database that is read: sqlite:///FILE, postgresql://… or mariadb://…
        #[arg(long, value_name = "URL", env = "WHARF_METADATA_FROM", hide_env_values = true)]
        from: String,
        /// The database that is written
        #[arg(long, value_name = "URL", env = "WHARF_METADATA_TO", hide_env_values = true)]
        to: String,
        /// Replace what the target holds, and read a source that a registry may be writing
        #[arg(long)]
        force: bool,
    },
}

/// Runs the command.
///
/// # Errors
///
/// What went wrong, and what to do about it.
pub fn run(arguments: &MetadataArgs) -> Result<()> {
    let MetadataCommand::Copy { from, to, force } = &arguments.command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let copied = runtime.block_on(copy(from, to, *force))?;
    let clear = if std::io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    super::write_error(&format!(
        "{clear}copied: {} rows of {} tables\nSet database.url (WHARF_DATABASE_URL) to the new place and start the \
         registry. Do not start it on the old one again.\n",
        copied.total(),
        copied.rows.len()
    ));
    Ok(())
}

async fn copy(from: &str, to: &str, force: bool) -> Result<Copied> {
    let source = Location::parse(from).context("--from")?;
    let target = Location::parse(to).context("--to")?;
    // as one that stands by: nothing is changed in it
    let source = open(standby(source), "--from").await?;
    let target = open(target, "--to").await?;
    if is_owned(&target).await? {
        bail!("--to: a registry runs on this database: stop it first");
    }
    if is_owned(&source).await? {
        let what = "a registry runs on this database, or was killed less than a minute ago";
        if !force {
            bail!("--from: {what}: stop it first, or use --force to copy what it has written until now");
        }
        super::write_error(&format!("--from: {what}: what it writes from now on is not copied\n"));
    }
    let is_terminal = std::io::stderr().is_terminal();
    let progress = |table: &str, rows: u64| {
        if is_terminal {
            super::write_error(&format!("\r\x1b[K{table}: {rows}"));
        }
    };
    let copied = transfer::copy(&source, &target, force, progress).await;
    tokio::task::spawn_blocking(move || {
        target.close();
        source.close();
    })
    .await?;
    copied.map_err(|error| match error.kind() {
        wharf_metadata::error::Kind::Unique => {
            anyhow::anyhow!("--to: the database is not empty: use --force to replace what it holds")
        }
        _ => error.into(),
    })
}

fn standby(location: Location) -> Location {
    match location {
        Location::Sqlite(config) => Location::Sqlite(config.standby()),
        Location::Server(config) => Location::Server(Box::new(config.standby())),
    }
}

async fn open(location: Location, which: &'static str) -> Result<Metadata> {
    let opened = tokio::task::spawn_blocking(move || Metadata::open(location)).await?;
    opened.context(which)
}

/// Whether a process works on the index, as far as its owner record tells.
async fn is_owned(metadata: &Metadata) -> Result<bool> {
    let now: wharf_metadata::Timestamp = (crate::app::clock())().into();
    let owner = metadata.read(ownership::find).await?;
    let patience = i64::try_from(ALIVE.as_micros()).unwrap_or(i64::MAX);
    Ok(owner.is_some_and(|owner| owner.released_at.is_none() && now.0 - owner.heartbeat_at.0 < patience))
}
