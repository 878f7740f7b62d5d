//! A blob on its way out.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use wharf_storage::BlobReader;

/// A blob that may be read.
#[derive(Debug)]
pub struct Blob {
    /// Its size in bytes.
    pub size: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Small(Bytes),
    Stored(BlobReader),
}

impl Blob {
    pub(super) const fn small(bytes: Bytes) -> Self {
        Self {
            size: bytes.len() as u64,
            content: Content::Small(bytes),
        }
    }

    pub(super) const fn stored(size: u64, reader: BlobReader) -> Self {
        Self {
            size,
            content: Content::Stored(reader),
        }
    }

    /// The bytes, when they are in memory already.
    pub fn bytes(&self, part: &Range<u64>) -> Option<Bytes> {
        match &self.content {
            Content::Small(bytes) => {
                let (start, end) = (usize::try_from(part.start).ok()?, usize::try_from(part.end).ok()?);
                Some(bytes.slice(start.min(bytes.len())..end.min(bytes.len())))
            }
            Content::Stored(_) => None,
        }
    }

    /// The open file, where there is one, for a way to the socket that needs no copy.
    pub fn file(&self) -> Option<Arc<File>> {
        match &self.content {
            Content::Small(_) => None,
            Content::Stored(reader) => reader.file(),
        }
    }

    /// The bytes of `part` as they are read; a failing read ends the stream with an error, so
    /// that the client sees a body cut short instead of wrong bytes.
    pub fn stream(&self, part: Range<u64>) -> impl Stream<Item = Result<Bytes, wharf_storage::Error>> + Send + use<> {
        match &self.content {
            Content::Small(_) => stream::empty().left_stream(),
            Content::Stored(reader) => reader.stream(part).right_stream(),
        }
    }
}
