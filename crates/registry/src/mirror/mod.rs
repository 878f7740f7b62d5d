//! Makes the links of the storage equal to the index (consistency rules 3 and 10).
//!
//! A change commits a *pending row* for each storage entry it concerns. The row holds a version
//! and no content: whoever works it off reads what is committed *now*, under the entry's lock, so
//! two changes that end in the other order still leave what the index says. Links become durable
//! in batches; a row goes only after its batch, and only when nothing changed it meanwhile.
//!
//! Where several processes write, the row also says whose turn it is ([`shared`], [`claims`]), and it goes before
//! the answer: a process that dies leaves nothing that only it knows.

mod claims;
mod shared;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_metadata::trash::{Deleted, Key as File};
use wharf_metadata::{Entry, Metadata, Tx, links, manifests, mirror, repositories, tags, trash};
use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_storage::{Fingerprint, Link, Storage};

use crate::keyed_lock::KeyedLock;
use crate::trash::file::Files;
use crate::{Clock, Error, Result};

pub(crate) use claims::{Claims, Held};

/// Rows that are worked off in one go at start.
const BATCH: usize = 1_000;
/// Refused entries that are remembered after they were made up for.
const MOST_OWED: usize = 10_000;
/// Entries that are claimed together: few enough that they are written while the claim lasts.
const TOGETHER: usize = 8;

/// Keeps links equal to the index. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Mirror {
    metadata: Metadata,
    storage: Storage,
    locks: KeyedLock<Key>,
    written: Arc<Mutex<Vec<Settled>>>,
    /// Entries that the storage has refused: their requests were told to come again. `true` once
    /// the storage has followed after all.
    owed: Arc<Mutex<HashMap<Key, bool>>>,
    /// The files of the trash follow in the same way.
    files: Files,
    /// Where other processes write as well.
    claims: Option<Claims>,
}

/// One storage entry: a repository's row and the entry in it.
pub type Key = (i64, Entry);

/// An entry that was written and waits to become durable.
#[derive(Clone, Debug)]
struct Settled {
    key: Key,
    version: i64,
    /// How a tag's link looks now, so that the next start need not read it.
    link: Option<(Tag, Digest, Fingerprint)>,
}

/// What the index says about one storage entry.
struct Wanted {
    storage_name: RepositoryName,
    version: Option<i64>,
    target: Option<Target>,
    /// The tags that have pointed to a manifest that is gone: their history in storage forgets it.
    former_tags: Vec<Tag>,
}

/// What an entry that is there points to.
struct Target {
    /// The name that the index knows it by.
    digest: Digest,
    /// Where the bytes are.
    stored: Digest,
}

impl Mirror {
    /// Between this index and this storage.
    pub fn new(metadata: Metadata, storage: Storage) -> Self {
        Self {
            files: Files::new(metadata.clone(), storage.clone()),
            metadata,
            storage,
            locks: KeyedLock::default(),
            written: Arc::default(),
            owed: Arc::default(),
            claims: None,
        }
    }

    /// Beside other processes that write to the same: this one calls itself `holder`, which no other
    /// does or ever did.
    #[must_use]
    pub fn shared(mut self, holder: &str, clock: Clock) -> Self {
        let left: Arc<Mutex<HashSet<_>>> = Arc::default();
        let claims = Claims::new(self.metadata.clone(), holder.into(), clock, left);
        self.files = self.files.shared(claims.clone());
        self.claims = Some(claims);
        self
    }

    /// Makes one storage entry what the index says. Answers whether an earlier request was told
    /// to come again for this entry: then this one finishes it, although it may find nothing left
    /// to change (consistency rule 3).
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the change is committed all the same, and repeating the request
    /// finishes the mirror.
    pub async fn settle(&self, key: &Key) -> Result<bool> {
        if let Some(claims) = &self.claims {
            return self.settle_claimed(claims, key.0, std::slice::from_ref(&key.1)).await;
        }
        let _turn = self.locks.lock(key.clone()).await;
        match self.follow(key).await {
            Ok(()) => Ok(self.owed().remove(key).is_some()),
            Err(error) => Err(self.owe(key, &error)),
        }
    }

