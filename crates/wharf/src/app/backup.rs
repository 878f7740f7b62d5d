//! Backups of the registry's index, with the key of the configuration.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use wharf_metadata::transfer::{self, Origin};
use wharf_metadata::{Metadata, settings};
use wharf_registry::backup::snapshot::{self, Choice, Found, Recovered, SnapshotParts, SnapshotRules, Snapshots};
use wharf_registry::backup::{BackupKey, Backups, Restore};
use wharf_registry::identity;
use wharf_storage::Storage;
use zeroize::Zeroizing;

use crate::config::{Auth, Config};

/// The key of the configuration, when it has one.
///
/// # Errors
///
/// Its file cannot be read, or holds something else.
pub fn key(config: &Config) -> Result<Option<Arc<BackupKey>>> {
    let key = match (&config.backup.key, &config.backup.key_file) {
        (Some(key), _) => BackupKey::parse(key.expose()).context("backup.key (or WHARF_BACKUP_KEY)")?,
        (None, Some(file)) => read_key(file).context("backup.key_file")?,
        (None, None) => return Ok(None),
    };
    Ok(Some(Arc::new(key)))
}

/// A key from a file of its own.
///
/// # Errors
///
/// The file cannot be read, or holds something else.
pub fn read_key(file: &std::path::Path) -> Result<BackupKey> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    BackupKey::parse(&text).with_context(|| file.display().to_string())
}

/// What makes backups of an index.
pub(super) fn backups(metadata: &Metadata, key: Option<Arc<BackupKey>>) -> Backups {
    Backups::new(metadata.clone(), key, super::clock(), super::random())
}

/// What makes snapshots of an index into its storage; `None` without a key.
pub(super) fn snapshots(config: &Config, metadata: &Metadata, storage: &Storage) -> Result<Option<Snapshots>> {
    let Some(key) = key(config)? else { return Ok(None) };
    let parts = SnapshotParts {
        metadata: metadata.clone(),
        storage: storage.clone(),
        key,
        clock: super::clock(),
        random: super::random(),
    };
    let rules = SnapshotRules {
        delay: config.backup.snapshot_delay,
        keep: config.backup.snapshots,
    };
    Ok(Some(Snapshots::new(parts, rules)))
}

/// Goes on from the newest snapshot in the storage when the index is a new one. For the owner,
/// before anything is written into the index.
///
/// # Errors
///
/// The index is half of one; there are snapshots, and no key or none that opens one of them.
pub(super) async fn recover(config: &Config, metadata: &Metadata, storage: &Storage) -> Result<()> {
    let (unfinished, is_new, lineage) = metadata
        .read(|tx| {
            let is_new = transfer::is_empty(tx)? && settings::get(tx, identity::SETTING)?.is_none();
            let lineage = settings::get_text(tx, snapshot::LINEAGE)?;
            Ok::<_, wharf_metadata::Error>((transfer::unfinished(tx)?, is_new, lineage))
        })
        .await?;
    if let Some(Origin::Index | Origin::Backup) = unfinished {
        bail!(
            "loading the index {} was begun and never finished: restore the backup or copy the metadata again",
            metadata.location()
        );
    }
    let found = snapshot::find(storage).await?;
    let Some(key) = key(config)? else {
        if unfinished.is_some() {
            bail!("going on from a snapshot was begun and never finished: set backup.key_file to finish it");
        }
        if let (true, Some(newest)) = (is_new, found.first()) {
            bail!(
                "the index {} is new, and wharf/snapshots of the storage holds accounts, projects and history as of {}: to go \
                 on from there set backup.key_file to the file of the key {}; to begin anew without them move wharf/snapshots \
                 away",
                metadata.location(),
                newest.at,
                newest.key.as_deref().unwrap_or("unknown")
            );
        }
        return Ok(());
    };
    if !is_new && unfinished.is_none() {
        explain_foreign(&found, lineage.as_deref());
        return Ok(());
    }
    let how = Restore {
        force: false,
        storage: identity::stored(storage).await?,
        epoch: identity::stored_epoch(storage).await?,
        now: (super::clock())(),
    };
    let recovered = snapshot::restore_snapshot(metadata, storage, (Choice::Newest, &key), how)
        .await
        .context(
            "the index is new, and no snapshot in wharf/snapshots of the storage can be read: name the right key, or \
             move the folder away to begin anew without accounts and history",
        )?;
    if let Some(recovered) = recovered {
        explain_recovered(&recovered);
    }
    Ok(())
}

fn explain_recovered(recovered: &Recovered) {
    for skipped in &recovered.skipped {
        tracing::warn!(file = %skipped.file, error = %skipped.error, "a newer snapshot cannot be read");
    }
    let rows = |table: &str| recovered.totals.rows.get(table).copied().unwrap_or_default();
    tracing::warn!(
        file = %recovered.file,
        made = %recovered.header.at,
        users = rows("users"),
        projects = rows("projects"),
        "the index was lost: accounts, projects and history are back from a snapshot in the storage, the images are \
         being indexed again; what was changed after the snapshot was made is as it was then"
    );
}

/// Snapshots of an index that this one does not go on from are never removed by themselves.
fn explain_foreign(found: &[Found], lineage: Option<&str>) {
    let foreign = found.iter().find(|found| Some(found.lineage.as_str()) != lineage);
    if let Some(newest) = foreign {
        tracing::warn!(
            newest = %newest.at,
            file = %newest.file,
            "wharf/snapshots of the storage also holds snapshots of an older index, which are kept: `wharf backup \
             restore --snapshot` puts one back; remove them when nobody misses anything"
        );
    }
}

/// Refuses accounts that would be gone with the process: the index of a bucket without a folder for it and without
/// a key for snapshots.
pub(super) fn refuse_to_lose_accounts(config: &Config, storage: &Storage) -> Result<()> {
    let has_accounts = config.auth == Auth::None && config.access.accounts;
    if storage.is_shared() && has_accounts && key(config)?.is_none() {
        bail!(
            "there is no folder for the index of the bucket, so the accounts would be lost with this process: name a \
             folder by WHARF_DATA, a database server by database.url, or a key by backup.key_file (`wharf backup key` \
             makes one), with which they are saved in the bucket"
        );
    }
    Ok(())
}

/// Says once what would be lost with the disk of the index.
pub(super) async fn warn_of_single_disk(config: &Config, metadata: &Metadata, storage: &Storage) -> Result<()> {
    let has_accounts = config.auth == Auth::None && config.access.accounts;
    if !has_accounts || key(config)?.is_some() {
        return Ok(());
    }
    // on the disk of the images the accounts are lost together with them
    let folder = storage.state().folder().await?;
    if folder.is_none() && !storage.is_shared() {
        return Ok(());
    }
    let Some(index) = metadata.path() else { return Ok(()) };
    if folder.is_none_or(|folder| device(index) != device(&folder)) {
        tracing::warn!(
            index = %index.display(),
            "the accounts are on another disk than the images, and nowhere else: with backup.key_file they are saved, \
             encrypted, beside the images within seconds (`wharf backup key` makes a key)"
        );
    }
    Ok(())
}

fn device(path: &std::path::Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|metadata| metadata.dev())
}
