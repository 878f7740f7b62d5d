//! Deleting tags, manifests, blob links and whole repositories. A delete is committed first and
//! then mirrored, so that an acknowledged delete stays deleted (consistency rule 3). Tags and
//! manifests go to the trash, unless it is off or the request says otherwise (rule 13).

mod repository;

use std::sync::Arc;

use wharf_access::{Action, Principal};
use wharf_metadata::trash::{self, Deleted, Deletion};
use wharf_metadata::{Entry, Timestamp, audit_log, links, mirror};
use wharf_oci::{Digest, Reference, RepositoryName, Tag};

use crate::audit::Actor;
use crate::caches::Caches;
use crate::keyed_lock::KeyedLock;
use crate::lifecycle::LifecycleParts;
use crate::repository::Repository;
use crate::trash::Keep;
use crate::{Error, Result};

/// Deletes. Cloning is cheap.
#[derive(Clone)]
pub struct Deletions {
    parts: Arc<LifecycleParts>,
    rules: DeletionRules,
    /// Repositories whose deletion somebody is at.
    turns: KeyedLock<i64>,
}

/// What the configuration says about deletes.
#[derive(Clone, Copy, Debug)]
pub struct DeletionRules {
    /// `storage.delete.enabled`: about `/v2/` only.
    pub is_enabled: bool,
    /// `storage.maintenance.readonly`
    pub is_read_only: bool,
    /// `trash.keep`
    pub keep: Keep,
}

/// What becomes of what is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It goes to the trash, where there is one.
    #[default]
    Trash,
    /// It goes at once and for good.
    Purge,
}

/// Who deletes, through which door, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Who.
    pub actor: Actor<'a>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether it came by `/v2/`, where `storage.delete.enabled` decides.
    pub is_protocol: bool,
}

impl<'a> Order<'a> {
    /// A DELETE on `/v2/`.
    pub const fn protocol(principal: &'a Principal) -> Self {
        Self {
            actor: Actor::new(principal),
            fate: Fate::Trash,
            is_protocol: true,
        }
    }

    /// By management.
    pub const fn management(actor: Actor<'a>, fate: Fate) -> Self {
        Self {
            actor,
            fate,
            is_protocol: false,
        }
    }
}

impl Deletions {
    /// Over these parts, under these rules.
    pub fn new(parts: Arc<LifecycleParts>, rules: DeletionRules) -> Self {
        Self {
            parts,
            rules,
            turns: KeyedLock::default(),
        }
    }

    /// Deletes a tag; its manifest stays.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`], [`Error::Unsupported`] when deletes are off, or the principal
    /// may not delete here.
    pub async fn tag(&self, order: Order<'_>, name: &RepositoryName, tag: &Tag) -> Result<()> {
        let repository = self.allowed(order, name).await?;
        let deletion = self.deletion(order, "deleted");
        let line = order.actor.line(
            deletion.at,
            "tag.delete",
            format!("{}:{tag}", repository.name),
            detail(&deletion),
        );
        let (place, deleted) = (repository.clone(), tag.clone());
        let written = self.parts.metadata.write(move |tx| {
            let gone = trash::delete_tag(tx, (place.id, &place.name), &deleted, &deletion)?;
            if gone.is_some() {
                audit_log::append(tx, &line)?;
            }
            Ok::<_, wharf_metadata::Error>(gone)
        });
        let gone = written.await?;
        self.parts
            .caches
            .forget_manifest(repository.id, &Reference::Tag(tag.clone()));
        // also when it was gone already: an earlier delete may have been committed without an answer
        let is_known = gone.is_some();
        let gone = gone.unwrap_or_else(|| owed(vec![Entry::Tag(tag.clone())]));
        let was_owed = self.parts.mirror.settle_deleted(repository.id, gone).await?;
        if is_known || was_owed {
            Ok(())
        } else {
            Err(unknown(name, Reference::Tag(tag.clone())))
        }
    }

    /// Deletes a manifest and every tag that points to it. Allowed also while an index lists it,
    /// as in distribution: the index is sparse from then on.
    ///
    /// # Errors
    ///
    /// As [`Deletions::tag`].
    pub async fn manifest(&self, order: Order<'_>, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let repository = self.allowed(order, name).await?;
        let deletion = self.deletion(order, "deleted");
        let line = order.actor.line(
            deletion.at,
            "manifest.delete",
            format!("{}@{digest}", repository.name),
            detail(&deletion),
        );
        let (place, deleted) = (repository.clone(), *digest);
        let written = self.parts.metadata.write(move |tx| {
            let gone = trash::delete_manifest(tx, (place.id, &place.name), &deleted, &deletion)?;
            if gone.is_some() {
                audit_log::append(tx, &line)?;
            }
            Ok::<_, wharf_metadata::Error>(gone)
        });
        let gone = written.await?;
        self.parts
            .caches
            .forget_manifest(repository.id, &Reference::Digest(*digest));
        let is_known = gone.is_some();
        let gone = gone.unwrap_or_else(|| owed(vec![Entry::Revision(*digest)]));
        forget(&self.parts.caches, repository.id, &gone.entries);
        if !is_known {
            // an earlier delete may have been committed without an answer
            self.parts.mirror.retry(Some(repository.id)).await?;
        }
        let was_owed = self.parts.mirror.settle_deleted(repository.id, gone).await?;
        if is_known || was_owed {
            Ok(())
        } else {
            Err(unknown(name, Reference::Digest(*digest)))
        }
    }

