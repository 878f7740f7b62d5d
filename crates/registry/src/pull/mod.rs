//! Pulling manifests and blobs.

use std::sync::Arc;

use bytes::Bytes;
use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, links, manifests, tags};
use wharf_oci::{Digest, Reference, RepositoryName};
use wharf_storage::Storage;

use crate::caches::{Caches, LinkedBlob, View};
use crate::garbage_collection::{Touched, Touches};
use crate::identity;
use crate::repository::{Repositories, Repository};
use crate::statistics::PullCounter;
use crate::{Error, Result};

mod blob;
mod unread;

pub use blob::Blob;

/// Blobs up to this size are kept in memory once they were pulled: configurations mostly.
const SMALL_BLOB: u64 = 32 << 10;

/// A manifest as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The repository's row.
    pub repository_id: i64,
    /// The digest that it was pushed under.
    pub digest: Digest,
    /// The same as text.
    pub digest_text: Bytes,
    /// The same in quotes, as an entity tag.
    pub quoted_digest: Bytes,
    /// The type it is served with.
    pub media_type: Bytes,
    /// The stored bytes.
    pub bytes: Bytes,
}

impl StoredManifest {
    fn new(repository_id: i64, digest: Digest, media_type: String, bytes: Bytes) -> Self {
        // one piece of memory for both, made here and not per request
        let quoted_digest = Bytes::from(format!("\"{digest}\""));
        Self {
            repository_id,
            digest,
            digest_text: quoted_digest.slice(1..quoted_digest.len() - 1),
            quoted_digest,
            media_type: media_type.into(),
            bytes,
        }
    }
}

/// What the index says of a manifest.
struct Head {
    digest: Digest,
    stored: Digest,
    media_type: String,
    size: u64,
}

/// Serves what is stored. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Pulls {
    repositories: Repositories,
    metadata: Metadata,
    storage: Storage,
    caches: Caches,
    counter: PullCounter,
    touches: Touches,
    manifest_limit: u64,
}

impl Pulls {
    /// Over these parts; `manifest_limit` in bytes bounds what is read into memory at once.
    pub const fn new(
        repositories: Repositories,
        metadata: Metadata,
        storage: Storage,
        caches: Caches,
        counter: PullCounter,
        touches: Touches,
        manifest_limit: u64,
    ) -> Self {
        Self {
            repositories,
            metadata,
            storage,
            caches,
            counter,
            touches,
            manifest_limit,
        }
    }

