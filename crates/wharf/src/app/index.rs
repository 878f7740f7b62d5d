//! The index: where it lies, who owns it, and whether it belongs to the storage.
//!
//! An index on a server beside a storage that several processes can write belongs to nobody: every
//! process serves and writes, and what only one may do at a time it does in a turn.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, bail};
use wharf_metadata::server::Config as ServerConfig;
use wharf_metadata::sqlite::Config as SqliteConfig;
use wharf_metadata::{Location, Metadata, ownership};
use wharf_registry::garbage_collection;
use wharf_registry::identity::{self, Mismatch, Verdict};
use wharf_registry::turns::Turns;
use wharf_registry::upload_purge;
use wharf_storage::{StateLock, StateName, Storage};

use super::bucket::{self, claim::Claim};
use super::{Workings, backup, database};
use crate::config::{Config, ForeignWriters, Origin};
use crate::health::Scope;

/// The open index of this process. Cloning shares it.
#[derive(Clone)]
pub struct Index {
    /// The handle.
    pub metadata: Metadata,
    /// What one of several processes does at a time.
    pub turns: Turns,
    state: Arc<State>,
}

struct State {
    /// The number of the owner record; 0 while this process stands by.
    fencing: AtomicI64,
    is_trusted: AtomicBool,
    /// Names this process among all that ever were.
    name: String,
    /// Held while this process owns the index.
    lock: Mutex<Option<StateLock>>,
    _scratch: Option<tempfile::TempDir>,
    /// Of the owner, where the storage is a bucket.
    claim: OnceLock<Claim>,
}

/// The file in `wharf/` that holds the index.
const FILE: &str = "index.db";
/// An owner of the index that lives says so more often than this.
const SIGN_OF_LIFE: std::time::Duration = std::time::Duration::from_secs(12);
/// The name of the check in `/readyz` and `/debug/health`.
const CHECK: &str = "storage identity";

/// Opens the index and takes it over, or stands by while another process owns it.
///
/// # Errors
///
/// The volume cannot hold it, or it is broken: each with what to do.
pub async fn open(config: &Config, storage: &Storage) -> Result<Index> {
    if let Some(server) = database::server(config)?
        && is_shared(storage)
    {
        return Box::pin(open_shared(config, storage, server)).await;
    }
    let local = bucket::beside(config, storage)?;
    let lock = lock(&local).await?;
    let is_owner = lock.is_some();
    let (location, scratch) = place(config, &local, is_owner).await?;
    if scratch.is_some() {
        backup::refuse_to_lose_accounts(config, storage)?;
    }
    let shown = location.to_string();
    let opened = tokio::task::spawn_blocking(move || Metadata::open(location)).await?;
    let metadata = opened.with_context(|| match is_owner {
        true => format!("the index {shown} cannot be opened"),
        false => format!("another wharf process works on this storage folder, and its index {shown} cannot be read"),
    })?;
    let index = Index::new(metadata, lock, scratch);
    if is_owner {
        index.claim_bucket(storage, &local).await?;
        index.refuse_strangers(storage).await?;
        backup::recover(config, &index.metadata, storage).await?;
        index.claim().await?;
    }
    Ok(index)
}

/// Opens an index that other processes serve and write as well.
async fn open_shared(config: &Config, storage: &Storage, server: ServerConfig) -> Result<Index> {
    let shown = server.to_string();
    let opened = tokio::task::spawn_blocking(move || Metadata::open(Location::Server(Box::new(server)))).await?;
    let metadata = opened.with_context(|| format!("the index {shown} cannot be opened"))?;
    metadata.share();
    let index = Index::new(metadata, None, None);
    index
        .at_start(Box::pin(backup::recover(config, &index.metadata, storage)))
        .await?;
    tracing::info!(
        process = index.name(),
        "the storage can be shared, and a server keeps the index: every process on both serves and writes"
    );
    Ok(index)
}

/// Whether several processes can write a storage at the same time.
fn is_shared(storage: &Storage) -> bool {
    // for tests on a folder, in programs that are no releases
    storage.is_shared() || cfg!(debug_assertions) && std::env::var_os("WHARF_TEST_SHARED_STORAGE").is_some()
}

/// Where the index is, and how this process may open it.
async fn place(config: &Config, storage: &Storage, is_owner: bool) -> Result<(Location, Option<tempfile::TempDir>)> {
    if let Some(server) = database::server(config)? {
        let server = if is_owner { server } else { server.standby() };
        return Ok((Location::Server(Box::new(server)), None));
    }
    let (path, scratch) = locate(config, storage).await?;
    let file = SqliteConfig::new(path);
    let file = if is_owner { file } else { file.standby() };
    Ok((Location::Sqlite(file), scratch))
}

/// One process works on a storage folder at a time; `None` while another one does.
pub(super) async fn lock(storage: &Storage) -> Result<Option<StateLock>> {
    let name = StateName::new("lock").context("the lock has no legal name")?;
    storage
        .state()
        .lock(&name)
        .await
        .context("the storage folder cannot be locked")
}

