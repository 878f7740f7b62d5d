//! The index: where it lies, who owns it, and whether it belongs to the storage.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use wharf_metadata::Metadata;
use wharf_metadata::sqlite::Config as SqliteConfig;
use wharf_registry::adoption::Adoption;
use wharf_registry::identity::{self, Verdict};
use wharf_registry::mirror::Mirror;
use wharf_registry::upload_purge;
use wharf_storage::{StateLock, StateName, Storage};

use crate::config::{Config, ForeignWriters};
use crate::health::{Health, Scope};

/// The open index of this process. Cloning shares it.
#[derive(Clone)]
pub struct Index {
    /// The handle.
    pub metadata: Metadata,
    fencing: i64,
    is_trusted: Arc<std::sync::atomic::AtomicBool>,
    _lock: Arc<Option<StateLock>>,
    _scratch: Arc<Option<tempfile::TempDir>>,
}

/// The file in `wharf/` that holds the index.
const FILE: &str = "index.db";
/// The name of the check in `/readyz` and `/debug/health`.
const CHECK: &str = "storage identity";

/// Opens the index and takes it over.
///
/// # Errors
///
/// Another process owns it, the volume cannot hold it, or it is broken: each with what to do.
pub async fn open(config: &Config, storage: &Storage, health: &Health) -> Result<Index> {
    let _ = health;
    let lock = lock(storage).await?;
    let (path, scratch) = locate(config, storage).await?;
    let settings = SqliteConfig::new(&path);
    let opened = tokio::task::spawn_blocking(move || Metadata::open_sqlite(settings)).await?;
    let metadata = opened.with_context(|| format!("the index {} cannot be opened", path.display()))?;
    let holder = format!("{}", std::process::id());
    let detail = format!("process {} of wharf {}", std::process::id(), super::VERSION);
    let now = (super::clock())().into();
    let fencing = metadata
        .claim(&holder, &detail, now)
        .await
        .context("the index cannot be taken over")?;
    let is_trusted = Arc::new(std::sync::atomic::AtomicBool::new(true));
    Ok(Index {
        metadata,
        fencing,
        is_trusted,
        _lock: Arc::new(lock),
        _scratch: Arc::new(scratch),
    })
}

/// One process works on a storage folder at a time.
async fn lock(storage: &Storage) -> Result<Option<StateLock>> {
    let name = StateName::new("lock").context("the lock has no legal name")?;
    match storage
        .state()
        .lock(&name)
        .await
        .context("the storage folder cannot be locked")?
    {
        Some(lock) => Ok(Some(lock)),
        None => bail!(
            "another wharf process works on this storage folder (it holds wharf/lock): stop it first, or give this one another folder"
        ),
    }
}

/// The database file: as configured, else in `wharf/` beside `docker/`, else a folder that is
/// gone with the process.
async fn locate(config: &Config, storage: &Storage) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(path) = &config.database.path {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("the folder {} of database.path cannot be made", folder.display()))?;
        }
        return Ok((path.clone(), None));
    }
    if let Some(volume) = storage.state().volume().await?
        && let Some(kind) = volume.network
    {
        bail!(
            "the storage folder lies on a network filesystem ({kind}), where an SQLite index is not safe: set database.path to a file on a local disk"
        );
    }
    match storage.state().folder().await? {
        Some(folder) => Ok((folder.join(FILE), None)),
        None => {
            let scratch = tempfile::tempdir().context("no folder for the index of an in-memory storage")?;
            Ok((scratch.path().join(FILE), Some(scratch)))
        }
    }
}

/// Compares the index with the storage and works off what a crash has left.
///
/// # Errors
///
/// Storage or index cannot be read or written.
pub async fn prepare(
    config: &Config,
    index: &Index,
    storage: &Storage,
    mirror: &Mirror,
    adoption: &Adoption,
    health: &Health,
) -> Result<()> {
    let random = super::random();
    if let Verdict::Different(mismatch) = identity::check(&index.metadata, storage, &random).await? {
        index.is_trusted.store(false, std::sync::atomic::Ordering::Release);
        let reason = format!(
            "the storage is not the one that the index knows: expected {}, found {}. Nothing is served, removed or collected. \
             Mount the right volume, or accept the loss with: wharf index accept-storage",
            mismatch.expected, mismatch.found
        );
        health.fail(Scope::Gate, CHECK, reason);
        adoption.trust();
        return Ok(());
    }
    storage.state().clear_temporaries().await?;
    let replayed = mirror
        .recover()
        .await
        .context("what a crash has left in the index cannot be worked off")?;
    let recovered = upload_purge::recover_writing(&index.metadata, storage, (super::clock())()).await?;
    if replayed + recovered > 0 {
        tracing::info!(
            links = replayed,
            blobs = recovered,
            "finished what the last process had left"
        );
    }
    if config.storage.foreign_writers == ForeignWriters::Never && index.is_complete()? {
        adoption.trust();
    }
    Ok(())
}

impl Index {
    /// Whether storage and index belong together.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted.load(std::sync::atomic::Ordering::Acquire)
    }

    fn is_complete(&self) -> Result<bool> {
        Ok(self.metadata.read(wharf_metadata::adoption::completeness)?.is_complete)
    }

    /// Renews the owner record and copies the write-ahead log into the database.
    ///
    /// # Errors
    ///
    /// Failures of the disk.
    pub async fn maintain(&self) -> Result<()> {
        let (fencing, now) = (self.fencing, (super::clock())().into());
        self.metadata
            .write(move |tx| wharf_metadata::ownership::heartbeat(tx, fencing, now))
            .await?;
        self.metadata.checkpoint().await?;
        Ok(())
    }

    /// Gives the index back and closes it.
    pub async fn close(self) {
        let (fencing, now) = (self.fencing, (super::clock())().into());
        let released = self
            .metadata
            .write(move |tx| wharf_metadata::ownership::release(tx, fencing, now))
            .await;
        if let Err(error) = released {
            tracing::warn!(%error, "the index could not be given back");
        }
        let metadata = self.metadata.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || metadata.close()).await {
            tracing::warn!(%error, "the index was not closed in order");
        }
    }
}
