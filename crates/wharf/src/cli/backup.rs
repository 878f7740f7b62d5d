//! `wharf backup`: the index as a file.

use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::body::HttpBody as _;
use clap::{Args, Subcommand};
use http::{Method, header};
use serde_json::json;
use wharf_registry::backup::snapshot::{Choice, Found};
use wharf_registry::backup::{BackupKey, Header, Opened, Totals};

use super::output::Output;
use super::serve;
use crate::app::restore::{self, Restored, Source};
use crate::app::{backup, local};
use crate::config::Config;

/// `wharf backup …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf backup create /backups/monday.backup     make a backup, while the registry serves or while it is stopped
  wharf backup restore /backups/monday.backup    put it back while the registry is stopped
  wharf backup key /etc/wharf/backup.key         make a key to encrypt backups and snapshots with")]
pub struct BackupArgs {
    /// What to do
    #[command(subcommand)]
    pub command: BackupCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// The commands below `wharf backup`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a backup of the index: accounts, projects, history, trash and what images there are. It
    /// is encrypted when there is a key, and holds password hashes and signing keys either way
    #[command(after_help = "Examples:
  wharf backup create
  wharf backup create /backups/monday.backup --config /etc/docker/registry/config.yml
  wharf backup create - | ssh elsewhere 'cat > monday.backup'")]
    Create {
        /// The file; `-` for standard output. Not given: wharf-TIME.backup in this folder
        file: Option<PathBuf>,
        /// Do not encrypt it, although there is a key
        #[arg(long)]
        plain: bool,
    },
    /// Put a backup, or a snapshot of the storage, in the place of the index. The registry must be
    /// stopped
    #[command(after_help = "Examples:
  wharf backup restore /backups/monday.backup
  wharf backup restore /backups/monday.backup --force --key-file backup.key
  wharf backup restore --snapshot newest")]
    Restore {
        /// The file
        #[arg(required_unless_present = "snapshot")]
        file: Option<PathBuf>,
        /// A snapshot in the storage instead: its name, or `newest`. It holds accounts, projects and
        /// history; the images are indexed from the storage again
        #[arg(long, conflicts_with = "file")]
        snapshot: Option<String>,
        /// Replace an index that has content, and accept a backup of another storage
        #[arg(long)]
        force: bool,
        /// The file with the key, when it is not the one of the configuration
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
    /// Say what a backup holds, and whether it is whole
    #[command(after_help = "Examples:
  wharf backup inspect /backups/monday.backup
  wharf backup inspect /backups/monday.backup --output json")]
    Inspect {
        /// The file
        file: PathBuf,
        /// The file with the key, when it is not the one of the configuration
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List the snapshots in the storage
    #[command(after_help = "Examples:
  wharf backup snapshots
  wharf backup snapshots --output json")]
    Snapshots {
        /// How to say it
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Make a key to encrypt backups and snapshots with. Keep a copy of it where neither the registry
    /// nor its storage is: without it nothing can be restored
    #[command(after_help = "Examples:
  wharf backup key /etc/wharf/backup.key
  wharf backup key > backup.key")]
    Key {
        /// The file, which must not exist yet; not given: standard output
        file: Option<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
///
/// What went wrong, and what to do about it.
pub fn run(arguments: &BackupArgs, env: &[(String, String)]) -> Result<()> {
    let config = || Ok::<_, anyhow::Error>(serve::load(arguments.config.as_deref(), env)?.config);
    match &arguments.command {
        BackupCommand::Create { file, plain } => create(&config()?, file.as_deref(), *plain),
        BackupCommand::Restore {
            file,
            snapshot,
            force,
            key_file,
        } => {
            let config = config()?;
            let key = key(&config, key_file.as_deref())?;
            let source = match (file, snapshot.as_deref()) {
                (Some(file), _) => Source::File(file),
                (None, None | Some("newest")) => Source::Snapshot(Choice::Newest),
                (None, Some(name)) => Source::Snapshot(Choice::File(name)),
            };
            put_back(&config, source, key.as_deref(), *force)
        }
        BackupCommand::Snapshots { output } => list_snapshots(&config()?, *output),
        BackupCommand::Inspect { file, key_file, output } => {
            let key = match key_file {
                Some(_) => key_of(key_file.as_deref())?,
                None => backup::key(&config()?)?,
            };
            inspect(file, key.as_deref(), *output)
        }
        BackupCommand::Key { file } => make_key(file.as_deref()),
    }
}

fn key(config: &Config, file: Option<&Path>) -> Result<Option<Arc<BackupKey>>> {
    match file {
        Some(_) => key_of(file),
        None => backup::key(config),
    }
}

fn key_of(file: Option<&Path>) -> Result<Option<Arc<BackupKey>>> {
    Ok(file.map(backup::read_key).transpose()?.map(Arc::new))
}

fn create(config: &Config, file: Option<&Path>, plain: bool) -> Result<()> {
    let is_stdout = file.is_some_and(|file| file == Path::new("-"));
    if is_stdout && std::io::stdout().is_terminal() {
        bail!("a backup is no text for a terminal: name a file, or send it on with |");
    }
    local::with(config, async |registry| {
        let path = format!("/backups?plain={plain}");
        let answer = registry.send(Method::POST, &path, None).await?;
        let (head, body) = answer.into_parts();
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if is_stdout {
            return receive(body, length, &mut std::io::stdout().lock()).await;
        }
        let named = file.map(Path::to_owned).unwrap_or_else(|| offered(&head.headers));
        let folder = named.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = || format!("{} cannot be written", named.display());
        let mut whole = tempfile::Builder::new()
            .prefix(".wharf-backup-")
            .tempfile_in(folder)
            .with_context(failed)?;
        receive(body, length, whole.as_file_mut()).await.with_context(failed)?;
        whole.as_file().sync_all().with_context(failed)?;
        whole.persist(&named).with_context(failed)?;
        File::open(folder)?.sync_all()?;
        super::write_error(&format!("{}: {} bytes\n", named.display(), length.unwrap_or_default()));
        Ok(())
    })
}

/// Writes all of an answer, or fails.
async fn receive(mut body: axum::body::Body, length: Option<u64>, into: &mut impl std::io::Write) -> Result<()> {
    let mut received = 0;
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(piece) = frame.context("the registry cut the backup off")?.into_data() {
            received += piece.len() as u64;
            into.write_all(&piece)?;
        }
    }
    into.flush()?;
    if length.is_some_and(|length| length != received) {
        bail!("the registry cut the backup off after {received} bytes");
    }
    Ok(())
}

/// The name that the registry proposes, without any folder.
fn offered(headers: &http::HeaderMap) -> PathBuf {
    let proposed = headers.get(header::CONTENT_DISPOSITION);
    let proposed = proposed.and_then(|text| text.to_str().ok()?.split('"').nth(1));
    let is_plain = |name: &&str| name.starts_with("wharf-") && !name.contains('/');
    proposed.filter(is_plain).unwrap_or("wharf.backup").into()
}

fn put_back(config: &Config, source: Source<'_>, key: Option<&BackupKey>, force: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let restored = runtime.block_on(async {
        local::must_be_stopped(config, "restoring a backup").await?;
        restore::restore(config, source, key, force, progress()).await
    })?;
    super::write_error(&restored_text(&restored));
    Ok(())
}

/// One line on a terminal that says how far it is.
fn progress() -> impl FnMut(&str, u64) + Send + 'static {
    let is_terminal = std::io::stderr().is_terminal();
    move |table, rows| {
        if is_terminal {
            super::write_error(&format!("\r\x1b[K{table}: {rows}"));
        }
    }
}

fn restored_text(restored: &Restored) -> String {
    let clear = if std::io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let rows: u64 = restored.totals.rows.values().sum();
    let mut text = format!(
        "{clear}restored: {rows} rows as of {}, into {}\n",
        time(&restored.header),
        restored.index.display()
    );
    if let Some(aside) = &restored.aside {
        text.push_str(&format!("the index that was there is kept as {}\n", aside.display()));
    }
    text.push_str(
        "The next `wharf serve` compares it with the storage: what the storage holds is served, whatever the backup \
         knows. Nothing is collected before that is done. `wharf index verify` then shows what is missing or damaged.\n\
         Everybody signs in again; what was changed after the backup (passwords, accounts that were disabled) is as it \
         was.\n",
    );
    text
}

fn time(header: &Header) -> String {
    header.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn inspect(file: &Path, key: Option<&BackupKey>, output: Output) -> Result<()> {
    let failed = || format!("{} cannot be read", file.display());
    let opened = Opened::new(BufReader::new(File::open(file).with_context(failed)?), key).with_context(failed)?;
    let (header, is_encrypted) = (opened.header().clone(), opened.is_encrypted());
    let totals = opened.verify().with_context(|| file.display().to_string())?;
    let text = match output {
        Output::Text => inspected_text(&header, &totals, is_encrypted),
        Output::Json => {
            let value = json!({ "header": header, "totals": totals, "is_encrypted": is_encrypted, "is_whole": true });
            format!("{value:#}\n")
        }
    };
    // a closed pipe is the reader's wish
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn inspected_text(header: &Header, totals: &Totals, is_encrypted: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<24} {value}\n"));
    line("made", &time(header));
    line("by", &format!("wharf {}, schema {}", header.wharf, header.schema));
    line("storage", header.storage.as_deref().unwrap_or("none"));
    line("encrypted", if is_encrypted { "yes" } else { "no" });
    line("whole", "yes");
    for (table, rows) in &totals.rows {
        line(table, &rows.to_string());
    }
    text
}

fn list_snapshots(config: &Config, output: Output) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let found = runtime.block_on(restore::snapshots(config))?;
    let text = match output {
        Output::Json => {
            let entry =
                |found: &Found| json!({ "name": found.file, "at": found.at, "index": found.lineage, "key": found.key });
            format!("{:#}\n", json!(found.iter().map(entry).collect::<Vec<_>>()))
        }
        Output::Text => {
            let mut text = format!("{:<20} {:<17} {:<17} name\n", "made", "of index", "key");
            for found in &found {
                let at = found.at.strftime("%Y-%m-%d %H:%M:%S");
                let key = found.key.as_deref().unwrap_or("damaged");
                text.push_str(&format!("{at:<20} {:<17} {key:<17} {}\n", found.lineage, found.file));
            }
            text
        }
    };
    // a closed pipe is the reader's wish
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn make_key(file: Option<&Path>) -> Result<()> {
    let key = BackupKey::generate(&crate::app::random())?;
    let text = format!("{}\n", key.to_text().as_str());
    match file {
        None => std::io::stdout().write_all(text.as_bytes())?,
        Some(file) => {
            use std::os::unix::fs::OpenOptionsExt as _;
            let failed = || format!("{} cannot be made", file.display());
            let mut options = File::options();
            let made = options.write(true).create_new(true).mode(0o600).open(file);
            let mut made = made.with_context(failed)?;
            made.write_all(text.as_bytes()).with_context(failed)?;
            made.sync_all().with_context(failed)?;
        }
    }
    super::write_error(&format!(
        "made the key {}: set backup.key_file to its file, and keep a copy where neither the registry nor its storage is\n",
        key.id()
    ));
    Ok(())
}
