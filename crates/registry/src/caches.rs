//! What pulls remember of the index, so that a hot pull asks nobody.
//!
//! While this process is the only writer of its index, these memories are exact: whoever commits a
//! change forgets what it touched before the change is answered. A load that began before the
//! commit cannot put the old value back, because forgetting also removes the placeholder that
//! the load would fill. A process that stands by does not use them, for another one writes.
//!
//! Where several processes write, everything is kept under the version of its shard that a request
//! saw before it loaded it ([`cache_versions`]), and served to requests that see the same version. So
//! a change needs to forget nothing: it has raised the version in its own transaction, and a request
//! that came after its answer sees another one. What is kept under an older version is found by
//! nobody and makes room in time.

mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use wharf_metadata::cache_versions::{self, Versions};
use wharf_metadata::{Doubts, Metadata};
use wharf_oci::{Digest, Reference, RepositoryName};

use crate::Result;
use crate::garbage_collection::Touched;
use crate::pull::StoredManifest;
use crate::repository::Repository;
use versions::VersionReader;

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

/// A manifest of a repository, under a version.
type ManifestKey = (i64, Reference, i64);
/// A blob of a repository, under a version.
type LinkKey = (i64, Digest, i64);
/// Bytes, under a version.
type ContentKey = (Digest, i64);

/// The version of everything where one process writes.
const ALONE: i64 = 0;

/// What one request may take from memory. Made when the request comes.
#[derive(Clone, Debug)]
pub(crate) struct View {
    is_exact: bool,
    versions: Option<Arc<Versions>>,
}

impl View {
    /// Whether anything may be taken from memory.
    pub(crate) const fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Whether other processes write as well.
    pub(crate) const fn is_shared(&self) -> bool {
        self.versions.is_some()
    }

    /// The version of what is remembered of a repository.
    pub(crate) fn of_repository(&self, id: i64) -> i64 {
        self.of(|| cache_versions::shard_of(id))
    }

    /// The version of bytes.
    pub(crate) fn of_bytes(&self) -> i64 {
        self.of(|| cache_versions::BYTES)
    }

    fn of_names(&self) -> i64 {
        self.of(|| cache_versions::NAMES)
    }

    fn of(&self, shard: impl FnOnce() -> usize) -> i64 {
        self.versions.as_ref().map_or(ALONE, |versions| versions.of(shard()))
    }
}

/// The memories of one process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Caches {
    repositories: Arc<Cache<RepositoryName, (i64, Arc<Repository>)>>,
    pub(crate) manifests: Arc<Cache<ManifestKey, Arc<StoredManifest>, ManifestWeight>>,
    pub(crate) links: Arc<Cache<LinkKey, LinkedBlob>>,
    pub(crate) contents: Arc<Cache<ContentKey, Bytes, ContentWeight>>,
    /// Where other processes write as well.
    versions: Option<Arc<VersionReader>>,
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
            versions: None,
            is_exact: Arc::new(AtomicBool::new(true)),
            clearings: Arc::default(),
            doubts: Arc::default(),
            forgotten: Arc::default(),
        }
    }
}

impl Caches {
    /// Of this index. Whether it is shared must be said before.
    pub fn new(metadata: &Metadata) -> Self {
        let versions = metadata
            .is_shared()
            .then(|| Arc::new(VersionReader::new(metadata.clone())));
        Self {
            doubts: Arc::clone(metadata.doubts()),
            versions,
            ..Self::default()
        }
    }

    /// What a request that has just come may take from memory. Where other processes write as well
    /// this asks the index, together with all others who ask at this moment.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unavailable`]: the index cannot be asked.
    pub(crate) async fn view(&self) -> Result<View> {
        match &self.versions {
            None => Ok(View {
                is_exact: self.is_exact(),
                versions: None,
            }),
            Some(reader) => Ok(View {
                is_exact: true,
                versions: Some(reader.read().await?),
            }),
        }
    }

    /// How often the index was asked which versions stand, and by how many requests. Zeros where one
    /// process writes.
    pub fn version_reads(&self) -> (u64, u64) {
        self.versions.as_ref().map_or((0, 0), |reader| reader.counts())
    }

    /// Whether what is remembered of the index is true: some loads. Not while the outcome of a commit
    /// is unknown; afterwards everything is forgotten first.
    fn is_exact(&self) -> bool {
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

    /// The repository that a name means, if it is remembered.
    pub(crate) fn repository(&self, view: &View, name: &RepositoryName) -> Option<Arc<Repository>> {
        let (version, repository) = self.repositories.get(name)?;
        (version == view.of_names()).then_some(repository)
    }

    /// Forgets which repository a name means.
    pub(crate) fn forget_repository(&self, name: &RepositoryName) {
        self.repositories.remove(name);
    }

    /// Remembers a repository that was read when everything had been forgotten `clearings` times:
    /// one that was deleted since then must not come back.
    pub(crate) fn keep_repository(
        &self,
        view: &View,
        name: &RepositoryName,
        (repository, clearings): (&Arc<Repository>, u64),
    ) {
        self.repositories
            .insert(name.clone(), (view.of_names(), Arc::clone(repository)));
        if self.clearings() != clearings {
            self.repositories.remove(name);
        }
    }

    /// A tag or manifest of a repository has changed or gone.
    pub fn forget_manifest(&self, repository_id: i64, reference: &Reference) {
        self.manifests.remove(&(repository_id, reference.clone(), ALONE));
    }

    /// A blob was linked to or unlinked from a repository.
    pub fn forget_link(&self, repository_id: i64, digest: &Digest) {
        self.links.remove(&(repository_id, *digest, ALONE));
    }

    /// The bytes of a blob are gone.
    pub fn forget_content(&self, digest: &Digest) {
        self.contents.remove(&(*digest, ALONE));
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

impl Weighter<ManifestKey, Arc<StoredManifest>> for ManifestWeight {
    fn weight(&self, _key: &ManifestKey, manifest: &Arc<StoredManifest>) -> u64 {
        manifest.bytes.len() as u64 + 600
    }
}

/// Weighs a blob by its bytes and what surrounds them.
#[derive(Clone, Debug)]
pub struct ContentWeight;

impl Weighter<ContentKey, Bytes> for ContentWeight {
    fn weight(&self, _key: &ContentKey, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 200
    }
}