    /// Works off what the storage has refused in a repository, or in all.
    ///
    /// # Errors
    ///
    /// As [`Mirror::settle`], after every entry was tried.
    pub async fn retry(&self, repository_id: Option<i64>) -> Result<()> {
        let is_meant = |key: &Key| repository_id.is_none_or(|id| id == key.0);
        let refused: Vec<Key> = self
            .owed()
            .iter()
            .filter(|(key, is_done)| !**is_done && is_meant(key))
            .map(|(key, _)| key.clone())
            .collect();
        let mut outcome = Ok(());
        for key in refused {
            if let Some(claims) = &self.claims {
                let again = self.settle_claimed(claims, key.0, std::slice::from_ref(&key.1)).await;
                outcome = outcome.and(again.map(drop));
                continue;
            }
            let _turn = self.locks.lock(key.clone()).await;
            match self.follow(&key).await {
                Ok(()) => {
                    if let Some(is_done) = self.owed().get_mut(&key) {
                        *is_done = true;
                    }
                }
                Err(error) => outcome = Err(self.owe(&key, &error)),
            }
        }
        outcome
    }

    /// Makes the storage equal to the index under the entry's lock.
    async fn follow(&self, key: &Key) -> Result<()> {
        let Some(wanted) = self.wanted(key).await? else {
            return self.drop_orphan(key).await;
        };
        let Some(version) = wanted.version else { return Ok(()) };
        let link = self.make(key, &wanted).await?;
        self.written().push(Settled {
            key: key.clone(),
            version,
            link,
        });
        Ok(())
    }

    /// The repository is gone, and its folder with it: nothing is left that could follow.
    async fn drop_orphan(&self, (repository_id, entry): &Key) -> Result<()> {
        let (id, entry) = (*repository_id, entry.clone());
        let dropped = self.metadata.write(move |tx| {
            let Some(version) = mirror::version(tx, id, &entry)? else {
                return Ok(());
            };
            mirror::settle(tx, id, &entry, version).map(drop)
        });
        Ok(dropped.await?)
    }

    fn owe(&self, key: &Key, error: &Error) -> Error {
        let mut owed = self.owed();
        if owed.len() >= MOST_OWED {
            owed.retain(|_, is_done| !*is_done);
        }
        if owed.insert(key.clone(), false).is_none() {
            tracing::error!(%error, ?key, "the storage does not follow the index; it is tried again");
        }
        Error::unavailable(
            "the change is accepted, but the storage cannot be written: repeat the request",
            5,
        )
    }

    /// Holds entries of a repository still: until they are let go, no change of them reaches the
    /// storage.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: another process does not let them go.
    pub(crate) async fn hold(&self, repository_id: i64, mut entries: Vec<Entry>) -> Result<Held> {
        // one order for all who hold several
        entries.sort();
        entries.dedup();
        let mut guards = Vec::with_capacity(entries.len());
        for entry in &entries {
            guards.push(self.locks.lock((repository_id, entry.clone())).await);
        }
        let Some(claims) = &self.claims else {
            return Ok(Held::new(guards, None));
        };
        claims.hold(repository_id, &entries).await?;
        Ok(Held::new(guards, Some((claims.clone(), repository_id, entries))))
    }

