//! Mounting: a blob that another repository has becomes part of this one without a transfer.

use crate::repository::NEW;
use wharf_access::{Action, Identity, Principal, Resource, Visibility, decide};
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
        let digest = *digest;
        let Some(blob) = self.metadata.read(move |tx| blobs::find(tx, &digest)).await? else {
            return Ok(false);
        };
        Ok(self.storage.blobs().stat(&blob.sha256).await?.is_some())
    }

    /// Whether a repository that the principal may pull from has the blob.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsSource`] when a token for the source as well would help.
    async fn has_source(
        &self,
        principal: &Principal,
        target: &Target,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        let Some(from) = from else {
            return self.has_any_source(principal, target, digest).await;
        };
        match self.repositories.open(principal, from, Action::Pull).await {
            Ok(Some(source)) => {
                let digest = *digest;
                let linked = self.metadata.read(move |tx| links::is_linked(tx, source.id, &digest));
                Ok(linked.await?)
            }
            Err(Error::NeedsCredentials { .. }) => Err(needs_source(target, from)),
            Ok(None) | Err(Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The same where the client names no source.
    async fn has_any_source(&self, principal: &Principal, target: &Target, digest: &Digest) -> Result<bool> {
        let find = |principal: Principal| {
            let (target, digest) = (target.name.clone(), *digest);
            self.metadata.read(move |tx| {
                let may_read = |name: &RepositoryName, visibility: Visibility| {
                    *name == target
                        || decide(&principal, Action::Pull, Resource::Repository(name, visibility)).is_allowed()
                };
                let holder = links::find_holder(tx, &digest, MOST_SOURCES, may_read)?;
                let holder = holder.map(|id| repositories::by_id(tx, id)).transpose()?;
                Ok::<_, wharf_metadata::Error>(holder.flatten())
            })
        };
        if find(principal.clone()).await?.is_some() {
            return Ok(true);
        }
        // an external issuer's token is all that is known of its owner
        if principal.scopes.is_none() || matches!(principal.identity, Identity::External(_)) {
            return Ok(false);
        }
        match find(Principal::whole(principal.identity.clone())).await? {
            Some(source) => Err(needs_source(target, &source.name)),
            None => Ok(false),
        }
    }
}

fn needs_source(target: &Target, source: &RepositoryName) -> Error {
    Error::NeedsSource {
        target: target.name.clone(),
        source_repository: source.clone(),
    }
}
