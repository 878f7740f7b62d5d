//! The trash in storage: a small file for every manifest that it holds something of, so that it
//! survives a lost index (consistency rules 11 and 13). The files follow the index like links.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wharf_metadata::manifests::{Reference, ReferenceKind};
use wharf_metadata::trash::{self, Key, Kind, Trashed, TrashedTag};
use wharf_metadata::{Metadata, Timestamp, leases, repositories};
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{StateName, Storage};

use crate::keyed_lock::KeyedLock;
use crate::mirror::Claims;
use crate::{Error, Result};

/// The folder below `wharf/`.
const FOLDER: &str = "trash";
/// Files that are looked at in one go.
const BATCH: usize = 200;
/// The form of the files; a later one is not read.
const VERSION: u32 = 1;

/// What a file says.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    repository: String,
    entries: Vec<Item>,
}

/// One entry; times are microseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Item {
    kind: ItemKind,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha512: Option<String>,
    #[serde(default)]
    is_sha512: bool,
    media_type: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    pushed_at: i64,
    pushed_by: String,
    trashed_at: i64,
    trashed_by: String,
    reason: String,
    expires_at: i64,
    tags: Vec<ItemTag>,
    references: Vec<ItemReference>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ItemKind {
    Manifest,
    Tag,
}

#[derive(Serialize, Deserialize)]
struct ItemTag {
    name: String,
    #[serde(default)]
    is_sha512: bool,
}

#[derive(Serialize, Deserialize)]
struct ItemReference {
    kind: ItemReferenceKind,
    digest: String,
    size: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ItemReferenceKind {
    Config,
    Layer,
    Child,
}

type Entries = Vec<(Trashed, Vec<Reference>)>;

/// Keeps the files equal to the index. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    metadata: Metadata,
    storage: Storage,
    locks: KeyedLock<Key>,
    /// Files that follow and wait to become durable, each with its version.
    written: Arc<Mutex<Vec<(Key, i64)>>>,
    /// Files that the storage has refused.
    refused: Arc<Mutex<HashSet<Key>>>,
    /// Where other processes write as well.
    claims: Option<Claims>,
}

impl Files {
    pub(crate) fn new(metadata: Metadata, storage: Storage) -> Self {
        Self {
            metadata,
            storage,
            locks: KeyedLock::default(),
            written: Arc::default(),
            refused: Arc::default(),
            claims: None,
        }
    }

    /// Beside other processes that write to the same.
    pub(crate) fn shared(self, claims: Claims) -> Self {
        Self {
            claims: Some(claims),
            ..self
        }
    }

    /// Makes one file what the index says.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: [`Files::retry`] tries again.
    pub(crate) async fn settle(&self, key: &Key) -> Result<()> {
        let _turn = self.locks.lock(key.clone()).await;
        let outcome = match &self.claims {
            None => self.follow(key).await,
            Some(claims) => self.follow_in_turn(claims, key).await,
        };
        let mut refused = lock(&self.refused);
        match outcome {
            Ok(()) => {
                refused.remove(key);
                Ok(())
            }
            Err(error) => {
                if refused.insert(key.clone()) {
                    tracing::error!(%error, file = key.as_str(), "a file of the trash cannot be written; it is tried again");
                }
                Err(Error::unavailable("the trash cannot be written to the storage", 5))
            }
        }
    }

    /// Works off what the storage has refused.
    pub(crate) async fn retry(&self) {
        let refused: Vec<Key> = lock(&self.refused).iter().cloned().collect();
        for key in refused {
            // what fails again was reported when it failed first
            drop(self.settle(&key).await);
        }
    }

    pub(crate) fn take_written(&self) -> Vec<(Key, i64)> {
        std::mem::take(&mut *lock(&self.written))
    }

    pub(crate) fn put_back(&self, files: Vec<(Key, i64)>) {
        lock(&self.written).extend(files);
    }

    /// One process at a time, and durable before the next one.
    async fn follow_in_turn(&self, claims: &Claims, key: &Key) -> Result<()> {
        let turn = format!("trash/{}", key.as_str());
        claims.take(&turn).await?;
        let followed = self.follow(key).await;
        let settled = self.take_written();
        let flushed = self.storage.links().flush().await;
        let holder = claims.holder();
        let is_durable = flushed.is_ok();
        let ended = self.metadata.write(move |tx| {
            for (file, version) in settled.iter().filter(|_| is_durable) {
                trash::settle_file(tx, file, *version)?;
            }
            leases::release(tx, &turn, &holder)
        });
        let _released: bool = ended.await?;
        flushed?;
        followed
    }

