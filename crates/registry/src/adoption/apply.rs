//! Writes what a comparison found into the index.

use std::sync::Arc;

use wharf_metadata::repositories::State;
use wharf_metadata::{
    Entry, Timestamp, Tx, blobs, bulk, directories, garbage_collection, links, manifests, mirror, repositories, tags,
};
use wharf_oci::{Algorithm, Digest, RepositoryName};
use wharf_storage::{ErrorKind, FolderTimes, Link};

use super::Parts;
use super::compare::{Pass, Writers};
use super::found::{Change, FoundManifest, FoundTag};
use super::known::{self, Known};
use crate::finding::FindingKind;
use crate::mirror::link_of;
use crate::{Error, Result};

type Outcome<T> = std::result::Result<T, wharf_metadata::Error>;

/// What one transaction did.
#[derive(Default)]
struct Applied {
    changes: u64,
    /// Tags whose manifest the repository does not have.
    dangling: Vec<(wharf_oci::Tag, Digest)>,
}

impl Parts {
    /// Makes rows what the storage says; answers how many have changed.
    pub(super) async fn apply(&self, name: &RepositoryName, changes: Vec<Change>, pass: &Pass) -> Result<u64> {
        match pass.writers {
            Writers::Waiting => self.write(name, changes, pass).await,
            Writers::Active => self.apply_held(name, changes, pass).await,
        }
    }

    /// Applies changes while their entries are held still: a request that changes an entry has
    /// committed a pending row before it touches the link, so a link that still says the same
    /// beside an entry without a pending row is the storage's own word.
    async fn apply_held(&self, name: &RepositoryName, changes: Vec<Change>, pass: &Pass) -> Result<u64> {
        // a push may be making it at this moment
        let id = self.find_or_create(name, pass).await?;
        let mut keyed: Vec<(Entry, Change)> = changes.into_iter().map(|change| (change.entry(), change)).collect();
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let entries = keyed.iter().map(|(entry, _)| entry.clone()).collect();
        let held = self.mirror.hold(id, entries).await?;
        let written = self.apply_still(name, keyed, pass).await;
        held.end().await?;
        written
    }

    async fn apply_still(&self, name: &RepositoryName, keyed: Vec<(Entry, Change)>, pass: &Pass) -> Result<u64> {
        let links: Vec<Link> = keyed.iter().map(|(entry, _)| link_of(name, entry)).collect();
        let records = self.storage.links().read_all(&links).await?;
        let mut still = Vec::with_capacity(keyed.len());
        for ((_, change), record) in keyed.into_iter().zip(records) {
            let now = match record {
                Ok(record) => record.map(|record| record.digest),
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                Err(error) => return Err(error.into()),
            };
            if now == change.expects() {
                still.push(change);
            }
        }
        // a tag needs its manifest's row
        still.sort_by_key(|change| matches!(change, Change::Tag(_)));
        self.write(name, still, pass).await
    }

    async fn find_or_create(&self, name: &RepositoryName, pass: &Pass) -> Result<i64> {
        let (name, now, state) = (name.clone(), (self.clock)().into(), State::Indexing(pass.epoch));
        let made = self
            .metadata
            .write(move |tx| find_or_create(tx, &name, state, now))
            .await;
        made.map_err(Error::from)
    }

    async fn write(&self, name: &RepositoryName, changes: Vec<Change>, pass: &Pass) -> Result<u64> {
        if changes.is_empty() {
            return Ok(0);
        }
        let changes = Arc::new(changes);
        let applied = match self.transact(name, &changes, pass, many).await {
            // a row is in the way: the careful way tells which, and does the rest
            Err(error) if is_about_rows(&error) => self.transact(name, &changes, pass, one_by_one).await,
            outcome => outcome,
        }?;
        for (tag, digest) in &applied.dangling {
            let detail = format!("it points to {digest}, which the repository does not have");
            pass.progress.findings.note(FindingKind::DanglingTag, name, tag, detail);
        }
        Ok(applied.changes)
    }

