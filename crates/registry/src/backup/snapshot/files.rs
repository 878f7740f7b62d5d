//! The files of snapshots, below `wharf/snapshots/` of the storage.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use jiff::Timestamp;
use wharf_storage::{StateName, Storage};

use super::super::error::{Error, Result};
use super::super::key::BackupKey;
use super::super::seal::{self, Opener, Sealer};
use crate::Random;

const FOLDER: &str = "snapshots";
const PARTS: &str = "snapshots/parts";
const ENDING: &str = ".snapshot";

/// The name of a snapshot: which index it is of, by a name that the index keeps, and when it was
/// made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) lineage: String,
    pub(super) at: Timestamp,
    pub(super) file: StateName,
}

impl Name {
    pub(super) fn new(lineage: &str, at: Timestamp) -> Result<Self> {
        let file = format!("{FOLDER}/{lineage}-{:017}{ENDING}", at.as_microsecond());
        Ok(Self {
            lineage: lineage.to_owned(),
            at,
            file: legal(&file)?,
        })
    }

    fn parse(file: StateName) -> Option<Self> {
        let name = file.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (lineage, at) = name.strip_suffix(ENDING)?.rsplit_once('-')?;
        let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
        Some(Self {
            lineage: lineage.to_owned(),
            at,
            file,
        })
    }
}

/// All snapshots of a storage, the newest first.
pub(super) async fn names(storage: &Storage) -> Result<Vec<Name>> {
    let files = storage.state().list(&legal(FOLDER)?).await?;
    let mut names: Vec<Name> = files.into_iter().filter_map(Name::parse).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.at));
    Ok(names)
}

/// The names of all parts.
pub(super) async fn parts(storage: &Storage) -> Result<Vec<String>> {
    let files = storage.state().list(&legal(PARTS)?).await?;
    let name = |file: &StateName| file.as_str().rsplit('/').next().map(str::to_owned);
    Ok(files.iter().filter_map(name).collect())
}

pub(super) fn part(name: &str) -> Result<StateName> {
    legal(&format!("{PARTS}/{name}"))
}

fn legal(name: &str) -> Result<StateName> {
    StateName::new(name).ok_or(Error::Damaged("a snapshot names a file that cannot be one"))
}

pub(super) fn seal(content: &[u8], key: &BackupKey, random: &Random) -> Result<Bytes> {
    let mut sealer = Sealer::new(Vec::with_capacity(content.len() + 128), key, random)?;
    sealer.write_all(content)?;
    Ok(sealer.finish()?.into())
}

/// The content of a file that [`seal`] made.
pub(super) fn open(sealed: &[u8], key: &BackupKey) -> Result<Vec<u8>> {
    let rest = sealed
        .strip_prefix(seal::MAGIC.as_slice())
        .ok_or(Error::Damaged("a file of it is something else"))?;
    let mut content = Vec::with_capacity(sealed.len());
    Opener::new(rest, Some(key))?
        .read_to_end(&mut content)
        .map_err(|_| Error::Damaged("a file of it was altered, or its end is missing"))?;
    Ok(content)
}

/// The id of the key that a file was sealed with.
pub(super) fn key_id(sealed: &[u8]) -> Result<String> {
    match Opener::new(sealed.get(seal::MAGIC.len()..).unwrap_or_default(), None) {
        Err(Error::NeedsKey { needed }) => Ok(needed),
        Err(error) => Err(error),
        Ok(_) => Err(Error::Damaged("it was opened without a key")),
    }
}
