//! Copies that the store makes itself.

use super::{Objects, again, error::failed, parts::MOST_PARTS};
use crate::{Result, paths::Location};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, multipart::PartId, path::Path};

/// When and how copies are made in parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copying {
    /// Objects with more bytes than this are copied in parts.
    pub(super) threshold: u64,
    pub(super) part_size: u64,
    pub(super) concurrency: usize,
}

impl Objects {
    /// Copies an object of so many bytes, replacing what is there.
    pub(crate) async fn copy(&self, from: &Location, to: &Location, size: u64) -> Result<()> {
        if size > self.inner.copying.threshold && self.inner.server_copy.is_some() {
            return self.copy_in_parts(from, to, size).boxed().await;
        }
        let (source, target) = (self.path(from)?, self.path(to)?);
        let copied = again(|| self.inner.writing.objects.copy(&source, &target)).await;
        copied.map_err(|error| failed("copy", from, &error))
    }

    async fn copy_in_parts(&self, from: &Location, to: &Location, size: u64) -> Result<()> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let id = again(|| self.inner.writing.parts.create_multipart(&target)).await;
        let id = id.map_err(|error| failed("copy", from, &error))?;
        let copied = match self.copy_parts((&source, &target, &id), size).await {
            Ok(parts) => {
                let completed = again(|| self.inner.plain.parts.complete_multipart(&target, &id, parts.clone())).await;
                completed.map(drop).map_err(|error| failed("copy", from, &error))
            }
            Err(error) => Err(error),
        };
        match copied {
            Ok(()) => Ok(()),
            // The answer to an earlier attempt may have been lost.
            Err(_) if self.head(to).await?.is_some_and(|found| found.size == size) => Ok(()),
            Err(error) => {
                // The parts go with the purge of uploads at the latest.
                drop(self.inner.plain.parts.abort_multipart(&target, &id).await);
                Err(error)
            }
        }
    }

    async fn copy_parts(&self, (source, target, id): (&Path, &Path, &String), size: u64) -> Result<Vec<PartId>> {
        let least = size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20);
        let step = self.inner.copying.part_size.max(least);
        let count = size.div_ceil(step);
        let part = |number: u64| {
            let begin = number * step;
            let range = begin..size.min(begin + step);
            self.copy_part((source, target, id), number + 1, range)
        };
        stream::iter((0..count).map(part))
            .buffered(self.inner.copying.concurrency)
            .try_collect()
            .await
    }
}