/// The database file: as configured, else in `wharf/` beside `docker/`, else a folder that is
/// gone with the process.
pub(super) async fn locate(config: &Config, storage: &Storage) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
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
        if config.access.accounts {
            bail!(
                "the storage folder lies on a network filesystem ({kind}), where an SQLite index is not safe: \
                 set database.path to a file on a local disk"
            );
        }
        // images can be found again in the storage; accounts could not
        tracing::warn!(
            filesystem = kind,
            "the storage folder lies on a network filesystem, where an SQLite index is not safe: it is rebuilt in a local \
             folder at every start. Set database.path to a file on a local disk to keep it"
        );
        return scratch();
    }
    match storage.state().folder().await? {
        Some(folder) => Ok((folder.join(FILE), None)),
        None => scratch(),
    }
}

/// An index that is gone with the process.
fn scratch() -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().context("no local folder for the index")?;
    Ok((folder.path().join(FILE), Some(folder)))
}

/// Compares the index with the storage and works off what a crash has left.
///
/// # Errors
///
/// Storage or index cannot be read or written.
pub async fn prepare(config: &Config, workings: &Workings) -> Result<()> {
    let Workings {
        index,
        storage,
        mirror,
        adoption,
        lifecycle,
        health,
        ..
    } = workings;
    let random = super::random();
    adoption.refuse();
    let checking = async { Ok(identity::check(&index.metadata, storage, &random).await?) };
    if let Verdict::Different(mismatch) = index.at_start(Box::pin(checking)).await? {
        index.state.is_trusted.store(false, Ordering::Release);
        health.fail(Scope::Gate, CHECK, doubt(config, &mismatch));
        return Ok(());
    }
    adoption.admit();
    if index.is_shared() {
        // what a process has left is found by the others while they serve
        if adoption.is_complete().await? {
            adoption.trust();
        } else {
            adoption.follow_others(true);
        }
        index.state.is_trusted.store(true, Ordering::Release);
        health.recover(Scope::Gate, CHECK);
        return Ok(());
    }
    storage.state().clear_temporaries().await?;
    let replayed = mirror
        .recover()
        .await
        .context("what a crash has left in the index cannot be worked off")?;
    if let Err(error) = lifecycle.deletions.recover().await {
        tracing::error!(%error, "a repository is deleted, but its folder is still there; it is tried again every minute");
    }
    let recovered = upload_purge::recover_writing(&index.metadata, storage, (super::clock())()).await?;
    let undeleted = garbage_collection::recover_deleting(&index.metadata, storage, (super::clock())()).await?;
    if replayed + recovered + undeleted > 0 {
        tracing::info!(
            links = replayed,
            blobs = recovered + undeleted,
            "finished what the last process had left"
        );
    }
    if config.storage.foreign_writers == ForeignWriters::Never && index.is_complete().await? {
        adoption.trust();
    }
    index.state.is_trusted.store(true, Ordering::Release);
    health.recover(Scope::Gate, CHECK);
    Ok(())
}

