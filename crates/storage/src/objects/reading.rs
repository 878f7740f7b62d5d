//! Reading objects, and parts of them.

use super::{Objects, again, error::failed, fingerprint_of, missing};
use crate::{Error, ErrorKind, Result, driver::Object, paths::Location};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta};
use std::{
    fmt,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// An object that is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    objects: Objects,
    location: Location,
    /// Of the object that was found; another one is not read.
    e_tag: Option<String>,
}

impl Remote {
    /// One that was looked at.
    pub(super) fn found(objects: Objects, location: Location, found: &ObjectMeta) -> Self {
        Self {
            objects,
            location,
            e_tag: found.e_tag.clone(),
        }
    }

    /// One that somebody says is there.
    pub(super) const fn expected(objects: Objects, location: Location) -> Self {
        Self {
            objects,
            location,
            e_tag: None,
        }
    }

    pub(crate) const fn location(&self) -> &Location {
        &self.location
    }

    /// The bytes of a range, asked for with the first poll.
    pub(crate) fn stream(&self, range: Range<u64>) -> RemoteStream {
        let (remote, left) = (self.clone(), range.end.saturating_sub(range.start));
        let bytes = async move { remote.request(range).await }.into_stream();
        RemoteStream {
            bytes: bytes.map_ok(body).try_flatten().boxed(),
            left,
        }
    }

    /// The same; answers when the first bytes are on their way.
    pub(crate) async fn start(&self, range: Range<u64>) -> Result<RemoteStream> {
        let left = range.end.saturating_sub(range.start);
        let bytes = match left {
            0 => futures_util::stream::empty().boxed(),
            _ => body(self.request(range).await?).boxed(),
        };
        Ok(RemoteStream { bytes, left })
    }

    async fn request(&self, range: Range<u64>) -> Result<(GetResult, Location)> {
        let path = self.objects.path(&self.location)?;
        let options = || GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        let found = again(|| self.objects.inner.plain.objects.get_opts(&path, options())).await;
        let found = found.map_err(|error| failed("read", &self.location, &error))?;
        Ok((found, self.location.clone()))
    }

    pub(crate) async fn read_all(&self, limit: u64) -> Result<Bytes> {
        match self.objects.fetch(&self.location, limit).await? {
            Some(object) => Ok(object.bytes),
            None => Err(Error::new(ErrorKind::NotFound, "read", &self.location)),
        }
    }

    pub(crate) async fn presigned(&self, lifetime: Duration, content_type: Option<&str>) -> Result<Option<String>> {
        self.objects.presigned(&self.location, lifetime, content_type).await
    }
}

/// The bytes of an answer. Where it breaks off, the library asks for the rest.
fn body((found, location): (GetResult, Location)) -> BoxStream<'static, Result<Bytes>> {
    found
        .into_stream()
        .map_err(move |error| failed("read", &location, &error))
        .boxed()
}

/// Bytes that arrive from a store.
pub(crate) struct RemoteStream {
    bytes: BoxStream<'static, Result<Bytes>>,
    /// How many are still to come.
    left: u64,
}

impl fmt::Debug for RemoteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStream")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl RemoteStream {
    /// The next bytes; `None` where the store sends no more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        Pin::new(&mut self.bytes).poll_next(cx)
    }
}

impl Objects {
    /// The first bytes of an object that has more of them.
    pub(super) async fn fetch_beginning(&self, location: &Location, length: u64) -> Result<Option<Object>> {
        let path = self.path(location)?;
        let options = || GetOptions {
            range: Some(GetRange::Bounded(0..length)),
            ..GetOptions::default()
        };
        let fetched = again(|| async {
            let found = self.inner.plain.objects.get_opts(&path, options()).await?;
            let meta = found.meta.clone();
            Ok((meta, found.bytes().await?))
        });
        match fetched.await {
            Ok((meta, bytes)) => Ok(Some(Object {
                bytes,
                fingerprint: fingerprint_of(&meta),
            })),
            Err(error) => missing(failed("read", location, &error)),
        }
    }
}
