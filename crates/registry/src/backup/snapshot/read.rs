//! Finding snapshots, and going on from one.

use jiff::Timestamp;
use wharf_metadata::Metadata;
use wharf_metadata::transfer::{Chunk, Origin};
use wharf_storage::Storage;

use super::super::create::blocking;
use super::super::error::{Error, Result};
use super::super::format::{FORMAT, Header, Totals, parse, unpack};
use super::super::key::BackupKey;
use super::super::restore::{Restore, begin, finish, insert};
use super::files::{self, Name};
use super::{List, Part};

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file below `wharf/`.
    pub file: String,
    /// Which index it is of: equal for all snapshots of one.
    pub lineage: String,
    /// When it was made.
    pub at: Timestamp,
    /// The id of the key that opens it; `None` when the file is damaged.
    pub key: Option<String>,
}

/// What a start went on from.
#[derive(Debug)]
pub struct Recovered {
    /// The file below `wharf/`.
    pub file: String,
    /// What it says about itself.
    pub header: Header,
    /// What it held.
    pub totals: Totals,
    /// Newer ones that could not be read.
    pub skipped: Vec<Skipped>,
}

/// A snapshot that could not be read.
#[derive(Debug)]
pub struct Skipped {
    /// The file below `wharf/`.
    pub file: String,
    /// Why.
    pub error: Error,
}

/// All snapshots of a storage, the newest first.
///
/// # Errors
///
/// The storage cannot be read.
pub async fn find(storage: &Storage) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in files::names(storage).await? {
        let sealed = storage.state().read(&name.file).await?.unwrap_or_default();
        found.push(Found {
            file: name.file.as_str().to_owned(),
            lineage: name.lineage,
            at: name.at,
            key: files::key_id(&sealed).ok(),
        });
    }
    Ok(found)
}

/// Which snapshot is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The newest one that can be read.
    Newest,
    /// The one with this [`Found::file`].
    File(&'a str),
}

/// Loads a snapshot into an index that is empty; `None` when there is none. One that cannot be read
/// is an error only if there is no other.
///
/// # Errors
///
/// No snapshot can be read although there are some; failures of storage and index.
pub async fn restore_snapshot(
    metadata: &Metadata,
    storage: &Storage,
    (choice, key): (Choice<'_>, &BackupKey),
    how: Restore,
) -> Result<Option<Recovered>> {
    let mut skipped = Vec::new();
    let names = files::names(storage).await?;
    let is_meant = |name: &Name| match choice {
        Choice::Newest => true,
        Choice::File(file) => name.file.as_str() == file,
    };
    for name in names.into_iter().filter(is_meant) {
        // read to its end before anything is changed
        let list = match verified(storage, &name, key).await {
            Ok(list) => list,
            Err(error) => {
                let file = name.file.as_str().to_owned();
                skipped.push(Skipped { file, error });
                continue;
            }
        };
        begin(metadata, Origin::Snapshot, how.force).await?;
        for part in &list.parts {
            let chunk = rows(storage, part, key).await?;
            let metadata = metadata.clone();
            blocking(move || insert(&metadata, chunk)).await?;
        }
        finish(metadata, &list.totals, how).await?;
        return Ok(Some(Recovered {
            file: name.file.as_str().to_owned(),
            header: list.header,
            totals: list.totals,
            skipped,
        }));
    }
    match skipped.into_iter().next() {
        Some(skipped) => Err(skipped.error),
        None => Ok(None),
    }
}

/// What a snapshot is made of.
pub(super) async fn list(storage: &Storage, name: &Name, key: &BackupKey) -> Result<List> {
    let sealed = storage.state().read(&name.file).await?;
    let sealed = sealed.ok_or(Error::Damaged("a file of it is missing"))?;
    let list: List = parse(&files::open(&sealed, key)?)?;
    if list.header.format > FORMAT {
        return Err(Error::NewerFormat {
            found: list.header.format,
            known: FORMAT,
        });
    }
    Ok(list)
}

async fn verified(storage: &Storage, name: &Name, key: &BackupKey) -> Result<List> {
    let list = list(storage, name, key).await?;
    wharf_metadata::transfer::check_step(list.header.schema)?;
    let mut totals = Totals::default();
    for part in &list.parts {
        totals.add(&rows(storage, part, key).await?);
    }
    if totals.rows != list.totals.rows {
        return Err(Error::Damaged("it does not hold the rows that it counts"));
    }
    Ok(list)
}

async fn rows(storage: &Storage, part: &Part, key: &BackupKey) -> Result<Chunk> {
    let sealed = storage.state().read(&files::part(&part.name)?).await?;
    let sealed = sealed.ok_or(Error::Damaged("a part of it is missing"))?;
    let rows = unpack(&files::open(&sealed, key)?)?;
    // whole, but another part under this name
    if key.name_of(&rows)? != part.name {
        return Err(Error::Damaged("a part of it was exchanged"));
    }
    let chunk = Chunk::decode(&rows)?;
    if chunk.table() != part.table {
        return Err(Error::Damaged("a part of it was exchanged"));
    }
    Ok(chunk)
}
