//! The identity of the storage (consistency rule 16): an unmounted volume must not look like mass
//! deletion.

use serde_json::{Value, json};
use wharf_metadata::{Metadata, repositories, settings};
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{Detail, FolderTimes, LinkState, StateName, Storage};

use crate::{Error, Random, Result};

/// The setting that holds the identity as the index knows it.
pub const SETTING: &str = "storage.identity";
/// Set by the command that accepts a loss, taken away by the start that follows.
const ACCEPTED: &str = "storage.accepted";
/// Repositories that are looked for in the storage; more are sampled.
const MOST_SAMPLED: usize = 2_000;
/// Repositories that are looked for in one go.
const AT_ONCE: usize = 500;
/// Fewer repositories than this may vanish together: somebody tidied up. Fewer images than this may
/// lack their bytes.
const FEW: usize = 4;
/// Tags whose images are looked for in a storage that is new to us, and how many of each repository.
const TAGS_SAMPLED: usize = 256;
const TAGS_OF_EACH: usize = 8;

/// What a comparison of storage and index said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They belong together.
    Same,
    /// They do not: nothing may be removed, collected or served.
    Different(Mismatch),
}

/// Why storage and index do not belong together, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the index expects.
    pub expected: String,
    /// What the storage holds.
    pub found: String,
    /// The storage may well be the right one, but it is not all there: a copy that was cut short, or
    /// is still under way.
    pub is_partial: bool,
}

/// Compares the storage with what the index knows, and writes the identity of new ones.
///
/// # Errors
///
/// Storage or index cannot be read or written.
pub async fn check(metadata: &Metadata, storage: &Storage, random: &Random) -> Result<Verdict> {
    let stored = read(storage).await?;
    let known: Option<String> = metadata.read(|tx| settings::get_text(tx, SETTING)).await?;
    let names = metadata
        .read_long(|tx| repositories::page_names(tx, None, MOST_SAMPLED))
        .await?;
    if metadata.read(|tx| settings::get_text(tx, ACCEPTED)).await?.is_some() {
        let id = stored.clone().unwrap_or_else(|| new_id(random));
        unite(metadata, storage, &id, stored.is_none()).await?;
        return Ok(Verdict::Same);
    }
    let expected = || {
        format!(
            "the storage {} with {} repositories or more",
            known.as_deref().unwrap_or("?"),
            names.len()
        )
    };
    if names.is_empty()
        && let Some(mismatch) = copied_in_part(storage).await?
    {
        return Ok(Verdict::Different(mismatch));
    }
    match (&stored, &known) {
        (None, None) => unite(metadata, storage, &new_id(random), true).await?,
        (None, Some(id)) if names.is_empty() => unite(metadata, storage, id, true).await?,
        (Some(id), None) => unite(metadata, storage, id, false).await?,
        (None, Some(_)) => {
            let found = "a folder without wharf/identity.json: empty, not mounted, or another one".to_owned();
            return Ok(Verdict::Different(Mismatch {
                expected: expected(),
                found,
                is_partial: false,
            }));
        }
        (Some(stored), Some(known)) if stored != known => {
            let found = format!("the storage {stored}, which belongs to another index");
            return Ok(Verdict::Different(Mismatch {
                expected: expected(),
                found,
                is_partial: false,
            }));
        }
        (Some(_), Some(_)) => {}
    }
    let missing = count_missing(storage, &names).await?;
    if missing == names.len() && missing > 0 || missing >= FEW && missing * 2 > names.len() {
        let found = format!("{missing} of {} repositories have no folder any more", names.len());
        return Ok(Verdict::Different(Mismatch {
            expected: expected(),
            found,
            is_partial: true,
        }));
    }
    Ok(Verdict::Same)
}

/// Accepts what the storage holds now: the next start takes it for true, and what is gone from it
/// goes from the index.
///
/// # Errors
///
/// The index cannot be written.
pub async fn accept(metadata: &Metadata) -> Result<()> {
    metadata
        .write(|tx| settings::set(tx, ACCEPTED, b"1"))
        .await
        .map_err(Error::from)
}

