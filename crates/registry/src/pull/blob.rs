//! A blob on its way out.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use wharf_oci::{Digest, media_type};
use wharf_storage::{BlobReader, ErrorKind, paths};

use crate::Result;

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
    Stored(Digest, BlobReader),
}

impl Blob {
    pub(super) const fn small(bytes: Bytes) -> Self {
        Self {
            size: bytes.len() as u64,
            content: Content::Small(bytes),
        }
    }

    /// What lies under the sha256 `stored`.
    pub(super) const fn stored(size: u64, stored: Digest, reader: BlobReader) -> Self {
        Self {
            size,
            content: Content::Stored(stored, reader),
        }
    }

    /// Whether it takes nothing to send it.
    pub const fn is_in_memory(&self) -> bool {
        matches!(self.content, Content::Small(_))
    }

    /// Where its bytes lie below the root of the storage, as every registry of distribution's layout has them;
    /// `None` when they are in memory already.
    pub fn place(&self) -> Option<String> {
        match &self.content {
            Content::Small(_) => None,
            Content::Stored(digest, _) => paths::blob(digest).map(|place| place.to_string()),
        }
    }

    /// A URL at which whoever has it reads the bytes from the storage itself for so long; `None` where there is no
    /// such thing.
    ///
    /// # Errors
    ///
    /// There are no keys to sign it with.
    pub async fn presigned(&self, lifetime: Duration) -> Result<Option<String>> {
        match &self.content {
            Content::Small(_) => Ok(None),
            Content::Stored(_, reader) => Ok(reader.presigned(lifetime, Some(media_type::OCTET_STREAM)).await?),
        }
    }

    /// The bytes, when they are in memory already.
    pub fn bytes(&self, part: &Range<u64>) -> Option<Bytes> {
        match &self.content {
            Content::Small(bytes) => {
                let (start, end) = (usize::try_from(part.start).ok()?, usize::try_from(part.end).ok()?);
                Some(bytes.slice(start.min(bytes.len())..end.min(bytes.len())))
            }
            Content::Stored(..) => None,
        }
    }

    /// The open file, where there is one, for a way to the socket that needs no copy.
    pub fn file(&self) -> Option<Arc<File>> {
        match &self.content {
            Content::Small(_) => None,
            Content::Stored(_, reader) => reader.file(),
        }
    }

    /// The bytes of `part` as they are read. They are on their way when this answers: `None` when they are gone, before
    /// anything is sent. A read that fails later ends the stream with an error, so that the client sees a body cut
    /// short instead of wrong bytes.
    ///
    /// # Errors
    ///
    /// The storage does not give them.
    pub async fn start(
        &self,
        part: Range<u64>,
    ) -> Result<Option<impl Stream<Item = std::result::Result<Bytes, wharf_storage::Error>> + Send + use<>>> {
        match &self.content {
            Content::Small(_) => Ok(Some(stream::empty().left_stream())),
            Content::Stored(_, reader) => match reader.start(part).await {
                Ok(stream) => Ok(Some(stream.right_stream())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }
}
