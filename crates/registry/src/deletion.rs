//! Deleting tags, manifests and blob links. A delete is committed first and then mirrored, so
//! that an acknowledged delete stays deleted (consistency rule 3).

use wharf_access::{Action, Principal};
use wharf_metadata::{Entry, Metadata, Timestamp, Tx, links, manifests, mirror, tags};
use wharf_oci::{Digest, Reference, RepositoryName, Tag};

use crate::caches::Caches;
use crate::mirror::Mirror;
use crate::repository::Repositories;
use crate::{Clock, Error, Result};

/// Deletes. Cloning is cheap.
#[derive(Clone)]
pub struct Deletions {
    repositories: Repositories,
    metadata: Metadata,
    caches: Caches,
    mirror: Mirror,
    rules: DeletionRules,
    clock: Clock,
}

/// What the configuration says about deletes.
#[derive(Clone, Copy, Debug)]
pub struct DeletionRules {
    /// `storage.delete.enabled`
    pub is_enabled: bool,
    /// `storage.maintenance.readonly`
    pub is_read_only: bool,
}

impl Deletions {
    /// Over these parts, under these rules.
    pub const fn new(
        repositories: Repositories,
        metadata: Metadata,
        caches: Caches,
        mirror: Mirror,
        rules: DeletionRules,
        clock: Clock,
    ) -> Self {
        Self {
            repositories,
            metadata,
            caches,
            mirror,
            rules,
            clock,
        }
    }

    /// Deletes a tag; its manifest stays.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`], [`Error::Unsupported`] when deletes are off, or the principal
    /// may not delete here.
    pub async fn tag(&self, principal: &Principal, name: &RepositoryName, tag: &Tag) -> Result<()> {
        let repository_id = self.allowed(principal, name).await?;
        let (by, at, deleted) = (principal.name().to_owned(), self.now(), tag.clone());
        let entry = Entry::Tag(tag.clone());
        let raised = entry.clone();
        let written = self.metadata.write(move |tx| {
            let change = tags::Change {
                repository_id,
                tag: &deleted,
                action: tags::Action::Deleted,
                by: &by,
                at,
            };
            let found = tags::delete(tx, &change)?.is_some();
            if found {
                mirror::raise(tx, repository_id, &raised)?;
            }
            Ok::<_, wharf_metadata::Error>(found)
        });
        let found = written.await?;
        self.caches.forget_manifest(repository_id, &Reference::Tag(tag.clone()));
        // also when it was gone already: an earlier delete may have been committed without an answer
        let was_owed = self.mirror.settle(&(repository_id, entry)).await?;
        if found || was_owed {
            Ok(())
        } else {
            Err(unknown(name, Reference::Tag(tag.clone())))
        }
    }

    /// Deletes a manifest and every tag that points to it.
    ///
    /// # Errors
    ///
    /// As [`Deletions::tag`].
    pub async fn manifest(&self, principal: &Principal, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let repository_id = self.allowed(principal, name).await?;
        let (by, at, deleted) = (principal.name().to_owned(), self.now(), *digest);
        let gone = self
            .metadata
            .write(move |tx| delete_manifest(tx, repository_id, &deleted, &by, at))
            .await?;
        self.caches.forget_manifest(repository_id, &Reference::Digest(*digest));
        let is_known = gone.is_some();
        let entries = gone.unwrap_or_else(|| vec![Entry::Revision(*digest)]);
        for entry in &entries {
            match entry {
                Entry::Tag(tag) => self.caches.forget_manifest(repository_id, &Reference::Tag(tag.clone())),
                Entry::Revision(digest) => self.caches.forget_manifest(repository_id, &Reference::Digest(*digest)),
                Entry::Layer(_) => {}
            }
        }
        if !is_known {
            // an earlier delete may have been committed without an answer
            self.mirror.retry(Some(repository_id)).await?;
        }
        let was_owed = self.mirror.settle_all(repository_id, entries).await?;
        if is_known || was_owed {
            Ok(())
        } else {
            Err(unknown(name, Reference::Digest(*digest)))
        }
    }

    /// The repository forgets a blob. Its bytes stay while other repositories link them, and until
    /// garbage is collected.
    ///
    /// # Errors
    ///
    /// [`Error::BlobUnknown`], and as [`Deletions::tag`].
    pub async fn blob(&self, principal: &Principal, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let repository_id = self.allowed(principal, name).await?;
        let (deleted, now) = (*digest, self.now());
        let written = self.metadata.write(move |tx| {
            let Some(link) = links::unlink(tx, repository_id, &deleted, now)? else {
                return Ok(None);
            };
            let names = std::iter::once(link.sha256).chain(link.sha512.filter(|_| link.is_alias));
            let entries: Vec<Entry> = names.map(Entry::Layer).collect();
            for entry in &entries {
                mirror::raise(tx, repository_id, entry)?;
            }
            Ok::<_, wharf_metadata::Error>(Some(entries))
        });
        let gone = written.await?;
        let is_known = gone.is_some();
        let entries = gone.unwrap_or_else(|| vec![Entry::Layer(*digest)]);
        for entry in &entries {
            if let Entry::Layer(digest) = entry {
                self.caches.forget_link(repository_id, digest);
            }
        }
        if !is_known {
            // an earlier delete may have been committed without an answer
            self.mirror.retry(Some(repository_id)).await?;
        }
        let was_owed = self.mirror.settle_all(repository_id, entries).await?;
        if is_known || was_owed {
            Ok(())
        } else {
            Err(Error::BlobUnknown {
                repository: name.clone(),
                digest: *digest,
            })
        }
    }

    async fn allowed(&self, principal: &Principal, name: &RepositoryName) -> Result<i64> {
        let repository = self.repositories.get(principal, name, Action::Delete).await?;
        if self.rules.is_read_only {
            return Err(Error::Unsupported(
                "the registry is read-only (storage.maintenance.readonly)",
            ));
        }
        if !self.rules.is_enabled {
            return Err(Error::Unsupported(
                "deleting is switched off: set storage.delete.enabled to true",
            ));
        }
        Ok(repository.id)
    }

    fn now(&self) -> Timestamp {
        (self.clock)().into()
    }
}

fn unknown(name: &RepositoryName, reference: Reference) -> Error {
    Error::ManifestUnknown {
        repository: name.clone(),
        reference,
    }
}

/// Deletes the row, its tags and its references; `None` when there is no such manifest, else the
/// storage entries that must follow.
pub(crate) fn delete_manifest(
    tx: &mut Tx<'_>,
    repository_id: i64,
    digest: &Digest,
    by: &str,
    at: Timestamp,
) -> std::result::Result<Option<Vec<Entry>>, wharf_metadata::Error> {
    let Some(gone) = manifests::delete(tx, repository_id, digest, by, at)? else {
        return Ok(None);
    };
    let names = std::iter::once(gone.sha256).chain(gone.sha512);
    let entries: Vec<Entry> = gone
        .tags
        .into_iter()
        .map(Entry::Tag)
        .chain(names.map(Entry::Revision))
        .collect();
    for entry in &entries {
        mirror::raise(tx, repository_id, entry)?;
    }
    Ok(Some(entries))
}