    async fn transact(
        &self,
        name: &RepositoryName,
        changes: &Arc<Vec<Change>>,
        pass: &Pass,
        apply: fn(&mut Tx<'_>, i64, &[Change], Timestamp) -> Outcome<Applied>,
    ) -> Outcome<Applied> {
        let (name, changes) = (name.clone(), Arc::clone(changes));
        let (now, state) = ((self.clock)().into(), State::Indexing(pass.epoch));
        let written = self.metadata.write(move |tx| {
            let id = find_or_create(tx, &name, state, now)?;
            apply(tx, id, &changes, now)
        });
        written.await
    }

    /// Leaves links that no manifest of the repository needs to the collector.
    pub(super) async fn queue_unneeded(&self, name: &RepositoryName) -> Result<()> {
        const PAGE: usize = 5_000;
        let name = name.clone();
        let found = self
            .metadata
            .read(move |tx| repositories::by_storage_name(tx, &name))
            .await?;
        let Some(repository) = found else { return Ok(()) };
        let mut after = Some(0);
        while let Some(from) = after {
            let queued = self
                .metadata
                .write(move |tx| garbage_collection::queue_unneeded_links(tx, repository.id, from, PAGE));
            after = queued.await.map_err(Error::from)?;
        }
        Ok(())
    }

    /// Notes that a repository was read to its end.
    pub(super) async fn finish(
        &self,
        name: &RepositoryName,
        pass: &Pass,
        known: &Known,
        times: &FolderTimes,
    ) -> Result<()> {
        let now = (self.clock)();
        let nanos = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
        if let Some(id) = known.id
            && known::seen(id, times, Some(nanos)) == known.directories
        {
            return self.mark_indexed(id, pass.epoch).await;
        }
        let (name, times, epoch) = (name.clone(), *times, pass.epoch);
        let written = self.metadata.write(move |tx| {
            let Some(repository) = repositories::by_storage_name(tx, &name)? else {
                return Ok(());
            };
            directories::forget_all(tx, repository.id)?;
            directories::record(tx, &known::seen(repository.id, &times, Some(nanos)))?;
            if !matches!(repository.state, State::Indexed(_)) {
                repositories::set_state(tx, repository.id, State::Indexed(epoch))?;
            }
            Ok::<_, wharf_metadata::Error>(())
        });
        written.await.map_err(Error::from)
    }

    /// For a repository that an earlier process had begun to read.
    async fn mark_indexed(&self, id: i64, epoch: i64) -> Result<()> {
        let row = self.metadata.read(move |tx| repositories::by_id(tx, id)).await?;
        if row.is_none_or(|row| matches!(row.state, State::Indexed(_))) {
            return Ok(());
        }
        let written = self
            .metadata
            .write(move |tx| repositories::set_state(tx, id, State::Indexed(epoch)));
        written.await.map_err(Error::from)
    }
}

fn is_about_rows(error: &wharf_metadata::Error) -> bool {
    use wharf_metadata::error::Kind;
    matches!(error.kind(), Kind::Unique | Kind::Other)
}

fn find_or_create(tx: &mut Tx<'_>, name: &RepositoryName, state: State, now: Timestamp) -> Outcome<i64> {
    // the folder's name is not the clients' name after a rename (consistency rule 15)
    if let Some(found) = repositories::by_storage_name(tx, name)? {
        return Ok(found.id);
    }
    Ok(repositories::find_or_create(tx, name, state, now)?.id)
}

/// The rows of many entries at once; what is not simply new is done one by one.
fn many(tx: &mut Tx<'_>, repository_id: i64, changes: &[Change], now: Timestamp) -> Outcome<Applied> {
    if mirror::has_pending(tx, repository_id)? {
        return one_by_one(tx, repository_id, changes, now);
    }
    let (mut layers, mut found, mut new_tags, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Layer(layer) if layer.name == layer.stored => layers.push(bulk::NewLayer {
                sha256: layer.stored,
                size: layer.size,
                blob_id: layer.blob_id,
            }),
            Change::Manifest(manifest) if manifest.name == manifest.stored => found.push(new_manifest(manifest, now)),
            Change::Tag(tag) if tag.before.is_none() && tag.digest.algorithm() == Algorithm::Sha256 => {
                new_tags.push(bulk::NewTag {
                    tag: tag.tag.clone(),
                    sha256: tag.digest,
                    link: tag.link,
                });
            }
            other => rest.push(other),
        }
    }
    let mut applied = Applied {
        changes: bulk::add_layers(tx, repository_id, &layers, now)?
            + bulk::add_manifests(tx, repository_id, &found, now)?
            + new_tags.len() as u64,
        dangling: Vec::new(),
    };
    if found.iter().any(|manifest| manifest.subject.is_some()) {
        bulk::mark_subjects_seen(tx, repository_id)?;
    }
    for change in rest {
        take_over(tx, repository_id, change, now, &mut applied)?;
    }
    let dangling = bulk::add_tags(tx, repository_id, &new_tags, now)?;
    applied.changes -= dangling.len() as u64;
    applied
        .dangling
        .extend(dangling.into_iter().map(|tag| (tag.tag, tag.sha256)));
    Ok(applied)
}

