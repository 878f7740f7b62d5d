//! Reading a file from any offset.

use crate::{
    Error, ErrorKind, Result,
    blocking::{self, Job},
    objects::{Remote, RemoteStream},
    paths::Location,
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use std::{
    fs::File,
    future::Future,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How much is read at once: large enough that the system call does not count, small enough to
/// stay in the cache of the processor on its way to the socket.
const CHUNK: usize = 256 << 10;

/// A stored object that is open for reading. What it reads stays the same when the object is
/// replaced or deleted meanwhile; in a bucket, reading ends with an error then.
#[derive(Clone, Debug)]
pub struct Reader {
    source: Source,
    size: u64,
    location: Location,
}

#[derive(Clone, Debug)]
enum Source {
    File(Arc<File>),
    Memory(Bytes),
    Remote(Remote),
}

impl Reader {
    pub(crate) fn remote(remote: Remote, size: u64) -> Self {
        Self {
            location: remote.location().clone(),
            source: Source::Remote(remote),
            size,
        }
    }

    pub(crate) fn of_file(file: File, size: u64, location: Location) -> Self {
        Self {
            source: Source::File(Arc::new(file)),
            size,
            location,
        }
    }

    pub(crate) fn of_memory(bytes: Bytes, location: Location) -> Self {
        let size = bytes.len() as u64;
        Self {
            source: Source::Memory(bytes),
            size,
            location,
        }
    }

    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The open file, where there is one, for a way to the socket that needs no copy.
    pub fn file(&self) -> Option<Arc<File>> {
        match &self.source {
            Source::File(file) => Some(Arc::clone(file)),
            Source::Memory(_) | Source::Remote(_) => None,
        }
    }

    /// A URL that whoever has it can read the object at, without this process, for as long as it
    /// lives; with a content type, answers have that. `None` where there is no such thing: on a
    /// filesystem, in memory, in a bucket for whose requests nothing is signed.
    pub async fn presigned(&self, lifetime: Duration, content_type: Option<&str>) -> Result<Option<String>> {
        match &self.source {
            Source::Remote(remote) => remote.presigned(lifetime, content_type).await,
            Source::File(_) | Source::Memory(_) => Ok(None),
        }
    }

    /// The bytes of `range` in chunks. A range that reaches behind the end is cut there. The
    /// stream ends after its last byte, or after its first error.
    pub fn stream(&self, range: Range<u64>) -> ByteStream {
        let end = range.end.min(self.size);
        let remote = match &self.source {
            Source::Remote(remote) if range.start < end => Some(remote.stream(range.start..end)),
            _ => None,
        };
        ByteStream {
            source: self.source.clone(),
            location: self.location.clone(),
            offset: range.start,
            end,
            cold: None,
            sent: None,
            remote,
        }
    }

    /// The same; from a bucket it answers when the bytes are on their way, so that an object that is
    /// not there shows before anything is sent to a client: [`ErrorKind::NotFound`].
    pub async fn start(&self, range: Range<u64>) -> Result<ByteStream> {
        let end = range.end.min(self.size);
        let mut stream = self.stream(0..0);
        (stream.offset, stream.end) = (range.start, end);
        if let Source::Remote(remote) = &self.source
            && range.start < end
        {
            stream.remote = Some(remote.start(range.start..end).await?);
        }
        Ok(stream)
    }

    /// Everything at once; more than `limit` bytes are refused.
    pub async fn read_all(&self, limit: u64) -> Result<Bytes> {
        if self.size > limit {
            return Err(Error::new(ErrorKind::TooLarge, "read", &self.location));
        }
        let file = match &self.source {
            Source::Memory(bytes) => return Ok(bytes.clone()),
            Source::Remote(remote) => return remote.read_all(limit).await,
            Source::File(file) => Arc::clone(file),
        };
        let mut buffer = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        let is_complete = read_cached(&file, &mut buffer, 0).is_ok_and(|n| n == buffer.len());
        if !is_complete {
            let location = self.location.clone();
            buffer = blocking::run(move || {
                file.read_exact_at(&mut buffer, 0)
                    .map_err(|error| Error::io("read", &location, error))?;
                Ok(buffer)
            })
            .await?;
        }
        Ok(buffer.into())
    }
}

/// Reads what the page cache holds, without ever waiting for the disk.
fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    Ok(rustix::io::preadv2(
        file,
        &mut [IoSliceMut::new(buffer)],
        offset,
        flags,
    )?)
}

/// The bytes of a range. Pages that the system has in memory are read in place; only cold ones
/// take the way over a blocking thread.
#[derive(Debug)]
pub struct ByteStream {
    source: Source,
    location: Location,
    offset: u64,
    end: u64,
    cold: Option<Job<io::Result<BytesMut>>>,
    /// The last full chunk: its memory is used again when the receiver is done with it.
    sent: Option<Bytes>,
    /// What arrives from a bucket.
    remote: Option<RemoteStream>,
}

impl ByteStream {
    /// A buffer of `length` initialised bytes.
    fn buffer(&mut self, length: usize) -> BytesMut {
        let mut buffer = match self.sent.take().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            _ => BytesMut::zeroed(length),
        };
        buffer.resize(length, 0);
        buffer
    }

    fn emit(&mut self, buffer: BytesMut) -> Bytes {
        self.offset += buffer.len() as u64;
        let chunk = buffer.freeze();
        if self.offset < self.end {
            self.sent = Some(chunk.clone());
        }
        chunk
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Bytes>>> {
        self.offset = self.end;
        Poll::Ready(Some(Err(error)))
    }

    /// What a bucket sends: not a byte more or less than was asked for.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(remote) = &mut self.remote else {
            return self.fail(Error::new(ErrorKind::Corrupt, "read", &self.location));
        };
        match ready!(remote.poll(cx)) {
            Some(Ok(chunk)) if chunk.len() as u64 <= self.end - self.offset => {
                self.offset += chunk.len() as u64;
                Poll::Ready(Some(Ok(chunk)))
            }
            Some(Err(error)) => self.fail(error),
            Some(Ok(_)) | None => self.fail(Error::new(ErrorKind::Corrupt, "read", &self.location)),
        }
    }

    fn read(&mut self, file: Arc<File>) -> Option<Bytes> {
        let length = CHUNK.min(usize::try_from(self.end - self.offset).unwrap_or(CHUNK));
        let mut buffer = self.buffer(length);
        if let Ok(read @ 1..) = read_cached(&file, &mut buffer, self.offset) {
            buffer.truncate(read);
            return Some(self.emit(buffer));
        }
        let offset = self.offset;
        self.cold = Some(blocking::start(move || {
            let read = loop {
                match file.read_at(&mut buffer, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    outcome => break outcome?,
                }
            };
            buffer.truncate(read);
            Ok(buffer)
        }));
        None
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(job) = this.cold.as_mut() {
                let outcome = ready!(Pin::new(job).poll(cx));
                this.cold = None;
                let error = match outcome {
                    Ok(Ok(buffer)) if !buffer.is_empty() => {
                        return Poll::Ready(Some(Ok(this.emit(buffer))));
                    }
                    // The file is shorter than it was when it was opened.
                    Ok(Ok(_)) => Error::new(ErrorKind::Corrupt, "read", &this.location),
                    Ok(Err(error)) => Error::io("read", &this.location, error),
                    Err(error) => error,
                };
                return this.fail(error);
            }
            if this.offset >= this.end {
                return Poll::Ready(None);
            }
            let file = match &this.source {
                Source::Memory(bytes) => {
                    let bytes = bytes.slice(this.offset as usize..this.end as usize);
                    this.offset = this.end;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Source::Remote(_) => return this.receive(cx),
                Source::File(file) => Arc::clone(file),
            };
            if let Some(chunk) = this.read(file) {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.offset);
        ((left > 0).into(), usize::try_from(left).ok())
    }
}
