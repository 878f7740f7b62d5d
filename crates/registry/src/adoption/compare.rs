//! Compares one repository with its folder and makes the index follow.

use std::collections::{HashMap, HashSet};

use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, Timestamp, Tx, blobs, links, manifests, mirror, repositories, tags};
use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_storage::{Detail, ErrorKind, Link, LinkRecord, LinkState};

use super::Parts;
use super::found::{FoundManifest, FoundTag};
use crate::content_type;
use crate::mirror::fingerprint_row;
use crate::push::references;
use crate::repository::NEW;
use crate::{Error, Result};

/// Entries that one transaction takes over.
const BATCH: usize = 500;
/// Larger files are no manifests, in bytes.
const LARGEST_MANIFEST: u64 = 32 << 20;

/// Whether requests may change the repository meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    /// They wait for the comparison.
    Waiting,
    /// They go on: each entry is looked at once more while it is held.
    Active,
}

/// What the index knows of a repository.
#[derive(Default)]
struct Known {
    /// The repository's row; `None` when the index does not know it.
    id: Option<i64>,
    /// Whether the index knew it before this comparison.
    is_old: bool,
    manifests: HashSet<Digest>,
    layers: HashSet<Digest>,
    tags: HashMap<Tag, (Digest, Option<tags::Fingerprint>)>,
}

impl Known {
    /// Of a repository that is new every link is read, so the walk does it in one go; of a known
    /// one only few have changed.
    const fn detail(&self) -> Detail {
        if self.is_old { Detail::Stat } else { Detail::Content }
    }
}

/// A row that gives way to the storage.
enum Change {
    Layer(Digest, Digest, u64),
    Manifest(Box<FoundManifest>),
    Tag(FoundTag),
    Gone(Entry),
}

impl Change {
    fn entry(&self) -> Entry {
        match self {
            Self::Layer(name, ..) => Entry::Layer(*name),
            Self::Manifest(found) => Entry::Revision(found.name),
            Self::Tag(found) => Entry::Tag(found.tag.clone()),
            Self::Gone(entry) => entry.clone(),
        }
    }
}

impl Parts {
    /// Makes the index follow the folder of one repository. Answers how many entries it changed.
    pub(super) async fn compare(&self, name: &RepositoryName, writers: Writers) -> Result<u64> {
        let mut known = self.known(name).await?;
        let mut total = 0;
        total += self.follow_layers(name, &mut known, writers).await?;
        total += self.follow_manifests(name, &mut known, writers).await?;
        total += self.follow_tags(name, &mut known, writers).await?;
        if total > 0 {
            self.caches.forget_everything();
            tracing::debug!(repository = %name, changes = total, "repository follows its folder");
        }
        Ok(total)
    }

    async fn known(&self, name: &RepositoryName) -> Result<Known> {
        let name = name.clone();
        let known = self.metadata.read_long(move |tx| known(tx, &name)).await;
        known.map_err(Error::from)
    }

    async fn follow_layers(&self, name: &RepositoryName, known: &mut Known, writers: Writers) -> Result<u64> {
        let mut walk = self.storage.walk().layers(name, known.detail());
        let (mut gone, mut changes, mut total) = (std::mem::take(&mut known.layers), Vec::new(), 0);
        while let Some(chunk) = walk.next().await? {
            for link in chunk.found {
                if matches!(link.state, LinkState::Missing) || gone.remove(&link.name) {
                    continue;
                }
                let record = self.content(name, &Entry::Layer(link.name), &link.state).await?;
                let Some(stored) = record.map(|record| record.digest) else {
                    continue;
                };
                match self.storage.blobs().stat(&stored).await? {
                    Some(size) => changes.push(Change::Layer(link.name, stored, size)),
                    None => {
                        tracing::warn!(repository = %name, blob = %stored, "a layer link points to bytes that are not there")
                    }
                }
                if changes.len() >= BATCH {
                    total += self.apply(name, known, std::mem::take(&mut changes), writers).await?;
                }
            }
        }
        changes.extend(gone.into_iter().map(|digest| Change::Gone(Entry::Layer(digest))));
        Ok(total + self.apply(name, known, changes, writers).await?)
    }

    async fn follow_manifests(&self, name: &RepositoryName, known: &mut Known, writers: Writers) -> Result<u64> {
        let mut walk = self.storage.walk().revisions(name, known.detail());
        let (mut gone, mut changes, mut total) = (std::mem::take(&mut known.manifests), Vec::new(), 0);
        while let Some(chunk) = walk.next().await? {
            for link in chunk.found {
                if matches!(link.state, LinkState::Missing) || gone.remove(&link.name) {
                    continue;
                }
                let record = self.content(name, &Entry::Revision(link.name), &link.state).await?;
                let Some(stored) = record.map(|record| record.digest) else {
                    continue;
                };
                let bytes = self.storage.blobs().read(&stored, LARGEST_MANIFEST).await?;
                let media_type = content_type::kept(&self.storage, &stored).await?;
                match FoundManifest::read(name, (link.name, stored), media_type.as_deref(), bytes) {
                    Some(found) => changes.push(Change::Manifest(Box::new(found))),
                    None => continue,
                }
                if changes.len() >= BATCH {
                    total += self.apply(name, known, std::mem::take(&mut changes), writers).await?;
                }
            }
        }
        changes.extend(gone.into_iter().map(|digest| Change::Gone(Entry::Revision(digest))));
        Ok(total + self.apply(name, known, changes, writers).await?)
    }