    /// Whether an entry is still to be mirrored, and where the bytes are that its link must name;
    /// `None` when there must be no link.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub(crate) async fn expectation(&self, key: &Key) -> Result<(bool, Option<Digest>)> {
        let Some(wanted) = self.wanted(key).await? else {
            return Ok((false, None));
        };
        Ok((wanted.version.is_some(), wanted.target.map(|target| target.stored)))
    }

    /// Whether a tag's link is not the one that was last seen: somebody else has written it
    /// (consistency rule 8).
    ///
    /// # Errors
    ///
    /// Storage or index cannot be read.
    pub(crate) async fn is_foreign(&self, repository_id: i64, tag: &Tag) -> Result<bool> {
        let name = tag.clone();
        let row = self.metadata.read(move |tx| {
            let repository = repositories::by_id(tx, repository_id)?;
            Ok::<_, wharf_metadata::Error>((repository, tags::link(tx, repository_id, &name)?))
        });
        let (Some(repository), seen) = row.await? else {
            return Ok(false);
        };
        let link = link_of(&repository.storage_name, &Entry::Tag(tag.clone()));
        let now = self.storage.links().read(&link).await?;
        Ok(now.map(|record| fingerprint_row(&record.fingerprint)) != seen)
    }

    /// Settles several entries of a repository, in their order; answers as [`Mirror::settle`] for
    /// any of them.
    ///
    /// # Errors
    ///
    /// As [`Mirror::settle`], after every entry was tried.
    pub async fn settle_all(&self, repository_id: i64, entries: Vec<Entry>) -> Result<bool> {
        let mut outcome = Ok(false);
        if let Some(claims) = &self.claims {
            for entries in entries.chunks(TOGETHER) {
                match self.settle_claimed(claims, repository_id, entries).await {
                    Ok(was_owed) => outcome = outcome.map(|any| any || was_owed),
                    Err(error) => outcome = Err(error),
                }
            }
            return outcome;
        }
        for entry in entries {
            match self.settle(&(repository_id, entry)).await {
                Ok(was_owed) => outcome = outcome.map(|any| any || was_owed),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Settles what a deletion has raised in a repository; answers as [`Mirror::settle_all`]. A file
    /// of the trash that cannot be written fails nothing, or a full disk could never be tidied: the
    /// index has its content, and it is tried again.
    ///
    /// # Errors
    ///
    /// As [`Mirror::settle_all`].
    pub async fn settle_deleted(&self, repository_id: i64, deleted: Deleted) -> Result<bool> {
        if let Some(file) = &deleted.file {
            drop(self.settle_file(file).await);
        }
        self.settle_all(repository_id, deleted.entries).await
    }

    /// Makes one file of the trash what the index says.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it is tried again by [`Mirror::flush`].
    pub(crate) async fn settle_file(&self, file: &File) -> Result<()> {
        self.files.settle(file).await
    }

    /// Tries again what the storage has refused, makes what was settled durable, and drops the
    /// rows that nothing has changed since. After commits whose outcome is unknown it also works off
    /// what they may have left. Called in short intervals and at the end.
    ///
    /// # Errors
    ///
    /// Storage or index cannot be written; the rows stay, and the next call tries again.
    pub async fn flush(&self) -> Result<()> {
        self.flush_settled().await?;
        if self.claims.is_some() {
            // what a commit of unknown outcome has left is found by `recover_left`
            let doubts = self.metadata.doubts();
            doubts.settle(doubts.raised());
            return Ok(());
        }
        let doubts = self.metadata.doubts();
        if doubts.are_open() {
            let raised = doubts.raised();
            self.recover().await?;
            doubts.settle(raised);
        }
        Ok(())
    }

    async fn flush_settled(&self) -> Result<()> {
        // what fails was reported when it was first refused
        let _still_refused = self.retry(None).await;
        self.files.retry().await;
        let batch = std::mem::take(&mut *self.written());
        let files = self.files.take_written();
        if batch.is_empty() && files.is_empty() {
            return Ok(());
        }
        let flushed = self.flush_batch(batch.clone(), files.clone()).await;
        if flushed.is_err() {
            self.written().extend(batch);
            self.files.put_back(files);
        }
        flushed
    }

    async fn flush_batch(&self, batch: Vec<Settled>, files: Vec<(File, i64)>) -> Result<()> {
        self.storage.links().flush().await?;
        let written = self.metadata.write(move |tx| {
            for (file, version) in &files {
                trash::settle_file(tx, file, *version)?;
            }
            for settled in &batch {
                let (repository_id, entry) = &settled.key;
                mirror::settle(tx, *repository_id, entry, settled.version)?;
                if let Some((tag, digest, fingerprint)) = &settled.link {
                    let seen = (tag.clone(), *digest, fingerprint_row(fingerprint));
                    tags::set_links(tx, *repository_id, &[seen])?;
                }
            }
            Ok::<_, wharf_metadata::Error>(())
        });
        Ok(written.await?)
    }

    /// Works off what a crash, or a commit whose outcome is unknown, has left behind. Answers how many
    /// entries there were.
    ///
    /// # Errors
    ///
    /// As [`Mirror::settle`] and [`Mirror::flush`].
    pub async fn recover(&self) -> Result<usize> {
        let mut total = 0;
        loop {
            let read = self.metadata.read_long(|tx| {
                let files = trash::pending_files(tx, BATCH)?;
                Ok::<_, wharf_metadata::Error>((mirror::pending(tx, None, BATCH)?, files))
            });
            let (pending, files) = read.await?;
            total += pending.len() + files.len();
            for file in &files {
                self.settle_file(file).await?;
            }
            for row in &pending {
                self.settle(&(row.repository_id, row.entry.clone())).await?;
            }
            if !pending.is_empty() || !files.is_empty() {
                self.flush_settled().await?;
            }
            // what comes meanwhile is somebody else's
            if pending.len() < BATCH && files.len() < BATCH {
                return Ok(total);
            }
        }
    }

    /// How many entries wait to become durable.
    pub fn backlog(&self) -> usize {
        self.written().len()
    }

    fn written(&self) -> MutexGuard<'_, Vec<Settled>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owed(&self) -> MutexGuard<'_, HashMap<Key, bool>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wanted(&self, key: &Key) -> Result<Option<Wanted>> {
        let key = key.clone();
        Ok(self.metadata.read(move |tx| wanted(tx, &key)).await?)
    }

    /// Writes or removes the links of an entry; answers how a tag's link looks now.
    async fn make(
        &self,
        key: &Key,
        wanted: &Wanted,
    ) -> std::result::Result<Option<(Tag, Digest, Fingerprint)>, wharf_storage::Error> {
        let links = self.storage.links();
        let mut seen = None;
        for link in former_links(&key.1, wanted) {
            links.remove(&link).await?;
        }
        for link in links_of(&key.1, &wanted.storage_name, wanted.target.as_ref()) {
            match &wanted.target {
                Some(target) => {
                    let written = links.write(&link, &target.stored).await?;
                    if let Link::TagCurrent { tag, .. } = link {
                        seen = Some((tag, target.digest, written.fingerprint));
                    }
                }
                None => drop(links.remove(&link).await?),
            }
        }
        Ok(seen)
    }
}

fn wanted(tx: &mut Tx<'_>, (repository_id, entry): &Key) -> std::result::Result<Option<Wanted>, wharf_metadata::Error> {
    let Some(repository) = repositories::by_id(tx, *repository_id)? else {
        return Ok(None);
    };
    let target = match entry {
        Entry::Tag(tag) => tags::get(tx, *repository_id, tag)?.map(|found| Target {
            digest: found.digest,
            stored: found.sha256,
        }),
        Entry::Revision(digest) => manifests::head(tx, *repository_id, digest)?.map(|found| Target {
            digest: *digest,
            stored: found.sha256,
        }),
        Entry::Layer(digest) => links::find(tx, *repository_id, digest)?.map(|found| Target {
            digest: *digest,
            stored: found.sha256,
        }),
    };
    let former_tags = match (entry, &target) {
        (Entry::Revision(digest), None) => tags::once_on(tx, *repository_id, digest)?,
        _ => Vec::new(),
    };
    let version = mirror::version(tx, *repository_id, entry)?;
    Ok(Some(Wanted {
        storage_name: repository.storage_name,
        version,
        target,
        former_tags,
    }))
}

/// The index keeps what the storage says of a link.
pub(crate) const fn fingerprint_row(fingerprint: &Fingerprint) -> tags::Fingerprint {
    tags::Fingerprint {
        size: fingerprint.size,
        mtime: fingerprint.modified,
        ctime: fingerprint.changed,
        inode: fingerprint.inode,
    }
}

/// The link file that says what an entry is.
pub(crate) fn link_of(repository: &RepositoryName, entry: &Entry) -> Link {
    let repository = repository.clone();
    match entry {
        Entry::Tag(tag) => Link::TagCurrent {
            repository,
            tag: tag.clone(),
        },
        Entry::Revision(digest) => Link::Revision {
            repository,
            digest: *digest,
        },
        Entry::Layer(digest) => Link::Layer {
            repository,
            digest: *digest,
        },
    }
}

/// The link files that one entry consists of, in the order in which they are written: a tag's
/// history before the tag.
fn links_of(entry: &Entry, repository: &RepositoryName, target: Option<&Target>) -> Vec<Link> {
    let index = match (entry, target) {
        (Entry::Tag(tag), Some(target)) => Some(Link::TagIndex {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: target.stored,
        }),
        _ => None,
    };
    index.into_iter().chain([link_of(repository, entry)]).collect()
}

/// The links by which tags remember a manifest that is gone (consistency rule 13). Those of the
/// sha512 name do not exist: a tag's history names the bytes.
fn former_links(entry: &Entry, wanted: &Wanted) -> Vec<Link> {
    let Entry::Revision(digest @ Digest::Sha256(_)) = entry else {
        return Vec::new();
    };
    let link = |tag: &Tag| Link::TagIndex {
        repository: wanted.storage_name.clone(),
        tag: tag.clone(),
        digest: *digest,
    };
    wanted.former_tags.iter().map(link).collect()
}
