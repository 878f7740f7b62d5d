//! From received bytes to a blob of the repository (consistency rules 3, 5 and 10).

use crate::repository::NEW;
use wharf_metadata::blobs::Begin;
use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, blobs, links, mirror, repositories, uploads};
use wharf_oci::{Algorithm, Digest};

use super::session::Turn;
use super::{Pushes, Target};
use crate::{Error, Result};

/// Who writes bytes: one process for now.
const OWNER: &str = "wharf";

impl Pushes {
    /// Checks the digest and makes the upload a blob of the repository.
    pub(super) async fn commit(&self, target: &Target, turn: &mut Turn, digest: &Digest) -> Result<()> {
        let alias = self.check_digest(target, turn, digest).await?;
        let stored = turn.state().sha256();
        let size = turn.state().offset();
        self.begin_writing(stored, size).await?;
        self.storage
            .uploads()
            .publish(&target.storage_name, turn.id(), turn.state())
            .await?;
        let upload = turn.has_row().then(|| turn.id().to_string());
        let (name, now, digest) = (target.name.clone(), self.now(), *digest);
        let entries: Vec<Entry> = std::iter::once(stored).chain(alias).map(Entry::Layer).collect();
        let raised = entries.clone();
        let written = self.metadata.write(move |tx| {
            let repository = repositories::find_or_create(tx, &name, State::Indexed(NEW), now)?;
            if !blobs::set_present(tx, &stored, alias.as_ref(), now)? {
                return Err(Error::unavailable(
                    format!("blob {stored} was deleted meanwhile: push it again"),
                    1,
                ));
            }
            links::link(tx, repository.id, &digest, now)?;
            for entry in &raised {
                mirror::raise(tx, repository.id, entry)?;
            }
            if let Some(id) = &upload {
                uploads::delete(tx, repository.id, id)?;
            }
            Ok(repository.id)
        });
        let repository_id = written.await?;
        turn.close();
        self.caches.forget_link(repository_id, &digest);
        self.mirror.settle_all(repository_id, entries).await.map(drop)
    }

    /// Those of `stored` whose bytes are gone although the index has them: another registry's
    /// garbage collection may have run while this process did not.
    pub(super) async fn removed_by_others(&self, stored: &[Digest]) -> Result<Vec<Digest>> {
        let mut removed = Vec::new();
        for digest in stored {
            if self.storage.blobs().stat(digest).await?.is_none() {
                removed.push(*digest);
            }
        }
        Ok(removed)
    }

    /// The second name of the blob, when the client knows it by its sha512.
    async fn check_digest(&self, target: &Target, turn: &mut Turn, digest: &Digest) -> Result<Option<Digest>> {
        let computed = match turn.state().digest(digest.algorithm()) {
            Some(computed) => Some(computed),
            None => {
                let uploads = self.storage.uploads();
                let hashed = uploads.rehash(&target.storage_name, turn.id(), turn.state()).await?;
                hashed.digest(digest.algorithm())
            }
        };
        match computed {
            Some(computed) if computed == *digest => Ok((digest.algorithm() == Algorithm::Sha512).then_some(computed)),
            computed => {
                turn.discard_in_place().await?;
                Err(Error::DigestMismatch {
                    given: Box::new(*digest),
                    computed: Box::new(computed.unwrap_or_else(|| turn.state().sha256())),
                })
            }
        }
    }

    /// Commits the row that lets a crash find the bytes, before they appear under `blobs/`.
    pub(super) async fn begin_writing(&self, stored: Digest, size: u64) -> Result<()> {
        let known = self.metadata.read(move |tx| blobs::find(tx, &stored)).await?;
        if known.is_some_and(|blob| matches!(blob.state, blobs::State::Present)) {
            return Ok(());
        }
        let now = self.now();
        let written = self
            .metadata
            .write(move |tx| blobs::begin_writing(tx, &[(stored, size)], OWNER, now));
        let begun: Vec<Begin> = written.await?;
        if begun.iter().any(|begun| matches!(begun, Begin::Deleting { .. })) {
            return Err(Error::unavailable(
                format!("blob {stored} is being deleted: push it again in a moment"),
                5,
            ));
        }
        Ok(())
    }
}
