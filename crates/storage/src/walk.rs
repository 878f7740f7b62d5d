//! What is there: for adoption, reconciliation and rebuilding (consistency rules 7 and 8).
//!
//! Every walk answers in chunks, in no particular order, holds one chunk in memory and reads
//! further only when it is asked. Entries that no registry writes are reported as foreign and
//! passed over; a link that is broken is reported with the rest.

use crate::{
    LinkRecord, Result,
    driver::{ByteStore, Driver, Entry, Fingerprint, Lister, Probe},
    objects::FolderLister,
    paths::{self, Location},
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use wharf_oci::{Algorithm, Digest, RepositoryName, Tag};

pub use crate::driver::Detail;

/// Repositories are reported in groups of this size at most, or a few more.
const REPOSITORIES: usize = 256;
/// So many folders of a bucket are listed at once.
const AT_ONCE: usize = 16;

/// The walks over a storage.
#[derive(Clone, Debug)]
pub struct Walk {
    driver: Driver,
}

/// Some of what a walk finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<T> {
    /// What was found.
    pub found: Vec<T>,
    /// Places relative to the root, that are neither a registry's nor ours.
    pub foreign: Vec<String>,
}

impl<T> Chunk<T> {
    const fn new() -> Self {
        Self {
            found: Vec::new(),
            foreign: Vec::new(),
        }
    }

    const fn is_empty(&self) -> bool {
        self.found.is_empty() && self.foreign.is_empty()
    }
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRepository {
    /// Its name.
    pub name: RepositoryName,
}

/// When entries of a repository's folders last came or went: nanoseconds since 1970, `None` where
/// the folder is missing.
///
/// A new or vanished entry changes them. A tag that moves does not, nor does a manifest or layer
/// that distribution's API deletes, which leaves an empty folder: those show in the links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderTimes {
    /// `_manifests/tags`
    pub tags: Option<i64>,
    /// `_manifests/revisions/sha256`
    pub revisions_sha256: Option<i64>,
    /// `_manifests/revisions/sha512`
    pub revisions_sha512: Option<i64>,
    /// `_layers/sha256`
    pub layers_sha256: Option<i64>,
    /// `_layers/sha512`
    pub layers_sha512: Option<i64>,
    /// `_uploads`
    pub uploads: Option<i64>,
}

/// A link that a walk came by, under the name that it has in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLink<T> {
    /// The tag or digest that the link is called.
    pub name: T,
    /// What it says.
    pub state: LinkState,
    /// When it was last written, in nanoseconds since 1970; 0 when it is missing.
    pub modified: i64,
}

/// What a walk finds out about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Its folder is there, it is not: deleted by another registry, or interrupted.
    Missing,
    /// It is there; asked with [`Detail::Stat`].
    Stat(Fingerprint),
    /// It holds a digest; asked with [`Detail::Content`].
    Whole(LinkRecord),
    /// It holds something else; asked with [`Detail::Content`].
    Broken(Fingerprint),
}

impl LinkState {
    fn of(probe: Probe) -> Self {
        match probe {
            Probe::Missing => Self::Missing,
            Probe::Stat(fingerprint) => Self::Stat(fingerprint),
            Probe::Object(object) => match LinkRecord::parse(&object) {
                Some(record) => Self::Whole(record),
                None => Self::Broken(object.fingerprint),
            },
        }
    }
}

/// A blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundBlob {
    /// Its digest, a sha256.
    pub digest: Digest,
    /// The state of its file.
    pub fingerprint: Fingerprint,
}

impl Walk {
    pub(crate) const fn new(driver: Driver) -> Self {
        Self { driver }
    }

    /// All repositories: folders that hold `_manifests`, `_layers` or `_uploads`.
    pub fn repositories(&self) -> RepositoryWalk {
        RepositoryWalk {
            driver: self.driver.clone(),
            folders: vec![paths::repositories()],
            names: Vec::new(),
            foreign: Vec::new(),
        }
    }

    /// When the folders of one repository last changed.
    pub async fn times(&self, repository: &RepositoryName) -> Result<FolderTimes> {
        Ok(times(&self.driver, std::slice::from_ref(repository))
            .await?
            .pop()
            .unwrap_or_default())
    }

    /// The same of many repositories, in their order.
    pub async fn times_of(&self, repositories: &[RepositoryName]) -> Result<Vec<FolderTimes>> {
        times(&self.driver, repositories).await
    }

    /// The tags of a repository and their links.
    pub fn tags(&self, repository: &RepositoryName, detail: Detail) -> TagWalk {
        let folder = paths::tags(repository);
        TagWalk(LinkWalk::new(&self.driver, folder, paths::CURRENT_LINK, detail))
    }

    /// Every digest that a tag points to or has pointed to.
    pub fn tag_history(&self, repository: &RepositoryName, tag: &Tag, detail: Detail) -> DigestWalk {
        self.digests(detail, |algorithm| paths::tag_index(repository, tag, algorithm))
    }