fn one_by_one(tx: &mut Tx<'_>, repository_id: i64, changes: &[Change], now: Timestamp) -> Outcome<Applied> {
    let mut applied = Applied::default();
    for change in changes {
        if mirror::version(tx, repository_id, &change.entry())?.is_none() {
            take_over(tx, repository_id, change, now, &mut applied)?;
        }
    }
    Ok(applied)
}

/// Makes one row what the storage says.
fn take_over(
    tx: &mut Tx<'_>,
    repository_id: i64,
    change: &Change,
    now: Timestamp,
    applied: &mut Applied,
) -> Outcome<()> {
    let has_changed = match change {
        Change::Layer(layer) => {
            let alias = (layer.name != layer.stored).then_some(&layer.name);
            blobs::adopt(tx, (&layer.stored, alias), layer.size, now)?;
            links::adopt(tx, repository_id, &layer.name, now)?
        }
        Change::Manifest(found) => {
            blobs::adopt(tx, (&found.stored, None), found.size, now)?;
            manifests::insert(tx, repository_id, &new_manifest(found, now))?.is_new
        }
        Change::Known(found) => manifests::correct(tx, repository_id, &new_manifest(found, now))?,
        Change::Tag(found) => take_over_tag(tx, repository_id, found, now, applied)?,
        Change::Gone(entry) => forget(tx, repository_id, entry, now)?,
    };
    applied.changes += u64::from(has_changed);
    Ok(())
}

fn new_manifest(found: &FoundManifest, now: Timestamp) -> manifests::NewManifest<'_> {
    let manifest = &found.manifest;
    manifests::NewManifest {
        sha256: found.stored,
        sha512: (found.name != found.stored).then_some(found.name),
        media_type: &manifest.media_type,
        size: found.size,
        artifact_type: manifest.artifact_type.as_deref(),
        config_media_type: manifest.config.as_ref().map(|config| config.media_type.as_str()),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
        annotations: &manifest.annotations,
        references: &found.references,
        pushed_at: now,
        pushed_by: "",
    }
}

fn take_over_tag(
    tx: &mut Tx<'_>,
    repository_id: i64,
    found: &FoundTag,
    now: Timestamp,
    applied: &mut Applied,
) -> Outcome<bool> {
    let Some(manifest) = manifests::head(tx, repository_id, &found.digest)? else {
        applied.dangling.push((found.tag.clone(), found.digest));
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

fn forget(tx: &mut Tx<'_>, repository_id: i64, entry: &Entry, now: Timestamp) -> Outcome<bool> {
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
        Entry::Layer(digest) => Ok(links::unlink(tx, repository_id, digest, now)?.is_some()),
    }
}
