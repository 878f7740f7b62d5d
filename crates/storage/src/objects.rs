//! The driver for buckets of an object store.
//!
//! Every write is durable when the store has answered, so nothing is ever flushed. There are no
//! folders: one is there while something lies in it. What lies between a read and a deletion, or two
//! replicas, is decided above (consistency rules 3 and 5).

use crate::{
    Error, ErrorKind, Result,
    driver::{
        Appender, ByteStore, Detail, Durability, Fingerprint, Hold, Lister, Object, Reader, Removal, Stat, Ticket,
        Written,
    },
    paths::Location,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use sha2::{Digest as _, Sha256};
use std::{fmt, future::Future, sync::Arc, time::Duration};

mod check;
mod copy;
mod error;
mod listing;
mod parts;
mod reading;
pub mod s3;
mod sign;
mod transport;

pub use listing::FolderLister;
pub(crate) use listing::Keys;
pub(crate) use object_store::PutPayload as Payload;
pub(crate) use parts::{MOST_PARTS, Parts};
pub(crate) use reading::{Remote, RemoteStream};
pub(crate) use sign::Unfinished;

use copy::Copying;
use error::{failed, is_passing};
use transport::Transport;

/// How many requests one call has under way at most.
const AT_ONCE: usize = 32;
/// How often an operation is begun whose answer broke off.
const ATTEMPTS: u32 = 4;
/// How long the second attempt waits; the ones after it wait longer.
const PAUSE: Duration = Duration::from_millis(50);

/// A bucket, or a prefix in one. Cloning is cheap.
#[derive(Clone)]
pub struct Objects {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    name: &'static str,
    /// What errors about the whole say.
    place: String,
    /// What all keys begin with, without a slash at its end.
    root: String,
    plain: Client,
    /// For requests that make objects.
    writing: Client,
    /// Gives up early.
    deleting: Client,
    /// Signs URLs for clients; `None` where nothing is signed.
    redirecting: Option<Arc<dyn Signer>>,
    transport: Transport,
    server_copy: Option<ServerCopy>,
    parts: Parts,
    copying: Copying,
}

/// What requests for copies of parts need to know.
struct ServerCopy {
    bucket: String,
}

/// The sides of one store of the library.
#[derive(Clone)]
struct Client {
    objects: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    parts: Arc<dyn MultipartStore>,
    signer: Arc<dyn Signer>,
}

impl Client {
    fn new(store: impl ObjectStore + PaginatedListStore + MultipartStore + Signer + Clone) -> Self {
        Self {
            objects: Arc::new(store.clone()),
            pages: Arc::new(store.clone()),
            parts: Arc::new(store.clone()),
            signer: Arc::new(store),
        }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("place", &self.inner.place)
            .field("root", &self.inner.root)
            .finish_non_exhaustive()
    }
}

/// The prefix of all keys, from what a configuration calls the root directory.
fn root(directory: &str) -> Result<String> {
    let parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    let root = parts.join("/");
    match Path::parse(&root) {
        Ok(_) => Ok(root),
        Err(error) => Err(Error::because(ErrorKind::Invalid, "use", "rootdirectory", error)),
    }
}

/// Begins an operation again when its answer broke off. What is refused for now, or not answered at
/// all, the library tries again itself, with growing and random pauses.
///
/// Boxed, so that callers' futures do not show what is in it.
fn again<'a, T, F>(operation: impl Fn() -> F + Send + 'a) -> BoxFuture<'a, object_store::Result<T>>
where
    T: Send + 'a,
    F: Future<Output = object_store::Result<T>> + Send + 'a,
{
    let attempts = async move {
        for attempt in 1..ATTEMPTS {
            match operation().await {
                Err(error) if is_passing(&error) => tokio::time::sleep(PAUSE * (1 << (2 * attempt))).await,
                outcome => return outcome,
            }
        }
        operation().await
    };
    attempts.boxed()
}

/// What tells one state of an object from another. The time of its last change is no part of it:
/// that is not told to who writes it.
fn fingerprint(size: u64, e_tag: Option<&str>) -> Fingerprint {
    let tag = e_tag.unwrap_or_default();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    let hash = Sha256::digest(tag.as_bytes());
    let inode = hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Fingerprint {
        size,
        modified: 0,
        changed: 0,
        // a signed number in the index
        inode: inode >> 1,
    }
}

fn fingerprint_of(meta: &ObjectMeta) -> Fingerprint {
    fingerprint(meta.size, meta.e_tag.as_deref())
}

