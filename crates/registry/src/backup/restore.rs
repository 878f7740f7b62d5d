//! Reading backups, and putting them back.

use std::io::Read;
use std::sync::Arc;

use wharf_metadata::error::Kind;
use wharf_metadata::transfer::{self, Chunk, Origin};
use wharf_metadata::{Metadata, settings};

use super::create::blocking;
use super::error::{Error, Result};
use super::format::{self, Header, Reader, Totals};
use super::key::BackupKey;
use super::seal::{self, Opener};
use crate::identity;

/// A backup whose header was read.
pub struct Opened {
    reader: Reader<Box<dyn Read + Send>>,
    header: Header,
    is_encrypted: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("header", &self.header)
            .field("is_encrypted", &self.is_encrypted)
            .finish_non_exhaustive()
    }
}

impl Opened {
    /// Reads the beginning of a backup. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NotABackup`], [`Error::NewerFormat`], [`Error::NeedsKey`], [`Error::WrongKey`] or
    /// [`Error::Damaged`]; a newer schema.
    pub fn new(mut file: impl Read + Send + 'static, key: Option<&BackupKey>) -> Result<Self> {
        let is_encrypted = match magic(&mut file)? {
            Some(magic) if magic == *seal::MAGIC => true,
            Some(magic) if magic == *format::MAGIC => false,
            _ => return Err(Error::NotABackup),
        };
        let mut inner: Box<dyn Read + Send> = Box::new(file);
        if is_encrypted {
            inner = Box::new(Opener::new(inner, key)?);
            if magic(&mut inner)?.is_none_or(|magic| magic != *format::MAGIC) {
                return Err(Error::Damaged("there is no backup in it"));
            }
        }
        let (reader, header) = Reader::new(inner)?;
        transfer::check_step(header.schema)?;
        Ok(Self {
            reader,
            header,
            is_encrypted,
        })
    }

    /// What it says about itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether a key was needed.
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Reads all of it and answers what it holds. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is not as it was written.
    pub fn verify(mut self) -> Result<Totals> {
        while self.reader.next()?.is_some() {}
        Ok(self.reader.totals().clone())
    }
}

/// Bytes enough to tell what a file is; `None` when there are fewer.
fn magic(file: &mut impl Read) -> Result<Option<[u8; 12]>> {
    let mut magic = [0; 12];
    let count = format::read_up_to(file, &mut magic)?;
    Ok((count == magic.len()).then_some(magic))
}

/// How a backup is put back.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Replace what is in the index, and accept another storage.
    pub force: bool,
    /// The identity of the storage that the index will serve, when it has one.
    pub storage: Option<String>,
    /// The epoch that the storage remembers.
    pub epoch: i64,
    /// Now.
    pub now: jiff::Timestamp,
}

impl Restore {
    /// Refuses a backup that was made beside another storage (consistency rule 16).
    ///
    /// # Errors
    ///
    /// [`Error::OtherStorage`], unless it is to be forced.
    pub fn check(&self, header: &Header) -> Result<()> {
        match (&header.storage, &self.storage) {
            (Some(saved), found) if !self.force && found.as_ref() != Some(saved) => Err(Error::OtherStorage {
                saved: saved.clone(),
                found: found.clone().unwrap_or_else(|| "one without an identity".to_owned()),
            }),
            _ => Ok(()),
        }
    }
}

/// Puts a backup into an index. Until it has ended well the index counts as unfinished; after it
/// nothing is collected before everything was compared with the storage (consistency rule 1).
/// `progress` is told the table and how many of its rows are there.
///
/// # Errors
///
/// [`Error::NotEmpty`] and [`Error::OtherStorage`], unless it is forced; [`Error::Damaged`];
/// failures of the index.
pub async fn restore(
    opened: Opened,
    metadata: &Metadata,
    how: Restore,
    mut progress: impl FnMut(&str, u64) + Send + 'static,
) -> Result<Totals> {
    how.check(&opened.header)?;
    begin(metadata, Origin::Backup, how.force).await?;
    let mut reader = opened.reader;
    let index = metadata.clone();
    let totals = blocking(move || {
        while let Some(chunk) = reader.next()? {
            let table = chunk.table().to_owned();
            insert(&index, chunk)?;
            progress(&table, reader.totals().rows.get(&table).copied().unwrap_or_default());
        }
        Ok(reader.totals().clone())
    })
    .await?;
    finish(metadata, &totals, how).await?;
    Ok(totals)
}

pub(super) async fn begin(metadata: &Metadata, origin: Origin, force: bool) -> Result<()> {
    let begun = metadata.write(move |tx| transfer::begin(tx, origin, force)).await;
    begun.map_err(|error| match error.kind() {
        Kind::Unique => Error::NotEmpty,
        _ => error.into(),
    })
}

pub(super) fn insert(metadata: &Metadata, chunk: Chunk) -> Result<()> {
    let chunk = Arc::new(chunk);
    let inserted: std::result::Result<(), wharf_metadata::Error> =
        metadata.write_blocking(move |tx| transfer::insert(tx, &chunk));
    Ok(inserted?)
}

/// One transaction makes the rows an index that may be served.
pub(super) async fn finish(metadata: &Metadata, totals: &Totals, how: Restore) -> Result<()> {
    let rows: Vec<(String, u64)> = totals.rows.clone().into_iter().collect();
    let sequences: Vec<(String, i64)> = totals.sequences.clone().into_iter().collect();
    let set: std::result::Result<(), wharf_metadata::Error> =
        metadata.write(move |tx| transfer::set_sequences(tx, &sequences)).await;
    set?;
    let finished = metadata.write(move |tx| {
        transfer::finish(tx, &rows)?;
        if let Some(storage) = &how.storage {
            settings::set(tx, identity::SETTING, storage.as_bytes())?;
        }
        transfer::settle(tx, how.epoch, how.now.into())
    });
    let _epoch: i64 = finished.await?;
    Ok(())
}
