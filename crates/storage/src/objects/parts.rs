//! How uploads are cut into parts, and how much memory these take.

use super::{Objects, again, error::failed, missing};
use crate::{Result, paths::Location};
use bytes::Bytes;
use object_store::{PutPayload, multipart::PartId};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in steps of this many bytes.
const STEP: u64 = 64 << 10;
/// S3 puts together no more parts than this.
pub(crate) const MOST_PARTS: u64 = 10_000;

/// The sizes of parts, and the memory for those on their way, which all uploads share.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    size: u64,
    memory: Arc<Semaphore>,
}

impl Parts {
    pub(super) fn new(size: u64, memory: u64) -> Self {
        let steps = usize::try_from(memory / STEP).unwrap_or(usize::MAX);
        Self {
            size,
            memory: Arc::new(Semaphore::new(steps.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// How large the parts of an upload are that will have so many bytes, where that is known.
    pub(crate) fn size(&self, expected: Option<u64>) -> u64 {
        let needed = expected.unwrap_or(0).div_ceil(MOST_PARTS);
        self.size.max(needed.next_multiple_of(1 << 20))
    }

    /// Memory for one more part, if there is some.
    pub(crate) fn memory(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let steps = u32::try_from(bytes.div_ceil(STEP)).ok()?;
        Arc::clone(&self.memory).try_acquire_many_owned(steps).ok()
    }
}

impl Objects {
    /// How uploads are cut.
    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// Begins a multipart upload and answers its id.
    pub(crate) async fn begin_parts(&self, location: &Location) -> Result<String> {
        let path = self.path(location)?;
        let begun = again(|| self.inner.writing.parts.create_multipart(&path)).await;
        begun.map_err(|error| failed("write", location, &error))
    }

    /// Stores one part, counted from 0, and answers what the store calls its content.
    pub(crate) async fn put_part(
        &self,
        (location, id): (&Location, &String),
        number: usize,
        payload: PutPayload,
    ) -> Result<String> {
        let path = self.path(location)?;
        let stored = again(|| self.inner.plain.parts.put_part(&path, id, number, payload.clone())).await;
        let stored = stored.map_err(|error| failed("write", location, &error))?;
        Ok(stored.content_id)
    }

    /// Puts the parts together.
    pub(crate) async fn complete_parts(&self, (location, id): (&Location, &String), tags: Vec<String>) -> Result<()> {
        let path = self.path(location)?;
        let parts: Vec<PartId> = tags.into_iter().map(|content_id| PartId { content_id }).collect();
        let completed = again(|| self.inner.plain.parts.complete_multipart(&path, id, parts.clone())).await;
        completed
            .map(drop)
            .map_err(|error| failed("put together", location, &error))
    }

    /// Gives a multipart upload up; one that is gone already is no error.
    pub(crate) async fn abort_parts(&self, (location, id): (&Location, &String)) -> Result<()> {
        let path = self.path(location)?;
        let aborted = again(|| self.inner.deleting.parts.abort_multipart(&path, id)).await;
        let aborted = aborted.map_err(|error| failed("abort the upload of", location, &error));
        aborted.map(Some).or_else(missing).map(drop)
    }

    /// The bytes of an object, when it has at most `limit`.
    pub(crate) async fn read(&self, location: &Location, limit: u64) -> Result<Option<Bytes>> {
        Ok(self.fetch(location, limit).await?.map(|object| object.bytes))
    }

    /// How many bytes an object has.
    pub(crate) async fn size(&self, location: &Location) -> Result<Option<u64>> {
        Ok(self.head(location).await?.map(|found| found.size))
    }
}