    /// The manifest that `reference` means.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`], or the principal may not pull here.
    pub async fn manifest(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Arc<StoredManifest>> {
        let unknown = || Error::ManifestUnknown {
            repository: name.clone(),
            reference: reference.clone(),
        };
        if let Some(folder) = self.repositories.unread_folder(principal, name).await?
            && let Some(manifest) = unread::manifest(&self.storage, &folder, reference, self.manifest_limit).await?
        {
            return Ok(Arc::new(manifest));
        }
        let view = self.caches.view().await?;
        let repository = self
            .repositories
            .open_in(&view, principal, name, Action::Pull)
            .await?
            .ok_or_else(unknown)?;
        if !view.is_exact() {
            return self
                .load_manifest(&view, &repository, reference)
                .await?
                .ok_or_else(unknown);
        }
        let key = (repository.id, reference.clone(), view.of_repository(repository.id));
        if let Some(manifest) = self.caches.manifests.get(&key) {
            return Ok(manifest);
        }
        let load = async {
            let loaded = self.load_manifest(&view, &repository, reference).await?;
            loaded.ok_or_else(unknown)
        };
        self.caches.manifests.get_or_insert_async(&key, load).await
    }

    async fn load_manifest(
        &self,
        view: &View,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>> {
        let Some(head) = self.find_head(repository, reference).await? else {
            return Ok(None);
        };
        let content = (head.stored, view.of_bytes());
        let bytes = match self.caches.contents.get(&content) {
            Some(bytes) => Some(bytes),
            None => {
                let limit = self.manifest_limit.max(head.size);
                let bytes = self.storage.blobs().read(&head.stored, limit).await?;
                // others' pushes make it be read from the index again, not from the storage
                if let Some(bytes) = bytes.as_ref().filter(|_| view.is_shared()) {
                    self.caches.contents.insert(content, bytes.clone());
                }
                bytes
            }
        };
        let Some(bytes) = bytes else {
            self.report_lost(&head.stored).await?;
            return Ok(None);
        };
        Ok(Some(Arc::new(StoredManifest::new(
            repository.id,
            head.digest,
            head.media_type,
            bytes,
        ))))
    }

    async fn find_head(&self, repository: &Repository, reference: &Reference) -> Result<Option<Head>> {
        let (id, reference) = (repository.id, reference.clone());
        let found = self.metadata.read(move |tx| match &reference {
            Reference::Tag(tag) => Ok(tags::get(tx, id, tag)?.map(|target| Head {
                digest: target.digest,
                stored: target.sha256,
                media_type: target.media_type,
                size: target.size,
            })),
            Reference::Digest(digest) => Ok(manifests::head(tx, id, digest)?.map(|head| Head {
                digest: *digest,
                stored: head.sha256,
                media_type: head.media_type,
                size: head.size,
            })),
        });
        found.await.map_err(|error: wharf_metadata::Error| error.into())
    }

    /// A manifest was handed to a client: counted later, in a batch.
    pub fn count(&self, manifest: &StoredManifest, reference: &Reference) {
        self.counter.count(manifest, reference);
    }

    /// The blob `digest` of the repository.
    ///
    /// # Errors
    ///
    /// [`Error::BlobUnknown`] when the repository has no link to it, or the principal may not
    /// pull here.
    pub async fn blob(&self, principal: &Principal, name: &RepositoryName, digest: &Digest) -> Result<Blob> {
        if let Some(blob) = self.unread_blob(principal, name, digest).await? {
            return Ok(blob);
        }
        let view = self.caches.view().await?;
        let (_, linked) = self.find_blob(&view, principal, name, digest).await?;
        self.open_blob(&view, name, digest, &linked).await
    }

    /// The same for who asks whether the blob is there and may push a manifest that names it next:
    /// what was answered is kept for a while (consistency rule 4).
    ///
    /// # Errors
    ///
    /// As [`Pulls::blob`].
    pub async fn check_blob(&self, principal: &Principal, name: &RepositoryName, digest: &Digest) -> Result<Blob> {
        // nothing is collected before everything was read
        if let Some(blob) = self.unread_blob(principal, name, digest).await? {
            return Ok(blob);
        }
        let view = self.caches.view().await?;
        let (repository_id, linked) = self.find_blob(&view, principal, name, digest).await?;
        if !self.touches.touch((repository_id, digest), &linked).await? {
            self.caches.forget_link(repository_id, digest);
            return Err(blob_unknown(name, digest));
        }
        // a look into a bucket takes longer than all the rest
        if self.storage.is_shared()
            && let Some(reader) = self.storage.blobs().open_known(&linked.stored, linked.size).await?
        {
            return Ok(Blob::stored(linked.size, linked.stored, reader));
        }
        self.open_blob(&view, name, digest, &linked).await
    }

    /// What to answer where the bytes of a blob turned out to be gone when they were read.
    pub async fn lost(&self, name: &RepositoryName, digest: &Digest) -> Error {
        match self.report_lost(digest).await {
            Ok(()) => blob_unknown(name, digest),
            Err(error) => error,
        }
    }

    async fn unread_blob(&self, principal: &Principal, name: &RepositoryName, digest: &Digest) -> Result<Option<Blob>> {
        match self.repositories.unread_folder(principal, name).await? {
            Some(folder) => unread::blob(&self.storage, &folder, digest).await,
            None => Ok(None),
        }
    }

    async fn find_blob(
        &self,
        view: &View,
        principal: &Principal,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(i64, LinkedBlob)> {
        let unknown = || blob_unknown(name, digest);
        let repository = self
            .repositories
            .open_in(view, principal, name, Action::Pull)
            .await?
            .ok_or_else(unknown)?;
        let linked = self.linked(view, &repository, digest).await?.ok_or_else(unknown)?;
        Ok((repository.id, linked))
    }

    async fn open_blob(
        &self,
        view: &View,
        name: &RepositoryName,
        digest: &Digest,
        linked: &LinkedBlob,
    ) -> Result<Blob> {
        let unknown = || blob_unknown(name, digest);
        if linked.size > SMALL_BLOB {
            return match self.storage.blobs().open_known(&linked.stored, linked.size).await? {
                Some(reader) => Ok(Blob::stored(linked.size, linked.stored, reader)),
                None => {
                    self.report_lost(&linked.stored).await?;
                    Err(unknown())
                }
            };
        }
        let load = async {
            match self.storage.blobs().read(&linked.stored, SMALL_BLOB).await? {
                Some(bytes) => Ok(bytes),
                None => {
                    self.report_lost(&linked.stored).await?;
                    Err(unknown())
                }
            }
        };
        let content = (linked.stored, view.of_bytes());
        let bytes = match self.caches.contents.get(&content) {
            Some(bytes) => bytes,
            None => self.caches.contents.get_or_insert_async(&content, load).await?,
        };
        Ok(Blob::small(bytes))
    }

    /// The index knows bytes that are gone: somebody else removed them, as the garbage collector of
    /// registry:2 does. They are answered as unknown, for a client that pushes asks first whether
    /// they are here, gives up on any other error, and brings them back after this one. But if the
    /// whole storage is gone, such as a volume that was unmounted, nothing is denied.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the storage itself is not there.
    async fn report_lost(&self, stored: &Digest) -> Result<()> {
        if identity::is_there(&self.storage).await? {
            tracing::error!(digest = %stored, "the bytes are in the index but not in the storage: push them again");
            return Ok(());
        }
        tracing::error!(digest = %stored, "the storage folder has lost its identity: is its volume mounted?");
        Err(Error::unavailable(
            "the storage is not there: its volume may not be mounted",
            60,
        ))
    }

    async fn linked(&self, view: &View, repository: &Repository, digest: &Digest) -> Result<Option<LinkedBlob>> {
        let (id, digest) = (repository.id, *digest);
        let key = (id, digest, view.of_repository(id));
        let find = async || {
            let row = self.metadata.read(move |tx| links::find(tx, id, &digest)).await?;
            let readable = row.filter(|row| row.state.is_readable());
            Ok::<_, wharf_metadata::Error>(readable.map(|row| LinkedBlob {
                blob_id: row.blob_id,
                stored: row.sha256,
                size: row.size,
                touched: Touched::of(&row),
            }))
        };
        if !view.is_exact() {
            return Ok(find().await?);
        }
        if let Some(linked) = self.caches.links.get(&key) {
            return Ok(Some(linked));
        }
        // what is not there is not remembered
        let load = async { find().await.map_err(Some)?.ok_or(None::<wharf_metadata::Error>) };
        match self.caches.links.get_or_insert_async(&key, load).await {
            Ok(linked) => Ok(Some(linked)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error.into()),
        }
    }
}

fn blob_unknown(name: &RepositoryName, digest: &Digest) -> Error {
    Error::BlobUnknown {
        repository: name.clone(),
        digest: *digest,
    }
}