    /// The manifests of a repository by their links.
    pub fn revisions(&self, repository: &RepositoryName, detail: Detail) -> DigestWalk {
        self.digests(detail, |algorithm| paths::revisions(repository, algorithm))
    }

    /// The blobs of a repository by their links.
    pub fn layers(&self, repository: &RepositoryName, detail: Detail) -> DigestWalk {
        self.digests(detail, |algorithm| paths::layers(repository, algorithm))
    }

    fn digests(&self, detail: Detail, folder: impl Fn(Algorithm) -> Location) -> DigestWalk {
        // The last one is walked first.
        let walk = |algorithm| {
            let links = LinkWalk::new(&self.driver, folder(algorithm), paths::LINK, detail);
            (algorithm, links)
        };
        DigestWalk(vec![walk(Algorithm::Sha512), walk(Algorithm::Sha256)])
    }

    /// All blobs.
    pub fn blobs(&self) -> BlobWalk {
        let folder = paths::blobs();
        if let Some(objects) = self.driver.objects() {
            // one listing of everything takes a request for each thousand of them
            let lister = FolderLister::below(objects.clone(), &folder, paths::DATA, (Detail::Stat, 2));
            let inner = LinkWalk {
                folder: folder.clone(),
                lister: Lister::Objects(lister),
            };
            return BlobWalk {
                prefixes: None,
                folder,
                driver: self.driver.clone(),
                waiting: Vec::new(),
                inner: Some(inner),
            };
        }
        BlobWalk {
            prefixes: Some(self.driver.list(&folder)),
            folder,
            driver: self.driver.clone(),
            waiting: Vec::new(),
            inner: None,
        }
    }
}

impl Walk {
    /// The blobs whose digests begin with a byte.
    pub fn blobs_of(&self, prefix: u8) -> BlobWalk {
        let folder = paths::blobs();
        BlobWalk {
            prefixes: None,
            waiting: folder.child(&format!("{prefix:02x}")).into_iter().collect(),
            folder,
            driver: self.driver.clone(),
            inner: None,
        }
    }
}

/// Walks over all repositories.
#[derive(Debug)]
pub struct RepositoryWalk {
    driver: Driver,
    /// Still to be looked into.
    folders: Vec<Location>,
    names: Vec<RepositoryName>,
    foreign: Vec<String>,
}

impl RepositoryWalk {
    /// The next ones; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk<FoundRepository>>> {
        while self.names.len() + self.foreign.len() < REPOSITORIES {
            let width = if self.driver.objects().is_some() { AT_ONCE } else { 1 };
            let folders = self.folders.split_off(self.folders.len().saturating_sub(width));
            if folders.is_empty() {
                break;
            }
            for (folder, entries) in entries_of_all(self.driver.clone(), folders, width).await? {
                self.look_into(&folder, entries);
            }
        }
        let names = std::mem::take(&mut self.names);
        let chunk = Chunk {
            found: names.into_iter().map(|name| FoundRepository { name }).collect(),
            foreign: std::mem::take(&mut self.foreign),
        };
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn look_into(&mut self, folder: &Location, entries: Vec<Entry>) {
        let mut is_repository = false;
        for entry in entries {
            if paths::REPOSITORY_MARKS.contains(&entry.name.as_str()) {
                is_repository = true;
            } else {
                self.add(folder, &entry);
            }
        }
        match paths::parse_repository(folder) {
            Some(name) if is_repository => self.names.push(name),
            _ if is_repository => self.foreign.push(folder.to_string()),
            _ => {}
        }
    }

    fn add(&mut self, folder: &Location, entry: &Entry) {
        match folder.child(&entry.name) {
            Some(child) if entry.is_folder && paths::parse_repository(&child).is_some() => {
                self.folders.push(child);
            }
            _ => self.foreign.push(format!("{folder}/{}", entry.name)),
        }
    }
}

/// A folder and what is in it.
type Listing = (Location, Vec<Entry>);

/// The entries of several folders, so many at once.
fn entries_of_all(driver: Driver, folders: Vec<Location>, width: usize) -> BoxFuture<'static, Result<Vec<Listing>>> {
    let listings = folders.into_iter().map(move |folder| {
        let driver = driver.clone();
        async move {
            let mut lister = driver.list(&folder);
            let mut all = Vec::new();
            while let Some(entries) = lister.next().await? {
                all.extend(entries);
            }
            Ok((folder, all))
        }
    });
    stream::iter(listings).buffered(width).try_collect().boxed()
}

