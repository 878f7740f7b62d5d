//! What a tag has pointed to, when and by whom; and setting it back.
//!
//! The history holds no bytes: an entry whose manifest is gone says so. What the index does not
//! remember, because it was rebuilt or another registry wrote it, is read from the tag's folder in
//! storage: that is a set without an order, and is marked so.

use std::collections::HashSet;
use std::sync::Arc;

use wharf_access::Action;
use wharf_metadata::tags;
pub use wharf_metadata::tags::Action as Change;
use wharf_metadata::{Entry, Timestamp, Tx, audit_log, manifests, mirror, trash};
use wharf_oci::{Digest, Reference, RepositoryName, Tag};
use wharf_storage::{Detail, LinkState};

use crate::audit::Actor;
use crate::deletion::READ_ONLY;
use crate::lifecycle::LifecycleParts;
use crate::repository::Repository;
use crate::{Error, Result};

/// Changes that are looked through for the one that a revert means.
const MOST_CHANGES: usize = 10_000;

/// Tells and changes where tags have been. Cloning is cheap.
#[derive(Clone)]
pub struct TagHistories {
    parts: Arc<LifecycleParts>,
    is_read_only: bool,
}

/// What a tag has been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagHistory {
    /// What it points to now; `None` when it is deleted.
    pub current: Option<Digest>,
    /// Changes, the newest first.
    pub changes: Vec<TagChange>,
    /// Whether older changes follow.
    pub has_more: bool,
    /// What storage remembers beyond all changes: in no order.
    pub found: Vec<FoundDigest>,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// Its row, for the next page.
    pub id: i64,
    /// What happened.
    pub action: Change,
    /// What the tag points to since, or pointed to before it went.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
    /// Who did it; empty for nobody or unknown.
    pub by: String,
    /// What is left of the manifest.
    pub state: ManifestState,
}

/// A digest that a tag's folder in storage remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundDigest {
    /// The digest.
    pub digest: Digest,
    /// When its link was last written, as far as the storage knows.
    pub written_at: Option<Timestamp>,
    /// What is left of the manifest.
    pub state: ManifestState,
}

/// What is left of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestState {
    /// It is there: the tag can be set to it.
    Present,
    /// It lies in the trash.
    Trashed {
        /// The entry.
        id: i64,
        /// Until when.
        expires_at: Timestamp,
    },
    /// It is gone.
    Gone,
}

/// Where a tag goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this manifest.
    Digest(Digest),
    /// To what it pointed to so many moves ago: 1 is the one before the present one, or the last one
    /// of a tag that is gone.
    Back(u32),
}

/// A tag that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverted {
    /// What it pointed to.
    pub from: Option<Digest>,
    /// What it points to.
    pub to: Digest,
}

impl TagHistories {
    /// Over these parts.
    pub const fn new(parts: Arc<LifecycleParts>, is_read_only: bool) -> Self {
        Self { parts, is_read_only }
    }