    /// The repository forgets a blob. Its bytes stay while other repositories link them, and until
    /// garbage is collected; a manifest that points to it is broken, as in distribution.
    ///
    /// # Errors
    ///
    /// [`Error::BlobUnknown`], and as [`Deletions::tag`].
    pub async fn blob(&self, order: Order<'_>, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let repository = self.allowed(order, name).await?;
        let subject = format!("{}@{digest}", repository.name);
        let line = order.actor.line(self.now(), "blob.unlink", subject, String::new());
        let (repository_id, deleted, now) = (repository.id, *digest, self.now());
        let written = self.parts.metadata.write(move |tx| {
            let Some(link) = links::unlink(tx, repository_id, &deleted, now)? else {
                return Ok(None);
            };
            let names = std::iter::once(link.sha256).chain(link.sha512.filter(|_| link.is_alias));
            let entries: Vec<Entry> = names.map(Entry::Layer).collect();
            for entry in &entries {
                mirror::raise(tx, repository_id, entry)?;
            }
            audit_log::append(tx, &line)?;
            Ok::<_, wharf_metadata::Error>(Some(entries))
        });
        let gone = written.await?;
        let is_known = gone.is_some();
        let entries = gone.unwrap_or_else(|| vec![Entry::Layer(*digest)]);
        forget(&self.parts.caches, repository.id, &entries);
        if !is_known {
            // an earlier delete may have been committed without an answer
            self.parts.mirror.retry(Some(repository.id)).await?;
        }
        let was_owed = self.parts.mirror.settle_all(repository.id, entries).await?;
        if is_known || was_owed {
            Ok(())
        } else {
            Err(Error::BlobUnknown {
                repository: name.clone(),
                digest: *digest,
            })
        }
    }

    async fn allowed(&self, order: Order<'_>, name: &RepositoryName) -> Result<Arc<Repository>> {
        let repositories = &self.parts.repositories;
        let repository = repositories.get(order.actor.principal, name, Action::Delete).await?;
        if self.rules.is_read_only {
            return Err(READ_ONLY);
        }
        if order.is_protocol && !self.rules.is_enabled {
            return Err(Error::Unsupported(
                "deleting is switched off: set storage.delete.enabled to true",
            ));
        }
        Ok(repository)
    }

    fn deletion(&self, order: Order<'_>, reason: &str) -> Deletion {
        let at = self.now();
        Deletion {
            by: order.actor.principal.name().to_owned(),
            at,
            reason: reason.to_owned(),
            expires_at: match order.fate {
                Fate::Trash => self.rules.keep.until(at),
                Fate::Purge => None,
            },
        }
    }

    fn now(&self) -> Timestamp {
        (self.parts.clock)().into()
    }
}

pub(crate) const READ_ONLY: Error = Error::Unsupported("the registry is read-only (storage.maintenance.readonly)");

/// What becomes of what was deleted, for the audit log.
fn detail(deletion: &Deletion) -> String {
    match deletion.expires_at {
        Some(expires_at) => format!("in the trash until {}", expires_at.to_jiff()),
        None => "for good".to_owned(),
    }
}

/// What an earlier deletion may have left to be mirrored.
const fn owed(entries: Vec<Entry>) -> Deleted {
    Deleted { file: None, entries }
}

/// Lets pulls forget what these entries are about.
pub(crate) fn forget(caches: &Caches, repository_id: i64, entries: &[Entry]) {
    for entry in entries {
        match entry {
            Entry::Tag(tag) => caches.forget_manifest(repository_id, &Reference::Tag(tag.clone())),
            Entry::Revision(digest) => caches.forget_manifest(repository_id, &Reference::Digest(*digest)),
            Entry::Layer(digest) => caches.forget_link(repository_id, digest),
        }
    }
}

fn unknown(name: &RepositoryName, reference: Reference) -> Error {
    Error::ManifestUnknown {
        repository: name.clone(),
        reference,
    }
}