    async fn follow(&self, key: &Key) -> Result<()> {
        let wanted = key.clone();
        let read = self.metadata.read(move |tx| {
            let Some(version) = trash::file_version(tx, &wanted)? else {
                return Ok(None);
            };
            let mut entries: Entries = Vec::new();
            for entry in trash::by_key(tx, &wanted)? {
                let references = trash::references(tx, entry.id)?;
                entries.push((entry, references));
            }
            Ok::<_, wharf_metadata::Error>(Some((version, entries)))
        });
        let Some((version, entries)) = read.await? else {
            return Ok(());
        };
        let name = file(key)?;
        match entries.first() {
            None => self.storage.state().remove_batched(&name).await?,
            Some((first, _)) => {
                let content = write(&first.repository, &entries)?;
                self.storage.state().write_batched(&name, content).await?;
            }
        }
        lock(&self.written).push((key.clone(), version));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes into the index what the files of the storage hold and the index does not know: after the
/// index was lost, or an older one was restored. Repositories should be indexed before. Answers
/// how many entries came back.
///
/// # Errors
///
/// Storage or index fail; what was read until then stays.
pub async fn restore_from_storage(metadata: &Metadata, storage: &Storage) -> Result<u64> {
    let folder = StateName::new(FOLDER).ok_or(Error::Unsupported("the folder of the trash has no legal name"))?;
    let mut restored = 0;
    for batch in storage.state().list(&folder).await?.chunks(BATCH) {
        let keys = batch.iter().filter_map(key).collect();
        let mut found: Entries = Vec::new();
        for key in unknown(metadata, keys).await? {
            let Some(bytes) = storage.state().read(&file(&key)?).await? else {
                continue;
            };
            match read(&key, &bytes) {
                Some(entries) => found.extend(entries),
                None => tracing::warn!(
                    file = key.as_str(),
                    "a file of the trash is not readable: it is left alone"
                ),
            }
        }
        restored += take_over(metadata, found).await?;
    }
    Ok(restored)
}

/// Those of `keys` that the index has nothing of, and nothing to say about.
async fn unknown(metadata: &Metadata, keys: Vec<Key>) -> Result<Vec<Key>> {
    let unknown = metadata.read(move |tx| {
        let mut unknown = Vec::new();
        for key in keys {
            let is_pending = trash::file_version(tx, &key)?.is_some();
            if !is_pending && trash::by_key(tx, &key)?.is_empty() {
                unknown.push(key);
            }
        }
        Ok::<_, wharf_metadata::Error>(unknown)
    });
    Ok(unknown.await?)
}

async fn take_over(metadata: &Metadata, found: Entries) -> Result<u64> {
    if found.is_empty() {
        return Ok(0);
    }
    let written = metadata.write(move |tx| {
        let mut rows: HashMap<RepositoryName, i64> = HashMap::new();
        let mut taken = 0;
        for (entry, references) in &found {
            let repository_id = match rows.get(&entry.repository) {
                Some(id) => *id,
                None => {
                    let row = repositories::find(tx, &entry.repository)?;
                    let id = row.map_or(0, |repository| repository.id);
                    rows.insert(entry.repository.clone(), id);
                    id
                }
            };
            let is_known = trash::by_key(tx, &entry.key())?
                .iter()
                .any(|known| known.kind == entry.kind && known.tags == entry.tags);
            if !is_known {
                let entry = Trashed {
                    repository_id,
                    ..entry.clone()
                };
                trash::insert(tx, &entry, references)?;
                taken += 1;
            }
        }
        Ok::<_, wharf_metadata::Error>(taken)
    });
    Ok(written.await?)
}

fn file(key: &Key) -> Result<StateName> {
    StateName::new(&format!("{FOLDER}/{key}.json")).ok_or(Error::Unsupported("a file of the trash has no legal name"))
}

fn key(name: &StateName) -> Option<Key> {
    let name = name.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?;
    Key::parse(name.strip_suffix(".json")?)
}

fn write(repository: &RepositoryName, entries: &Entries) -> Result<Bytes> {
    let content = Content {
        version: VERSION,
        repository: repository.to_string(),
        entries: entries
            .iter()
            .map(|(entry, references)| item(entry, references))
            .collect(),
    };
    let bytes =
        serde_json::to_vec(&content).map_err(|_| Error::Unsupported("an entry of the trash cannot be written"))?;
    Ok(bytes.into())
}

fn item(entry: &Trashed, references: &[Reference]) -> Item {
    Item {
        kind: match entry.kind {
            Kind::Manifest => ItemKind::Manifest,
            Kind::Tag => ItemKind::Tag,
        },
        sha256: entry.sha256.to_string(),
        sha512: entry.sha512.map(|digest| digest.to_string()),
        is_sha512: entry.is_sha512,
        media_type: entry.media_type.clone(),
        size: entry.size,
        artifact_type: entry.artifact_type.clone(),
        subject: entry.subject.map(|digest| digest.to_string()),
        pushed_at: entry.pushed_at.0,
        pushed_by: entry.pushed_by.clone(),
        trashed_at: entry.trashed_at.0,
        trashed_by: entry.trashed_by.clone(),
        reason: entry.reason.clone(),
        expires_at: entry.expires_at.0,
        tags: entry
            .tags
            .iter()
            .map(|kept| ItemTag {
                name: kept.tag.to_string(),
                is_sha512: kept.is_sha512,
            })
            .collect(),
        references: references
            .iter()
            .map(|reference| ItemReference {
                kind: match reference.kind {
                    ReferenceKind::Config => ItemReferenceKind::Config,
                    ReferenceKind::Layer => ItemReferenceKind::Layer,
                    ReferenceKind::Child => ItemReferenceKind::Child,
                },
                digest: reference.digest.to_string(),
                size: reference.size,
            })
            .collect(),
    }
}

/// What a file says; `None` when it is damaged, of a later version or in the wrong place.
fn read(key: &Key, bytes: &[u8]) -> Option<Entries> {
    let content: Content = serde_json::from_slice(bytes).ok()?;
    if content.version != VERSION {
        return None;
    }
    let repository: RepositoryName = content.repository.parse().ok()?;
    let entries: Option<Entries> = content
        .entries
        .into_iter()
        .map(|item| trashed(&repository, item))
        .collect();
    entries.filter(|entries| entries.iter().all(|(entry, _)| entry.key() == *key))
}

fn trashed(repository: &RepositoryName, item: Item) -> Option<(Trashed, Vec<Reference>)> {
    let optional = |text: Option<String>| -> Option<Option<Digest>> {
        text.map_or(Some(None), |text| text.parse().ok().map(Some))
    };
    let tags: Option<Vec<TrashedTag>> = item
        .tags
        .into_iter()
        .map(|kept| {
            let tag = kept.name.parse().ok()?;
            let is_sha512 = kept.is_sha512;
            Some(TrashedTag { tag, is_sha512 })
        })
        .collect();
    let entry = Trashed {
        id: 0,
        kind: match item.kind {
            ItemKind::Manifest => Kind::Manifest,
            ItemKind::Tag => Kind::Tag,
        },
        repository_id: 0,
        repository: repository.clone(),
        sha256: item.sha256.parse().ok()?,
        sha512: optional(item.sha512)?,
        is_sha512: item.is_sha512,
        media_type: item.media_type,
        size: item.size,
        artifact_type: item.artifact_type,
        subject: optional(item.subject)?,
        pushed_at: Timestamp(item.pushed_at),
        pushed_by: item.pushed_by,
        trashed_at: Timestamp(item.trashed_at),
        trashed_by: item.trashed_by,
        reason: item.reason,
        expires_at: Timestamp(item.expires_at),
        tags: tags?,
    };
    let references: Option<Vec<Reference>> = item.references.into_iter().map(reference).collect();
    Some((entry, references?))
}

fn reference(item: ItemReference) -> Option<Reference> {
    Some(Reference {
        kind: match item.kind {
            ItemReferenceKind::Config => ReferenceKind::Config,
            ItemReferenceKind::Layer => ReferenceKind::Layer,
            ItemReferenceKind::Child => ReferenceKind::Child,
        },
        digest: item.digest.parse().ok()?,
        size: item.size,
    })
}