    /// Up to `limit` changes of a tag, the newest first, before the change `before`; with the
    /// last page what only storage remembers. A tag that is gone has a history too.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`] when there never was such a tag; the principal may not pull here.
    pub async fn history(
        &self,
        actor: Actor<'_>,
        name: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<TagHistory> {
        let repositories = &self.parts.repositories;
        let repository = repositories.get(actor.principal, name, Action::Pull).await?;
        let (place, wanted) = (repository.clone(), tag.clone());
        let read = self.parts.metadata.read_long(move |tx| {
            let current = tags::get(tx, place.id, &wanted)?.map(|target| target.digest);
            let mut events = tags::history(tx, place.id, &wanted, before, limit.saturating_add(1))?;
            let has_more = events.len() > limit;
            events.truncate(limit);
            let mut changes = Vec::with_capacity(events.len());
            for event in events {
                changes.push(TagChange {
                    id: event.id,
                    action: event.action,
                    digest: event.digest,
                    at: event.at,
                    by: event.by,
                    state: state(tx, &place, &event.digest)?,
                });
            }
            Ok::<_, wharf_metadata::Error>(TagHistory {
                current,
                changes,
                has_more,
                found: Vec::new(),
            })
        });
        let mut history = read.await.map_err(Error::from)?;
        if !history.has_more {
            history.found = self.found(&repository, tag).await?;
        }
        let is_unknown = history.current.is_none() && history.changes.is_empty() && history.found.is_empty();
        if is_unknown && before.is_none() {
            return Err(Error::ManifestUnknown {
                repository: name.clone(),
                reference: Reference::Tag(tag.clone()),
            });
        }
        Ok(history)
    }

    /// Points a tag to what it pointed to before, or to any manifest of the repository. The tag
    /// need not exist any more.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestGone`] says where the manifest lies, if it lies anywhere;
    /// [`Error::Unsupported`] when the history does not reach back so far, or the registry is
    /// read-only; the principal may not push here.
    pub async fn revert(&self, actor: Actor<'_>, name: &RepositoryName, tag: &Tag, target: Target) -> Result<Reverted> {
        let repositories = &self.parts.repositories;
        let repository = repositories.get(actor.principal, name, Action::Push).await?;
        if self.is_read_only {
            return Err(READ_ONLY);
        }
        let now: Timestamp = (self.parts.clock)().into();
        let line = actor.line(now, "tag.revert", format!("{}:{tag}", repository.name), String::new());
        let (place, moved) = (repository.clone(), tag.clone());
        let written = self.parts.metadata.write(move |tx| {
            let to = resolve(tx, &place, &moved, target)?;
            // locked: whoever takes it asked for its tags before this one
            let Some(head) = manifests::lock(tx, place.id, &to)? else {
                return Err(gone(tx, &place, &moved, &to)?);
            };
            let change = tags::Change {
                repository_id: place.id,
                tag: &moved,
                action: Change::Reverted,
                by: &line.actor,
                at: now,
            };
            let from = tags::put(tx, &change, head.id, &to)?;
            mirror::raise(tx, place.id, &Entry::Tag(moved.clone()))?;
            let detail = match &from {
                Some(from) => format!("from {from} to {to}"),
                None => format!("to {to}"),
            };
            audit_log::append(tx, &audit_log::Line { detail, ..line.clone() })?;
            Ok::<_, Error>(Reverted { from, to })
        });
        let reverted = written.await?;
        self.parts
            .caches
            .forget_manifest(repository.id, &Reference::Tag(tag.clone()));
        self.parts
            .mirror
            .settle(&(repository.id, Entry::Tag(tag.clone())))
            .await?;
        tracing::info!(repository = %name, %tag, to = %reverted.to, "tag set back");
        Ok(reverted)
    }

    /// What the tag's folder remembers and no change of the index names.
    async fn found(&self, repository: &Repository, tag: &Tag) -> Result<Vec<FoundDigest>> {
        let mut walk = self
            .parts
            .storage
            .walk()
            .tag_history(&repository.storage_name, tag, Detail::Stat);
        let mut stored = Vec::new();
        while let Some(chunk) = walk.next().await? {
            for link in chunk.found {
                if let LinkState::Stat(_) = link.state {
                    stored.push((link.name, Timestamp(link.modified / 1_000)));
                }
            }
        }
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let (place, tag) = (repository.clone(), tag.clone());
        let read = self.parts.metadata.read_long(move |tx| {
            let known: HashSet<Digest> = tags::digests_of(tx, place.id, &tag)?.into_iter().collect();
            let mut found = Vec::new();
            for (digest, written_at) in stored {
                // a tag that was set under a sha512 name is remembered by the sha256 in storage
                let is_known = known.contains(&digest)
                    || manifests::find(tx, place.id, &digest)?
                        .and_then(|manifest| manifest.sha512)
                        .is_some_and(|sha512| known.contains(&sha512));
                if !is_known {
                    found.push(FoundDigest {
                        digest,
                        written_at: Some(written_at),
                        state: state(tx, &place, &digest)?,
                    });
                }
            }
            found.sort_unstable_by_key(|found| found.digest);
            Ok::<_, wharf_metadata::Error>(found)
        });
        read.await.map_err(Error::from)
    }
}

fn state(
    tx: &mut Tx<'_>,
    repository: &Repository,
    digest: &Digest,
) -> std::result::Result<ManifestState, wharf_metadata::Error> {
    if manifests::head(tx, repository.id, digest)?.is_some() {
        return Ok(ManifestState::Present);
    }
    let entry = trash::find_manifest(tx, &repository.name, digest)?;
    Ok(entry.map_or(ManifestState::Gone, |entry| ManifestState::Trashed {
        id: entry.id,
        expires_at: entry.expires_at,
    }))
}

/// The digest that a revert means.
fn resolve(tx: &mut Tx<'_>, repository: &Repository, tag: &Tag, target: Target) -> Result<Digest> {
    let back = match target {
        Target::Digest(digest) => return Ok(digest),
        Target::Back(back) => back as usize,
    };
    let mut digests: Vec<Digest> = Vec::new();
    digests.extend(tags::get(tx, repository.id, tag)?.map(|target| target.digest));
    // of a tag that is gone, the one that it had last is the first to go back to
    let offset = digests.len();
    for event in tags::history(tx, repository.id, tag, None, MOST_CHANGES)? {
        if digests.last() != Some(&event.digest) {
            digests.push(event.digest);
        }
    }
    let position = back.checked_sub(1).map(|back| back + offset);
    let found = position.and_then(|position| digests.get(position)).copied();
    found.ok_or(Error::Unsupported(
        "the tag's history does not reach back so far: list it, and name a digest",
    ))
}

fn gone(tx: &mut Tx<'_>, repository: &Repository, tag: &Tag, digest: &Digest) -> Result<Error> {
    let name = &repository.name;
    let hint = match state(tx, repository, digest)? {
        ManifestState::Trashed { id, expires_at } => format!(
            ": it lies in the trash until {}; bring it back with `wharf trash restore {id}`, then revert {tag}",
            expires_at.to_jiff()
        ),
        ManifestState::Present | ManifestState::Gone => ": the tag cannot point to it; push it again".to_owned(),
    };
    Ok(Error::ManifestGone {
        repository: name.clone(),
        digest: Box::new(*digest),
        hint,
    })
}