/// Why nothing is served, and what to do about it.
fn doubt(config: &Config, mismatch: &Mismatch) -> String {
    let folder = match super::storage_root(config) {
        Some(root) => format!("the storage folder {}", root.display()),
        None => "the storage".to_owned(),
    };
    let command = match &config.origin {
        Origin::File(path) => format!("wharf index accept-storage {}", quoted(path)),
        Origin::Defaults => "wharf index accept-storage".to_owned(),
    };
    let (expected, found) = (&mismatch.expected, &mismatch.found);
    let (what, remedy) = match mismatch.is_partial {
        true => (
            "is not all there",
            "Mount the right volume or finish the copy, and restart",
        ),
        false => (
            "is not the one that the index knows",
            "Mount the right volume and restart",
        ),
    };
    format!(
        "{folder} {what}: expected {expected}, found {found}. Nothing is served, removed or collected. {remedy}, or \
         accept the loss with `{command}`"
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&byte);
    if text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What went wrong in work that is done in a turn.
struct Failure(anyhow::Error);

impl From<wharf_registry::Error> for Failure {
    fn from(error: wharf_registry::Error) -> Self {
        Self(error.into())
    }
}

/// The turn of what a start does alone.
const START: &str = "start";

impl Index {
    fn new(metadata: Metadata, lock: Option<StateLock>, scratch: Option<tempfile::TempDir>) -> Self {
        let mut nonce = [0_u8; 12];
        (super::random())(&mut nonce);
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}-{nonce}", std::process::id());
        let turns = Turns::new(metadata.clone(), &name, super::clock());
        let state = State {
            fencing: AtomicI64::new(0),
            is_trusted: AtomicBool::new(true),
            name,
            lock: Mutex::new(lock),
            _scratch: scratch,
            claim: OnceLock::new(),
        };
        Self {
            metadata,
            turns,
            state: Arc::new(state),
        }
    }

    /// What this process calls itself, and no other does or ever did.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Whether other processes may serve and write as well.
    pub fn is_shared(&self) -> bool {
        self.metadata.is_shared()
    }

    /// Does what a start does while no other process does the same.
    pub(super) async fn at_start<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = Box::pin(async { work.await.map_err(Failure) });
        let done = self.turns.clone().short().alone(START, work).await;
        done.map_err(|failure| failure.0)
    }

    /// Whether this process may write the index, rather than standing by.
    pub fn is_owner(&self) -> bool {
        self.is_shared() || self.state.fencing.load(Ordering::Acquire) > 0
    }

    /// Takes the index over when nobody owns it any more; `false` while somebody does.
    ///
    /// # Errors
    ///
    /// The index cannot be opened for writing.
    pub async fn take_over(&self, config: &Config, storage: &Storage) -> Result<bool> {
        let local = bucket::beside(config, storage)?;
        let Some(lock) = lock(&local).await? else {
            return Ok(false);
        };
        self.claim_bucket(storage, &local).await?;
        let metadata = self.metadata.clone();
        tokio::task::spawn_blocking(move || metadata.start_writing()).await??;
        *self.lock() = Some(lock);
        self.claim().await?;
        Ok(true)
    }

    /// The lock of the storage folder says that no other process works on this storage. On a server
    /// one that works on another storage may be using the same database: it must not be stopped.
    async fn refuse_strangers(&self, storage: &Storage) -> Result<()> {
        if self.metadata.path().is_some() {
            return Ok(());
        }
        let (known, stored) = (identity::known(&self.metadata).await?, identity::stored(storage).await?);
        if known.is_none() || known == stored {
            return Ok(());
        }
        let Some(before) = self.metadata.read(ownership::find).await? else {
            return Ok(());
        };
        if before.released_at.is_some() {
            return Ok(());
        }
        tracing::info!(
            owner = before.detail,
            "the database knows another storage: looking whether its owner lives"
        );
        tokio::time::sleep(SIGN_OF_LIFE).await;
        let after = self.metadata.read(ownership::find).await?;
        if after.is_some_and(|after| after.heartbeat_at != before.heartbeat_at || after.fencing != before.fencing) {
            bail!(
                "another registry, which keeps its images elsewhere, works on the database {} ({}): give each its own",
                self.metadata.location(),
                before.detail
            );
        }
        Ok(())
    }

    /// Tells processes on other machines that this one works on the bucket.
    async fn claim_bucket(&self, storage: &Storage, local: &Storage) -> Result<()> {
        if storage.is_shared() && self.metadata.path().is_some() && self.state.claim.get().is_none() {
            let claim = Claim::take(storage, local).await?;
            // nobody else sets it
            drop(self.state.claim.set(claim));
        }
        Ok(())
    }

    /// Says that this process lives; `false` when another one has taken the bucket.
    ///
    /// # Errors
    ///
    /// The bucket does not answer.
    pub async fn renew_claim(&self) -> Result<bool> {
        match self.state.claim.get() {
            Some(claim) => claim.renew().await,
            None => Ok(true),
        }
    }

    async fn claim(&self) -> Result<()> {
        let process = std::process::id();
        let detail = format!("process {process} of wharf {}", super::VERSION);
        let now = (super::clock())().into();
        let claimed = self.metadata.claim(&process.to_string(), &detail, now).await;
        let fencing = claimed.context("the index cannot be taken over")?;
        self.state.fencing.store(fencing, Ordering::Release);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<StateLock>> {
        self.state.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether storage and index belong together.
    pub fn is_trusted(&self) -> bool {
        self.state.is_trusted.load(Ordering::Acquire)
    }

    async fn is_complete(&self) -> Result<bool> {
        Ok(self
            .metadata
            .read(wharf_metadata::adoption::completeness)
            .await?
            .is_complete)
    }

    /// Renews the owner record and copies the write-ahead log into the database.
    ///
    /// # Errors
    ///
    /// Failures of the disk.
    pub async fn maintain(&self) -> Result<()> {
        if self.state.fencing.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let (fencing, now) = (self.state.fencing.load(Ordering::Acquire), (super::clock())().into());
        let renewed = self
            .metadata
            .write(move |tx| ownership::heartbeat(tx, fencing, now))
            .await?;
        if !renewed {
            tracing::error!("another process owns the index now: this one writes no more; stop one of them");
        }
        self.metadata.checkpoint().await?;
        Ok(())
    }

    /// Gives the index back and closes it.
    pub async fn close(self) {
        if self.state.fencing.load(Ordering::Acquire) > 0 {
            let (fencing, now) = (self.state.fencing.load(Ordering::Acquire), (super::clock())().into());
            let released = self
                .metadata
                .write(move |tx| ownership::release(tx, fencing, now))
                .await;
            if let Err(error) = released {
                tracing::warn!(%error, "the index could not be given back");
            }
        }
        if let Some(claim) = self.state.claim.get()
            && let Err(error) = claim.release().await
        {
            tracing::warn!(%error, "the bucket could not be given back: another machine would wait for a while");
        }
        let metadata = self.metadata.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || metadata.close()).await {
            tracing::warn!(%error, "the index was not closed in order");
        }
        // the next owner may begin
        *self.lock() = None;
    }
}