/// The time of an object's last change, in nanoseconds since 1970.
fn modified(meta: &ObjectMeta) -> i64 {
    meta.last_modified.timestamp_nanos_opt().unwrap_or(0)
}

impl Objects {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    fn path(&self, location: &Location) -> Result<Path> {
        let key = match self.inner.root.as_str() {
            "" => location.as_str().to_owned(),
            root => format!("{root}/{location}"),
        };
        Path::parse(key).map_err(|error| Error::because(ErrorKind::Invalid, "name", location, error))
    }

    /// What all keys in a folder begin with.
    fn prefix(&self, folder: &Location) -> Result<String> {
        Ok(format!("{}/", self.path(folder)?))
    }

    async fn head(&self, location: &Location) -> Result<Option<ObjectMeta>> {
        let path = self.path(location)?;
        match again(|| self.inner.plain.objects.head(&path)).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) => missing(failed("look at", location, &error)),
        }
    }

    async fn is_folder(&self, folder: &Location) -> Result<bool> {
        let prefix = self.prefix(folder)?;
        let options = || PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let page = again(|| self.inner.plain.pages.list_paginated(Some(&prefix), options())).await;
        let page = page.map_err(|error| failed("list", folder, &error))?;
        Ok(!page.result.objects.is_empty() || !page.result.common_prefixes.is_empty())
    }

    /// The object as a whole, when it has at most `limit` bytes.
    async fn fetch(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        let path = self.path(location)?;
        let fetched = again(|| async {
            let found = self.inner.plain.objects.get_opts(&path, GetOptions::default()).await?;
            let meta = found.meta.clone();
            Ok(if meta.size > limit {
                None
            } else {
                Some((meta, found.bytes().await?))
            })
        });
        match fetched.await {
            Ok(Some((meta, bytes))) if bytes.len() as u64 == meta.size => Ok(Some(Object {
                bytes,
                fingerprint: fingerprint_of(&meta),
            })),
            Ok(Some(_)) => Err(Error::new(ErrorKind::Corrupt, "read", location)),
            Ok(None) => Err(Error::new(ErrorKind::TooLarge, "read", location)),
            Err(error) => missing(failed("read", location, &error)),
        }
    }

    /// Makes an object with one request.
    pub(crate) async fn write(&self, location: &Location, payload: PutPayload) -> Result<Fingerprint> {
        let path = self.path(location)?;
        let size = payload.content_length() as u64;
        let written = again(|| self.inner.writing.objects.put(&path, payload.clone())).await;
        let written = written.map_err(|error| failed("write", location, &error))?;
        Ok(fingerprint(size, written.e_tag.as_deref()))
    }

    /// Removes objects; those that are gone already are no error. Ends within
    /// [`s3::LONGEST_DELETE`], done or not.
    pub(crate) async fn remove(&self, locations: Vec<Location>) -> Result<()> {
        let Some(first) = locations.first().cloned() else {
            return Ok(());
        };
        let paths = locations.iter().map(|location| self.path(location));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let removed = again(|| self.remove_paths(paths.clone()));
        match tokio::time::timeout(s3::LONGEST_DELETE, removed).await {
            Ok(removed) => removed.map_err(|error| failed("delete", first, &error)),
            Err(_) => {
                let reason = "the store did not answer in time";
                Err(Error::because(ErrorKind::Unavailable, "delete", first, reason))
            }
        }
    }

    async fn remove_paths(&self, paths: Vec<Path>) -> object_store::Result<()> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut removed = self.inner.deleting.objects.delete_stream(paths);
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes every object in a folder.
    pub(crate) async fn remove_folder(&self, folder: &Location) -> Result<()> {
        let mut lister = Keys::new(self.clone(), folder);
        while let Some(found) = lister.next().await? {
            let locations = found.into_iter().map(|(location, ..)| location);
            self.remove(locations.collect()).await?;
        }
        Ok(())
    }

    /// The place that a key stands for; `None` outside of the root.
    fn location(&self, path: &Path) -> Option<Location> {
        let key = path.as_ref();
        let key = match self.inner.root.as_str() {
            "" => key,
            root => key.strip_prefix(root)?.strip_prefix('/')?,
        };
        Location::parse(key)
    }

    /// A URL that whoever has it can read an object at for as long as it lives; `None` where nothing
    /// is signed.
    async fn presigned(
        &self,
        location: &Location,
        lifetime: Duration,
        content_type: Option<&str>,
    ) -> Result<Option<String>> {
        let Some(signer) = &self.inner.redirecting else {
            return Ok(None);
        };
        let query = content_type.map(|value| ("response-content-type", value));
        let url = sign::url(&**signer, &self.path(location)?, lifetime, query).await;
        Ok(Some(url.map_err(|error| failed("sign a URL of", location, &error))?))
    }
}