    async fn follow_tags(&self, name: &RepositoryName, known: &mut Known, writers: Writers) -> Result<u64> {
        let mut walk = self.storage.walk().tags(name, known.detail());
        let (mut gone, mut changes, mut total) = (std::mem::take(&mut known.tags), Vec::new(), 0);
        while let Some(chunk) = walk.next().await? {
            for link in chunk.found {
                let now = match &link.state {
                    LinkState::Missing => continue,
                    LinkState::Stat(fingerprint) | LinkState::Broken(fingerprint) => fingerprint_row(fingerprint),
                    LinkState::Whole(record) => fingerprint_row(&record.fingerprint),
                };
                let before = gone.remove(&link.name);
                if before.as_ref().is_some_and(|(_, seen)| *seen == Some(now)) {
                    continue;
                }
                let entry = Entry::Tag(link.name.clone());
                if let Some(record) = self.content(name, &entry, &link.state).await? {
                    changes.push(Change::Tag(FoundTag {
                        tag: link.name,
                        digest: record.digest,
                        link: fingerprint_row(&record.fingerprint),
                        before: before.map(|(digest, _)| digest),
                    }));
                }
                if changes.len() >= BATCH {
                    total += self.apply(name, known, std::mem::take(&mut changes), writers).await?;
                }
            }
        }
        changes.extend(gone.into_keys().map(|tag| Change::Gone(Entry::Tag(tag))));
        Ok(total + self.apply(name, known, changes, writers).await?)
    }
}

impl Parts {
    /// What a link says that the walk came by; it is read when the walk has only looked at it.
    async fn content(
        &self,
        repository: &RepositoryName,
        entry: &Entry,
        state: &LinkState,
    ) -> Result<Option<LinkRecord>> {
        match state {
            LinkState::Whole(record) => Ok(Some(*record)),
            LinkState::Missing => Ok(None),
            LinkState::Stat(_) | LinkState::Broken(_) => self.read_link(repository, entry).await,
        }
    }

