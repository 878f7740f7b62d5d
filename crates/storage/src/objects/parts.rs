//! How uploads are cut into parts, and how much memory these take.

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
