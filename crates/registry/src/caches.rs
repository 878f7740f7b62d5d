//! What pulls remember of the index, so that a hot pull asks nobody.
//!
//! While this process is the only writer of its index, these memories are exact: whoever commits a
//! change forgets what it touched before the change is answered. A load that began before the
//! commit cannot put the old value back, because forgetting also removes the placeholder that
//! the load would fill. A process that stands by does not use them, for another one writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use wharf_metadata::{Doubts, Metadata};
use wharf_oci::{Digest, Reference, RepositoryName};

use crate::garbage_collection::Touched;
use crate::pull::StoredManifest;
use crate::repository::Repository;

/// Bytes of manifests that are kept.
const MANIFEST_WEIGHT: u64 = 12 << 20;
/// Bytes of small blobs that are kept.
const CONTENT_WEIGHT: u64 = 12 << 20;
/// Layer links that are kept, about 150 bytes each.
const LINKS: usize = 16_384;
/// Repositories that are kept, about 300 bytes each.
const REPOSITORIES: usize = 8_192;

/// What is known of a blob in a repository.
#[derive(Clone, Debug)]
pub struct LinkedBlob {
    /// The blob's row.
    pub blob_id: i64,
    /// The digest that its bytes are stored under.
    pub stored: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last known to be asked for.
    pub touched: Touched,
}

/// The memories of one process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Caches {
    pub(crate) repositories: Arc<Cache<RepositoryName, Arc<Repository>>>,
    pub(crate) manifests: Arc<Cache<(i64, Reference), Arc<StoredManifest>, ManifestWeight>>,
    pub(crate) links: Arc<Cache<(i64, Digest), LinkedBlob>>,
    pub(crate) contents: Arc<Cache<Digest, Bytes, ContentWeight>>,
    is_exact: Arc<AtomicBool>,
    /// How often everything was forgotten.
    clearings: Arc<AtomicU64>,
    /// Changes that may have been made without anybody forgetting what they touched.
    doubts: Arc<Doubts>,
    /// Those after which everything was forgotten.
    forgotten: Arc<AtomicU64>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            repositories: Arc::new(Cache::new(REPOSITORIES)),
            manifests: Arc::new(Cache::with_weighter(4_096, MANIFEST_WEIGHT, ManifestWeight)),
            links: Arc::new(Cache::new(LINKS)),
            contents: Arc::new(Cache::with_weighter(2_048, CONTENT_WEIGHT, ContentWeight)),
            is_exact: Arc::new(AtomicBool::new(true)),
            clearings: Arc::default(),
            doubts: Arc::default(),
            forgotten: Arc::default(),
        }
    }
}

impl Caches {
    /// Of this index.
    pub fn new(metadata: &Metadata) -> Self {
        Self {
            doubts: Arc::clone(metadata.doubts()),
            ..Self::default()
        }
    }

    /// Whether what is remembered of the index is true: some loads. Not while the outcome of a commit
    /// is unknown; afterwards everything is forgotten first.
    pub(crate) fn is_exact(&self) -> bool {
        let raised = self.doubts.raised();
        if raised != self.forgotten.load(Ordering::Acquire) {
            if self.doubts.are_open() {
                return false;
            }
            self.forget_everything();
            self.forgotten.store(raised, Ordering::Release);
        }
        self.is_exact.load(Ordering::Acquire)
    }

    /// Says whether this process is the only writer of its index from now on.
    pub fn set_exact(&self, is_exact: bool) {
        self.is_exact.store(false, Ordering::Release);
        self.forget_everything();
        self.is_exact.store(is_exact, Ordering::Release);
    }

    /// How often everything was forgotten, for [`Self::keep_repository`].
    pub(crate) fn clearings(&self) -> u64 {
        self.clearings.load(Ordering::Acquire)
    }

    /// Remembers a repository that was read when everything had been forgotten `clearings` times:
    /// one that was deleted since then must not come back.
    pub(crate) fn keep_repository(&self, name: &RepositoryName, repository: &Arc<Repository>, clearings: u64) {
        self.repositories.insert(name.clone(), Arc::clone(repository));
        if self.clearings() != clearings {
            self.repositories.remove(name);
        }
    }

    /// A tag or manifest of a repository has changed or gone.
    pub fn forget_manifest(&self, repository_id: i64, reference: &Reference) {
        self.manifests.remove(&(repository_id, reference.clone()));
    }

    /// A blob was linked to or unlinked from a repository.
    pub fn forget_link(&self, repository_id: i64, digest: &Digest) {
        self.links.remove(&(repository_id, *digest));
    }

    /// The bytes of a blob are gone.
    pub fn forget_content(&self, digest: &Digest) {
        self.contents.remove(digest);
    }

    /// Much has changed at once, as when another registry wrote to the storage.
    pub fn forget_everything(&self) {
        self.clearings.fetch_add(1, Ordering::AcqRel);
        self.repositories.clear();
        self.manifests.clear();
        self.links.clear();
        self.contents.clear();
    }
}

/// Weighs a manifest by its bytes and what surrounds them.
#[derive(Clone, Debug)]
pub struct ManifestWeight;

impl Weighter<(i64, Reference), Arc<StoredManifest>> for ManifestWeight {
    fn weight(&self, _key: &(i64, Reference), manifest: &Arc<StoredManifest>) -> u64 {
        manifest.bytes.len() as u64 + 600
    }
}

/// Weighs a blob by its bytes and what surrounds them.
#[derive(Clone, Debug)]
pub struct ContentWeight;

impl Weighter<Digest, Bytes> for ContentWeight {
    fn weight(&self, _key: &Digest, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 200
    }
}