async fn times(driver: &Driver, repositories: &[RepositoryName]) -> Result<Vec<FolderTimes>> {
    let folders = |name| {
        [
            paths::tags(name),
            paths::revisions(name, Algorithm::Sha256),
            paths::revisions(name, Algorithm::Sha512),
            paths::layers(name, Algorithm::Sha256),
            paths::layers(name, Algorithm::Sha512),
            paths::uploads(name),
        ]
    };
    let times = driver
        .stat_folders(repositories.iter().flat_map(folders).collect())
        .await?;
    Ok(times
        .as_chunks()
        .0
        .iter()
        .map(
            |[
                tags,
                revisions_sha256,
                revisions_sha512,
                layers_sha256,
                layers_sha512,
                uploads,
            ]| {
                FolderTimes {
                    tags: *tags,
                    revisions_sha256: *revisions_sha256,
                    revisions_sha512: *revisions_sha512,
                    layers_sha256: *layers_sha256,
                    layers_sha512: *layers_sha512,
                    uploads: *uploads,
                }
            },
        )
        .collect())
}

/// Walks over the folders that hold the links of one folder.
#[derive(Debug)]
struct LinkWalk {
    folder: Location,
    lister: Lister,
}

impl LinkWalk {
    fn new(driver: &Driver, folder: Location, suffix: &'static str, detail: Detail) -> Self {
        Self {
            lister: driver.list_links(&folder, suffix, detail),
            folder,
        }
    }

    async fn next<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<Chunk<FoundLink<T>>>> {
        let Some(entries) = self.lister.next().await? else {
            return Ok(None);
        };
        let mut chunk = Chunk::new();
        for entry in entries {
            match (parse(&entry.name), entry.link) {
                (Some(name), Some(probe)) => chunk.found.push(FoundLink {
                    name,
                    modified: entry.modified.max(probe.modified()),
                    state: LinkState::of(probe),
                }),
                _ => chunk.foreign.push(format!("{}/{}", self.folder, entry.name)),
            }
        }
        Ok(Some(chunk))
    }
}

/// Walks over the tags of a repository.
#[derive(Debug)]
pub struct TagWalk(LinkWalk);

impl TagWalk {
    /// The next ones; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk<FoundLink<Tag>>>> {
        self.0.next(|name| name.parse().ok()).await
    }
}

/// Walks over links that are called by digests.
#[derive(Debug)]
pub struct DigestWalk(Vec<(Algorithm, LinkWalk)>);

impl DigestWalk {
    /// The next ones; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk<FoundLink<Digest>>>> {
        while let Some((algorithm, links)) = self.0.last_mut() {
            let algorithm = *algorithm;
            let parse = |hex: &str| paths::parse_digest(algorithm, hex);
            match links.next(parse).await? {
                Some(chunk) => return Ok(Some(chunk)),
                None => self.0.pop(),
            };
        }
        Ok(None)
    }
}

/// Walks over all blobs.
#[derive(Debug)]
pub struct BlobWalk {
    driver: Driver,
    folder: Location,
    /// Lists the folders of two characters; `None` when all are known.
    prefixes: Option<Lister>,
    waiting: Vec<Location>,
    inner: Option<LinkWalk>,
}

impl BlobWalk {
    /// The next ones; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk<FoundBlob>>> {
        loop {
            if let Some(inner) = &mut self.inner {
                if let Some(chunk) = inner.next(blob_of).await? {
                    return Ok(Some(blobs(chunk)));
                }
                self.inner = None;
            }
            if let Some(folder) = self.waiting.pop() {
                self.inner = Some(LinkWalk::new(&self.driver, folder, paths::DATA, Detail::Stat));
                continue;
            }
            let Some(prefixes) = &mut self.prefixes else {
                return Ok(None);
            };
            let Some(entries) = prefixes.next().await? else {
                self.prefixes = None;
                continue;
            };
            let foreign = self.wait_for(entries);
            if !foreign.is_empty() {
                return Ok(Some(Chunk {
                    found: Vec::new(),
                    foreign,
                }));
            }
        }
    }

    /// Notes the folders of blobs among `entries` and returns the places of the others.
    fn wait_for(&mut self, entries: Vec<Entry>) -> Vec<String> {
        let mut foreign = Vec::new();
        for entry in entries {
            match self.folder.child(&entry.name) {
                Some(child) if entry.is_folder && entry.name.len() == 2 => {
                    self.waiting.push(child);
                }
                _ => foreign.push(format!("{}/{}", self.folder, entry.name)),
            }
        }
        foreign
    }
}

/// The blob of a folder, which is called by its digest; in front of it may stand the folder above.
fn blob_of(name: &str) -> Option<Digest> {
    let (prefix, hex) = name.rsplit_once('/').unwrap_or((name.get(..2)?, name));
    let digest = paths::parse_digest(Algorithm::Sha256, hex)?;
    (hex.get(..2) == Some(prefix)).then_some(digest)
}

fn blobs(links: Chunk<FoundLink<Digest>>) -> Chunk<FoundBlob> {
    let blob = |link: FoundLink<Digest>| match link.state {
        LinkState::Stat(fingerprint) => Some(FoundBlob {
            digest: link.name,
            fingerprint,
        }),
        _ => None,
    };
    Chunk {
        found: links.found.into_iter().filter_map(blob).collect(),
        foreign: links.foreign,
    }
}