/// The identity that a storage has; `None` for an empty one, one that is not mounted, or one that no
/// Wharf has served.
///
/// # Errors
///
/// The storage cannot be read.
pub async fn stored(storage: &Storage) -> Result<Option<String>> {
    read(storage).await
}

/// The identity of the storage that an index knows; `None` for a new index.
///
/// # Errors
///
/// The index cannot be read.
pub async fn known(metadata: &Metadata) -> Result<Option<String>> {
    Ok(metadata.read(|tx| settings::get_text(tx, SETTING)).await?)
}

/// The epoch of the last comparison as the storage remembers it, 0 when there was none: an index with
/// a smaller one is older than its storage (consistency rule 1).
///
/// # Errors
///
/// The storage cannot be read.
pub async fn stored_epoch(storage: &Storage) -> Result<i64> {
    let name = StateName::new("epoch").ok_or(Error::Unsupported("the epoch file has no legal name"))?;
    let stored = storage.state().read(&name).await?;
    Ok(stored
        .and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok())
        .unwrap_or(0))
}

/// Whether the storage can be told to be ours rather than an empty place where it should be mounted.
///
/// # Errors
///
/// The storage cannot be read.
pub(crate) async fn is_there(storage: &Storage) -> Result<bool> {
    Ok(read(storage).await?.is_some())
}

async fn read(storage: &Storage) -> Result<Option<String>> {
    let Some(bytes) = storage.state().read(&file()?).await? else {
        return Ok(None);
    };
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(value.get("id").and_then(Value::as_str).map(str::to_owned))
}

async fn unite(metadata: &Metadata, storage: &Storage, id: &str, is_new: bool) -> Result<()> {
    if is_new {
        let content = json!({ "id": id, "note": "written by wharf: the index of this storage knows it by this id" });
        storage.state().write(&file()?, content.to_string().into()).await?;
    }
    let id = id.to_owned();
    let written = metadata.write(move |tx| {
        settings::set(tx, SETTING, id.as_bytes())?;
        settings::remove(tx, ACCEPTED)
    });
    written.await.map_err(Error::from)
}

fn file() -> Result<StateName> {
    StateName::new("identity.json").ok_or(Error::Unsupported("the identity file has no legal name"))
}

fn new_id(random: &Random) -> String {
    let mut bytes = [0u8; 16];
    random(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Looks for the images of some tags in a storage that no index knows yet. Half of a copy, taken for
/// all there is, would be an index without most images.
async fn copied_in_part(storage: &Storage) -> Result<Option<Mismatch>> {
    let named = sample(storage).await;
    let sizes = storage.blobs().stat_all(&named).await?;
    let missing = sizes.iter().filter(|size| size.is_none()).count();
    let is_partial = missing >= FEW && missing * 2 > named.len();
    Ok(is_partial.then(|| Mismatch {
        expected: format!("the manifests of {} tags", named.len()),
        found: format!("{missing} of them without bytes under blobs/"),
        is_partial,
    }))
}

/// What some tags point to. A folder that cannot be read is the adoption's to tell.
async fn sample(storage: &Storage) -> Vec<Digest> {
    let mut named = Vec::new();
    let walk = storage.walk();
    let mut repositories = walk.repositories();
    while let Ok(Some(chunk)) = repositories.next().await {
        for repository in chunk.found {
            let mut tags = walk.tags(&repository.name, Detail::Content);
            let Ok(Some(links)) = tags.next().await else { continue };
            let digests = links.found.iter().filter_map(|link| match link.state {
                LinkState::Whole(record) => Some(record.digest),
                _ => None,
            });
            named.extend(digests.take(TAGS_OF_EACH));
            if named.len() >= TAGS_SAMPLED {
                return named;
            }
        }
    }
    named
}

async fn count_missing(storage: &Storage, names: &[RepositoryName]) -> Result<usize> {
    let mut missing = 0;
    for names in names.chunks(AT_ONCE) {
        let times = storage.walk().times_of(names).await?;
        let is_missing = |times: &&FolderTimes| **times == FolderTimes::default();
        missing += times.iter().filter(is_missing).count();
    }
    Ok(missing)
}
