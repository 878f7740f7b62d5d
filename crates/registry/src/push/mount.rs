//! Mounting: a blob that another repository has becomes part of this one without a transfer.

use crate::repository::NEW;
use wharf_access::{Action, Principal, Resource, Visibility, decide};
use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, blobs, links, mirror, repositories};
use wharf_oci::{Digest, RepositoryName};

use super::{Pushes, Target};
use crate::{Error, Result};

/// How many repositories are tried when the client does not name one.
const MOST_SOURCES: usize = 32;

impl Pushes {
    /// Whether the blob is part of the repository now. A source that the principal may not pull
    /// from is no source: the answer is the same as for a blob that is not there.
    pub(super) async fn mount(
        &self,
        principal: &Principal,
        target: &Target,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        if !self.has_source(principal, target, digest, from).await? || !self.is_stored(digest).await? {
            return Ok(false);
        }
        let (name, now, digest) = (target.name.clone(), self.now(), *digest);
        let written = self.metadata.write(move |tx| {
            let Some(blob) = blobs::find(tx, &digest)? else {
                return Ok(None);
            };
            if !blobs::lock_present(tx, &[blob.sha256], now)?.is_empty() {
                return Ok(None);
            }
            let repository = repositories::find_or_create(tx, &name, State::Indexed(NEW), now)?;
            links::link(tx, repository.id, &digest, now)?;
            let alias = (digest != blob.sha256).then_some(digest);
            let entries: Vec<Entry> = std::iter::once(blob.sha256).chain(alias).map(Entry::Layer).collect();
            for entry in &entries {
                mirror::raise(tx, repository.id, entry)?;
            }
            Ok::<_, wharf_metadata::Error>(Some((repository.id, entries)))
        });
        let Some((repository_id, entries)) = written.await? else {
            return Ok(false);
        };
        self.caches.forget_link(repository_id, &digest);
        self.mirror.settle_all(repository_id, entries).await?;
        Ok(true)
    }

    /// Whether the bytes are there: somebody else may have removed them, and an upload brings them
    /// back.
    async fn is_stored(&self, digest: &Digest) -> Result<bool> {
        let Some(blob) = self.metadata.read(|tx| blobs::find(tx, digest))? else {
            return Ok(false);
        };
        Ok(self.storage.blobs().stat(&blob.sha256).await?.is_some())
    }

    /// Whether a repository that the principal may pull from has the blob.
    async fn has_source(
        &self,
        principal: &Principal,
        target: &Target,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        let Some(from) = from else {
            let may_read = |name: &RepositoryName, visibility: Visibility| {
                *name == target.name
                    || decide(principal, Action::Pull, Resource::Repository(name, visibility)).is_allowed()
            };
            return Ok(self
                .metadata
                .read(|tx| links::find_holder(tx, digest, MOST_SOURCES, may_read))?
                .is_some());
        };
        match self.repositories.open(principal, from, Action::Pull).await {
            Ok(Some(source)) => Ok(self.metadata.read(|tx| links::is_linked(tx, source.id, digest))?),
            Ok(None) | Err(Error::NeedsCredentials { .. } | Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