/// What is not found is no error.
fn missing<T>(error: Error) -> Result<Option<T>> {
    match error.kind() {
        ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    }
}

impl ByteStore for Objects {
    fn name(&self) -> &'static str {
        self.inner.name
    }

    async fn get(&self, location: &Location, limit: u64) -> Result<Option<Object>> {
        self.fetch(location, limit).await
    }

    async fn get_all(&self, locations: Vec<Location>, limit: u64) -> Result<Vec<Result<Option<Object>>>> {
        let fetches = locations
            .into_iter()
            .map(|location| async move { self.fetch(&location, limit).await });
        Ok(stream::iter(fetches).buffered(AT_ONCE).collect().await)
    }

    async fn stat(&self, location: &Location) -> Result<Option<Stat>> {
        if let Some(found) = self.stat_file(location).await? {
            return Ok(Some(Stat::File(found)));
        }
        Ok(self.is_folder(location).await?.then_some(Stat::Folder { modified: 0 }))
    }

    async fn stat_all(&self, locations: Vec<Location>) -> Result<Vec<Option<Stat>>> {
        let stats = locations
            .into_iter()
            .map(|location| async move { self.stat(&location).await });
        stream::iter(stats).buffered(AT_ONCE).try_collect().await
    }

    async fn stat_file(&self, location: &Location) -> Result<Option<Fingerprint>> {
        Ok(self.head(location).await?.as_ref().map(fingerprint_of))
    }

    async fn stat_files(&self, locations: Vec<Location>) -> Result<Vec<Option<Fingerprint>>> {
        let stats = locations
            .into_iter()
            .map(|location| async move { self.stat_file(&location).await });
        stream::iter(stats).buffered(AT_ONCE).try_collect().await
    }

    async fn stat_folders(&self, folders: Vec<Location>) -> Result<Vec<Option<i64>>> {
        let stats = folders
            .into_iter()
            .map(|folder| async move { self.is_folder(&folder).await });
        let found = |is_there: bool| is_there.then_some(0);
        stream::iter(stats).buffered(AT_ONCE).map_ok(found).try_collect().await
    }

    async fn put(&self, location: &Location, bytes: Bytes, _: Durability) -> Result<Written> {
        Ok(Written {
            fingerprint: self.write(location, bytes.into()).await?,
            ticket: Ticket::default(),
        })
    }

    async fn open(&self, location: &Location) -> Result<Option<Reader>> {
        Ok(self
            .head(location)
            .await?
            .map(|found| Reader::remote(Remote::found(self.clone(), location.clone(), &found), found.size)))
    }

    async fn open_known(&self, location: &Location, size: u64) -> Result<Option<Reader>> {
        let remote = Remote::expected(self.clone(), location.clone());
        Ok(Some(Reader::remote(remote, size)))
    }

    async fn append(&self, location: &Location, _: u64, _: Hold) -> Result<Appender> {
        Err(Error::new(ErrorKind::Unsupported, "append to", location))
    }

    async fn sync_content(&self, _: &Location) -> Result<()> {
        Ok(())
    }

    async fn sync(&self, _: &Location) -> Result<()> {
        Ok(())
    }

    async fn rename(&self, from: &Location, to: &Location, _: Hold) -> Result<()> {
        let Some(found) = self.head(from).await? else {
            return Err(Error::new(ErrorKind::NotFound, "move", from));
        };
        self.copy(from, to, found.size).await?;
        self.remove(vec![from.clone()]).await
    }

    async fn delete(&self, files: Vec<Removal>, _: Durability, _: Hold) -> Result<Ticket> {
        let locations = files.into_iter().map(|removal| removal.file);
        self.remove(locations.collect()).await?;
        Ok(Ticket::default())
    }

    async fn delete_folder(&self, folder: &Location, _: Durability) -> Result<Ticket> {
        self.remove_folder(folder).await?;
        Ok(Ticket::default())
    }

    fn list(&self, folder: &Location) -> Lister {
        Lister::Objects(FolderLister::entries(self.clone(), folder))
    }

    fn list_links(&self, folder: &Location, suffix: &'static str, detail: Detail) -> Lister {
        Lister::Objects(FolderLister::links(self.clone(), folder, suffix, detail))
    }

    async fn flush(&self) -> Result<Ticket> {
        Ok(Ticket::default())
    }
}
