//! Backups of the registry's index, with the key of the configuration.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use wharf_metadata::Metadata;
use wharf_registry::backup::{BackupKey, Backups};
use zeroize::Zeroizing;

use crate::config::Config;

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
