//! Putting a backup back while the registry is stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use wharf_metadata::Metadata;
use wharf_metadata::sqlite::Config as SqliteConfig;
use wharf_metadata::transfer;
use wharf_registry::backup::snapshot::{self, Choice, Found};
use wharf_registry::backup::{self, BackupKey, Header, Opened, Restore, Totals};
use wharf_registry::identity;
use wharf_storage::Storage;

use super::index;
use crate::config::{Config, StorageDriver};

/// What is put back.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A backup.
    File(&'a Path),
    /// A snapshot in the storage.
    Snapshot(Choice<'a>),
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub header: Header,
    /// What it held.
    pub totals: Totals,
    /// The index that holds it now.
    pub index: PathBuf,
    /// Where the index that was there before is kept.
    pub aside: Option<PathBuf>,
}

/// Puts a backup or a snapshot in the place of the index. It is read to its end before anything
/// changes, and the index that was there is kept beside it.
///
/// # Errors
///
/// It cannot be read or does not belong here, the registry runs, there is an index already and
/// `force` is not set, or a disk fails: then everything is as before.
pub async fn restore(
    config: &Config,
    source: Source<'_>,
    key: Option<&BackupKey>,
    force: bool,
    progress: impl FnMut(&str, u64) + Send + 'static,
) -> Result<Restored> {
    if config.storage.driver == StorageDriver::InMemory {
        bail!("the storage of this configuration is in memory: there is nothing to restore an index for");
    }
    if config.database.has_server() {
        bail!("the index of this configuration is on a database server: restore into a file, then copy it there");
    }
    let storage = super::open_storage(config)?;
    let local = super::bucket::beside(config, &storage)?;
    let Some(_lock) = index::lock(&local).await? else {
        bail!("another wharf process works on this storage folder: stop it first");
    };
    let (index, _scratch) = index::locate(config, &local).await?;
    let how = Restore {
        force,
        storage: identity::stored(&storage).await?,
        epoch: identity::stored_epoch(&storage).await?,
        now: (super::clock())(),
    };
    if let Source::File(file) = source {
        how.check(open(file, key)?.header())?;
        open(file, key)?
            .verify()
            .with_context(|| format!("{} was not restored", file.display()))?;
    }
    if !force && !is_empty(&index)? {
        bail!(
            "there is an index with content already, {}: use --force to replace it (it is kept beside the new one)",
            index.display()
        );
    }
    let unfinished = beside(&index, ".restoring");
    remove(&unfinished)?;
    let loaded = load(source, key, (&unfinished, &storage), how, progress).await;
    let (header, totals) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            remove(&unfinished)?;
            return Err(error);
        }
    };
    let aside = replace(&index, &unfinished)?;
    Ok(Restored {
        header,
        totals,
        index,
        aside,
    })
}

/// The snapshots in the storage, the newest first.
///
/// # Errors
///
/// The storage cannot be read.
pub async fn snapshots(config: &Config) -> Result<Vec<Found>> {
    Ok(snapshot::find(&super::open_storage(config)?).await?)
}

fn open(file: &Path, key: Option<&BackupKey>) -> Result<Opened> {
    let failed = || format!("{} cannot be read", file.display());
    let opened = File::open(file).with_context(failed)?;
    Opened::new(std::io::BufReader::with_capacity(1 << 16, opened), key).with_context(failed)
}

async fn load(
    source: Source<'_>,
    key: Option<&BackupKey>,
    (path, storage): (&Path, &Storage),
    how: Restore,
    progress: impl FnMut(&str, u64) + Send + 'static,
) -> Result<(Header, Totals)> {
    let metadata = Metadata::open_sqlite(SqliteConfig::new(path))?;
    let loaded = load_into(&metadata, source, key, storage, how, progress).await;
    // closing copies the write-ahead log into the file
    tokio::task::spawn_blocking(move || metadata.close()).await?;
    let loaded = loaded?;
    File::open(path)?.sync_all()?;
    Ok(loaded)
}

async fn load_into(
    metadata: &Metadata,
    source: Source<'_>,
    key: Option<&BackupKey>,
    storage: &Storage,
    how: Restore,
    progress: impl FnMut(&str, u64) + Send + 'static,
) -> Result<(Header, Totals)> {
    match source {
        Source::File(file) => {
            let opened = open(file, key)?;
            let header = opened.header().clone();
            let totals = backup::restore(opened, metadata, how, progress).await?;
            Ok((header, totals))
        }
        Source::Snapshot(choice) => {
            let key = key.context("snapshots are encrypted: name the key with --key-file, or as backup.key_file")?;
            let recovered = snapshot::restore_snapshot(metadata, storage, (choice, key), how).await?;
            let recovered = recovered.context("there is no such snapshot: `wharf backup snapshots` lists them")?;
            Ok((recovered.header, recovered.totals))
        }
    }
}

/// Whether nothing is lost when the index is replaced. One that cannot be opened may be needed by
/// somebody who can.
fn is_empty(index: &Path) -> Result<bool> {
    if !index.try_exists()? {
        return Ok(true);
    }
    // as a reader: nothing is changed by looking
    let Ok(metadata) = Metadata::open_sqlite(SqliteConfig::new(index).standby()) else {
        return Ok(false);
    };
    let is_empty = metadata.read_blocking(transfer::is_empty);
    metadata.close();
    Ok(is_empty?)
}

/// Moves the present index aside and the new one into its place.
fn replace(index: &Path, new: &Path) -> Result<Option<PathBuf>> {
    let failed = || format!("the index {} cannot be replaced", index.display());
    let aside = if index.try_exists()? {
        let aside = free_name(index)?;
        // its log first: without it the database could be older than what was acknowledged
        let (log, kept) = (beside(index, "-wal"), beside(&aside, "-wal"));
        if log.try_exists()? {
            fs::copy(&log, &kept).with_context(failed)?;
            File::open(&kept)?.sync_all()?;
        }
        fs::rename(index, &aside).with_context(failed)?;
        Some(aside)
    } else {
        None
    };
    // a log without its database would be taken for the new one's
    for log in LOGS {
        remove_file(&beside(index, log))?;
    }
    fs::rename(new, index).with_context(failed)?;
    if let Some(folder) = index.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(aside)
}

/// What SQLite keeps beside a database.
const LOGS: [&str; 2] = ["-wal", "-shm"];

/// `index.db.before-restore`, with a number when there is one already.
fn free_name(index: &Path) -> Result<PathBuf> {
    let first = beside(index, ".before-restore");
    let mut number = 1;
    let mut name = first.clone();
    while name.try_exists()? {
        number += 1;
        name = beside(&first, &format!("-{number}"));
    }
    Ok(name)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(database: &Path) -> Result<()> {
    remove_file(database)?;
    for log in LOGS {
        remove_file(&beside(database, log))?;
    }
    Ok(())
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}
