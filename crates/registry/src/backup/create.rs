//! Making backups.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write};
use std::path::Path;
use std::sync::Arc;

use wharf_metadata::audit_log::{self, Line};
use wharf_metadata::transfer::{self, Purpose};
use wharf_metadata::{Metadata, Tx, adoption, settings};

use super::error::{Error, Result};
use super::format::{FORMAT, Header, Totals, Writer};
use super::key::BackupKey;
use super::seal::Sealer;
use crate::{Clock, Random, identity};

/// Makes backups of an index. Cloning shares it.
#[derive(Clone)]
pub struct Backups {
    metadata: Metadata,
    key: Option<Arc<BackupKey>>,
    clock: Clock,
    random: Random,
}

/// Whether a backup is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// With the key of the configuration, when there is one.
    WhereThereIsAKey,
    /// Not at all: the file holds password hashes and signing keys in clear.
    Plain,
}

/// Who takes a backup away.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    /// The name.
    pub name: &'a str,
    /// The network address; empty on the machine itself.
    pub address: &'a str,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// What it says about itself.
    pub header: Header,
    /// What it holds.
    pub totals: Totals,
    /// The id of the key that opens it; `None` when it is not encrypted.
    pub key: Option<String>,
}

impl std::fmt::Debug for Backups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backups")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Backups {
    /// Of this index, encrypted with `key` when there is one.
    pub fn new(metadata: Metadata, key: Option<Arc<BackupKey>>, clock: Clock, random: Random) -> Self {
        Self {
            metadata,
            key,
            clock,
            random,
        }
    }

    /// Makes a backup in a file that appears under its name when it is whole and durable; a file
    /// of that name is replaced. Only the user of this process can read it.
    ///
    /// # Errors
    ///
    /// The file cannot be written: then nothing is left of it. The index cannot be read.
    pub async fn create(&self, path: &Path, sealing: Sealing) -> Result<Created> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => ".".into(),
        };
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder)?;
        let created = self.write(unfinished.reopen()?, sealing).await?;
        let path = path.to_owned();
        blocking(move || {
            unfinished.as_file().sync_all()?;
            unfinished.persist(&path).map_err(|error| error.error)?;
            Ok(File::open(&folder)?.sync_all()?)
        })
        .await?;
        Ok(created)
    }

    /// Makes a backup for somebody who takes it away, in a file without a name that is ready to be
    /// read from its start: so a slow reader does not hold a snapshot of the index. Who takes it
    /// knows every secret of the registry, so the audit log tells.
    ///
    /// # Errors
    ///
    /// As [`Backups::create`].
    pub async fn hand_out(&self, taker: Taker<'_>, sealing: Sealing) -> Result<(File, Created)> {
        let mut file = match self.metadata.path().and_then(|path| path.parent()) {
            Some(folder) if !folder.as_os_str().is_empty() => tempfile::tempfile_in(folder)?,
            _ => tempfile::tempfile()?,
        };
        let line = Line {
            id: 0,
            at: (self.clock)().into(),
            actor: taker.name.to_owned(),
            action: "backup.create".to_owned(),
            subject: "index".to_owned(),
            detail: String::new(),
            address: taker.address.to_owned(),
            result: "ok".to_owned(),
        };
        let noted = self.metadata.write(move |tx| audit_log::append(tx, &line));
        let _row: i64 = noted.await?;
        let created = self.write(file.try_clone()?, sealing).await?;
        file.rewind()?;
        Ok((file, created))
    }

    /// Writes a backup, without making sure that it is durable.
    ///
    /// # Errors
    ///
    /// `into` cannot be written, or the index cannot be read.
    pub async fn write(&self, into: impl Write + Send + 'static, sealing: Sealing) -> Result<Created> {
        let at = (self.clock)();
        let key = self.key.clone().filter(|_| sealing == Sealing::WhereThereIsAKey);
        let random = Arc::clone(&self.random);
        let into = BufWriter::with_capacity(1 << 16, into);
        let written = self.metadata.read_long(move |tx| {
            let header = header(tx, at)?;
            let totals = match &key {
                None => {
                    let (mut into, totals) = write_all(tx, into, &header)?;
                    into.flush()?;
                    totals
                }
                Some(key) => {
                    let (sealer, totals) = write_all(tx, Sealer::new(into, key, &random)?, &header)?;
                    sealer.finish()?;
                    totals
                }
            };
            let key = key.as_ref().map(|key| key.id().to_owned());
            Ok::<_, Error>(Created { header, totals, key })
        });
        written.await
    }
}

/// What the files that are being written begin with.
pub(super) const UNFINISHED: &str = ".wharf-backup-";

/// What an index says about itself.
pub(super) fn header(tx: &mut Tx<'_>, at: jiff::Timestamp) -> Result<Header> {
    let completeness = adoption::completeness(tx)?;
    Ok(Header {
        format: FORMAT,
        wharf: env!("CARGO_PKG_VERSION").to_owned(),
        schema: transfer::step(tx)?,
        storage: settings::get_text(tx, identity::SETTING)?,
        epoch: completeness.epoch,
        is_complete: completeness.is_complete,
        at,
    })
}

fn write_all<W: Write>(tx: &mut Tx<'_>, into: W, header: &Header) -> Result<(W, Totals)> {
    let mut writer = Writer::new(into, header)?;
    transfer::read(tx, Purpose::Backup, |chunk| writer.rows(&chunk))?;
    writer.finish(transfer::sequences(tx)?)
}

/// Runs what may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Interrupted)?
}
