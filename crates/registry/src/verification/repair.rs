//! What is safe to do about what is wrong.

use wharf_metadata::{Entry, blobs, mirror, repositories, verification};
use wharf_oci::{Digest, Reference, RepositoryName};
use wharf_storage::Fingerprint;

use super::Work;
use crate::Result;

impl Work<'_> {
    /// Writes a link that the index has promised, if the bytes are there.
    pub(super) async fn relink(
        &self,
        (id, name): (i64, &RepositoryName),
        entry: Entry,
        stored: Option<Digest>,
    ) -> Result<()> {
        let Some(stored) = stored else { return Ok(()) };
        if self.parts.storage.blobs().stat(&stored).await?.is_none() {
            return Ok(());
        }
        if !self.act(|| format!("write the link {entry} of {name} as the index has it")) {
            return Ok(());
        }
        let raised = entry.clone();
        self.parts
            .metadata
            .write(move |tx| match repositories::by_id(tx, id)? {
                Some(_) => mirror::raise(tx, id, &raised).map(drop),
                // it went meanwhile, and its links with it
                None => Ok(()),
            })
            .await?;
        // whatever the index says by then
        self.parts.mirror.settle(&(id, entry)).await.map(drop)
    }

    /// Puts bytes aside that were read and are damaged, so that an upload of the same digest brings
    /// good ones. Those that an upload has brought since stay.
    pub(super) async fn put_aside(&self, digest: &Digest, read: &Fingerprint) -> Result<()> {
        let place = format!("wharf/quarantine/{}", digest.hex());
        if !self.act(|| format!("move the bytes of {digest} to {place}: a push of the same content heals it")) {
            return Ok(());
        }
        self.parts.storage.blobs().quarantine(digest, read).await?;
        self.parts.caches.forget_everything();
        Ok(())
    }

    /// Removes the rows of bytes that are gone, when that was asked for: the links of every
    /// repository that has them, and the manifests that they were, with their tags. Not if anybody
    /// has asked for them or brought them since `blob` was read: the next verification looks again.
    pub(super) async fn forget_missing(&self, blob: &blobs::Blob) -> Result<()> {
        if !self.options.forget_missing {
            return Ok(());
        }
        let digest = blob.sha256;
        let (seen, now) = (blob.clone(), (self.parts.clock)().into());
        if !self.act(|| format!("forget {digest} in every repository: its bytes are gone")) {
            return Ok(());
        }
        let forgotten = self
            .parts
            .metadata
            .write(move |tx| verification::forget_bytes(tx, &seen, now));
        let raised: Vec<(i64, Entry)> = forgotten.await?;
        for (id, entry) in &raised {
            self.parts.caches.forget_link(*id, &digest);
            match entry {
                Entry::Tag(tag) => self.parts.caches.forget_manifest(*id, &Reference::Tag(tag.clone())),
                Entry::Revision(digest) | Entry::Layer(digest) => {
                    self.parts.caches.forget_manifest(*id, &Reference::Digest(*digest));
                }
            }
        }
        for key in raised {
            self.parts.mirror.settle(&key).await?;
        }
        Ok(())
    }

    /// Gives bytes a row that have none.
    pub(super) async fn index_blob(&self, digest: Digest, size: u64) -> Result<()> {
        if self.act(|| format!("index the bytes of {digest}: the garbage collector removes them if nobody needs them"))
        {
            self.parts.adoption.adopt_orphans(vec![(digest, size)]).await?;
        }
        Ok(())
    }

    /// Corrects the size of whole bytes.
    pub(super) async fn correct_size(&self, blob: &blobs::Blob, size: u64) -> Result<()> {
        let (id, digest) = (blob.id, blob.sha256);
        if self.act(|| format!("correct the size of {digest} to {size} bytes: they are whole")) {
            let corrected = self
                .parts
                .metadata
                .write(move |tx| verification::correct_size(tx, id, size));
            corrected.await?;
            self.parts.caches.forget_everything();
        }
        Ok(())
    }
}