    /// A link as it is now; one that does not hold a digest is reported and left alone.
    async fn read_link(&self, repository: &RepositoryName, entry: &Entry) -> Result<Option<LinkRecord>> {
        match self.storage.links().read(&link(repository, entry)).await {
            Ok(record) => Ok(record),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%repository, %entry, "a link does not hold a digest");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn apply(
        &self,
        name: &RepositoryName,
        known: &mut Known,
        changes: Vec<Change>,
        writers: Writers,
    ) -> Result<u64> {
        if changes.is_empty() {
            return Ok(0);
        }
        match writers {
            Writers::Waiting => self.write(name, known, changes).await,
            Writers::Active => {
                let mut total = 0;
                for change in changes {
                    total += self.apply_held(name, known, change).await?;
                }
                Ok(total)
            }
        }
    }

    /// Applies one change while its entry is held still: a request that changes the entry has
    /// committed a pending row before it touches the link, so a link that still says the same
    /// beside an entry without a pending row is the storage's own word.
    async fn apply_held(&self, name: &RepositoryName, known: &mut Known, change: Change) -> Result<u64> {
        let id = match known.id {
            Some(id) => id,
            // a push may be making it at this moment
            None => self.find_or_create(name, known).await?,
        };
        let entry = change.entry();
        let _held = self.mirror.hold(&(id, entry.clone())).await;
        let now = self.read_link(name, &entry).await?;
        let still = match &change {
            Change::Gone(_) => now.is_none(),
            Change::Layer(_, stored, _) => now.is_some_and(|record| record.digest == *stored),
            Change::Manifest(found) => now.is_some_and(|record| record.digest == found.stored),
            Change::Tag(found) => now.is_some_and(|record| record.digest == found.digest),
        };
        if still {
            self.write(name, known, vec![change]).await
        } else {
            Ok(0)
        }
    }

    async fn find_or_create(&self, name: &RepositoryName, known: &mut Known) -> Result<i64> {
        let (name, now) = (name.clone(), (self.clock)().into());
        let made = self
            .metadata
            .write(move |tx| repositories::find_or_create(tx, &name, State::Indexed(NEW), now));
        let id = made.await?.id;
        known.id = Some(id);
        Ok(id)
    }

    async fn write(&self, name: &RepositoryName, known: &mut Known, changes: Vec<Change>) -> Result<u64> {
        let (name, now) = (name.clone(), (self.clock)().into());
        let written = self.metadata.write(move |tx| {
            let repository = repositories::find_or_create(tx, &name, State::Indexed(NEW), now)?;
            let mut applied = 0;
            for change in &changes {
                if mirror::version(tx, repository.id, &change.entry())?.is_none() {
                    applied += u64::from(take_over(tx, repository.id, change, now)?);
                }
            }
            Ok::<_, wharf_metadata::Error>((repository.id, applied))
        });
        let (id, applied) = written.await.map_err(Error::from)?;
        known.id = Some(id);
        Ok(applied)
    }
}

/// Makes one row what the storage says; `false` when it was so already.
fn take_over(
    tx: &mut Tx<'_>,
    repository_id: i64,
    change: &Change,
    now: Timestamp,
) -> std::result::Result<bool, wharf_metadata::Error> {
    match change {
        Change::Layer(name, stored, size) => {
            let alias = (name != stored).then_some(name);
            blobs::adopt(tx, (stored, alias), *size, now)?;
            links::link(tx, repository_id, name, now)
        }
        Change::Manifest(found) => {
            let alias = (found.name != found.stored).then_some(found.name);
            blobs::adopt(tx, (&found.stored, None), found.size, now)?;
            let references = references(&found.manifest);
            let manifest = &found.manifest;
            let new = manifests::NewManifest {
                sha256: found.stored,
                sha512: alias,
                media_type: &manifest.media_type,
                size: found.size,
                artifact_type: manifest.artifact_type.as_deref(),
                config_media_type: manifest.config.as_ref().map(|config| config.media_type.as_str()),
                subject: manifest.subject.as_ref().map(|subject| subject.digest),
                annotations: &manifest.annotations,
                references: &references,
                pushed_at: now,
                pushed_by: "",
            };
            Ok(manifests::insert(tx, repository_id, &new)?.is_new)
        }
        Change::Tag(found) => take_over_tag(tx, repository_id, found, now),
        Change::Gone(entry) => forget(tx, repository_id, entry, now),
    }
}

fn take_over_tag(
    tx: &mut Tx<'_>,
    repository_id: i64,
    found: &FoundTag,
    now: Timestamp,
) -> std::result::Result<bool, wharf_metadata::Error> {
    let Some(manifest) = manifests::head(tx, repository_id, &found.digest)? else {
        tracing::warn!(tag = %found.tag, manifest = %found.digest, "a tag points to a manifest that is not there");
        return Ok(false);
    };
    // a tag that was set under the sha512 name has a link with the sha256: the same manifest
    let target = tags::get(tx, repository_id, &found.tag)?;
    let is_same = target.is_some_and(|target| target.sha256 == manifest.sha256);
    let named = if is_same {
        found.before.unwrap_or(found.digest)
    } else {
        found.digest
    };
    if !is_same {
        let change = tags::Change {
            repository_id,
            tag: &found.tag,
            action: tags::Action::Found,
            by: "",
            at: now,
        };
        tags::put(tx, &change, manifest.id, &named)?;
    }
    tags::set_links(tx, repository_id, &[(found.tag.clone(), named, found.link)])?;
    Ok(!is_same)
}

fn forget(
    tx: &mut Tx<'_>,
    repository_id: i64,
    entry: &Entry,
    now: Timestamp,
) -> std::result::Result<bool, wharf_metadata::Error> {
    match entry {
        Entry::Tag(tag) => {
            let change = tags::Change {
                repository_id,
                tag,
                action: tags::Action::Gone,
                by: "",
                at: now,
            };
            Ok(tags::delete(tx, &change)?.is_some())
        }
        Entry::Revision(digest) => Ok(manifests::delete(tx, repository_id, digest, "", now)?.is_some()),
        Entry::Layer(digest) => Ok(links::unlink(tx, repository_id, digest)?.is_some()),
    }
}

fn known(tx: &mut Tx<'_>, name: &RepositoryName) -> std::result::Result<Known, wharf_metadata::Error> {
    const PAGE: usize = 5_000;
    let mut known = Known::default();
    let Some(repository) = repositories::by_storage_name(tx, name)? else {
        return Ok(known);
    };
    known.id = Some(repository.id);
    known.is_old = true;
    let mut after = 0;
    loop {
        let page = links::page(tx, repository.id, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.blob_id;
        for link in page {
            known.layers.insert(link.sha256);
            known.layers.extend(link.sha512.filter(|_| link.is_alias));
        }
    }
    let mut after = None;
    loop {
        let page = manifests::page(tx, repository.id, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.sha256);
        for manifest in page {
            known.manifests.insert(manifest.sha256);
            known.manifests.extend(manifest.sha512);
        }
    }
    let mut after: Option<Tag> = None;
    loop {
        let page = tags::links(tx, repository.id, after.as_ref().map(Tag::as_str), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.tag.clone());
        known.tags.extend(
            page.into_iter()
                .map(|linked| (linked.tag, (linked.digest, linked.link))),
        );
    }
    Ok(known)
}

fn link(repository: &RepositoryName, entry: &Entry) -> Link {
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
