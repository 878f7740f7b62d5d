//! Receiving bytes into a file, while the bytes before them are written.

use super::{PIECE, Turn, UploadState, block::Block};
use crate::{
    Result,
    blocking::{self, Job},
    driver::{Appender, ByteStore, Driver, Durability, Hold},
    paths::Location,
};
use bytes::Bytes;
use std::sync::Arc;

/// A block on its way into the file.
struct Writing {
    job: Job<Result<Block>>,
    /// The state after it.
    state: UploadState,
}

/// Where the files of a session are.
pub(super) struct Place {
    pub(super) driver: Driver,
    pub(super) data: Location,
    pub(super) started: Location,
}

/// Adds bytes to the file of one session.
///
/// Dropping it discards what [`finish`](Self::finish) has not acknowledged.
pub(super) struct FileWriter {
    place: Place,
    turn: Turn,
    /// Written before the first bytes, then taken.
    started: Option<Bytes>,
    appender: Option<Arc<Appender>>,
    /// After the last block that was written whole.
    state: UploadState,
    /// After the last byte received.
    received: UploadState,
    /// The bytes between what is written, or on its way, and what was received.
    block: Option<Block>,
    writing: Option<Writing>,
    /// The memory of the last block that was written. At most two blocks are in memory per upload, one
    /// that is filled and one that is written.
    spare: Option<Block>,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("data", &self.place.data)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl FileWriter {
    pub(super) async fn open(place: Place, turn: Turn, started: Option<Bytes>, state: UploadState) -> Result<Self> {
        let mut writer = Self {
            received: state.clone(),
            place,
            turn,
            started,
            appender: None,
            state,
            block: None,
            writing: None,
            spare: None,
        };
        if writer.state.offset() > 0 {
            writer.appender().await?;
        }
        Ok(writer)
    }

    /// Adds bytes. Returns as soon as there is room for them in memory; an error of earlier bytes
    /// is told here or by [`finish`](Self::finish).
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        // A slow upload gets along with one block.
        if self.block.is_none() && self.writing.as_ref().is_some_and(|writing| writing.job.is_finished()) {
            self.wait().await?;
        }
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let (piece, _) = rest.split_at(rest.len().min(PIECE));
            let taken = self.take(piece);
            rest = rest.get(taken..).unwrap_or_default();
            if self.block.as_ref().is_some_and(Block::is_full) {
                self.submit().await?;
            } else if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Copies bytes into the block and hashes them, for they are in the processor's cache now: as
    /// many as there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let offset = self.received.offset();
        let spare = &mut self.spare;
        let block = self.block.get_or_insert_with(|| match spare.take() {
            Some(block) => block.again_at(offset),
            None => Block::at(offset),
        });
        let taken = block.fill(bytes);
        self.received.add(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// Hands all bytes to the operating system and tells how far the upload has come. More bytes
    /// may follow.
    ///
    /// After an error, [`state`](Self::state) is where the session can go on.
    pub(super) async fn finish(&mut self) -> Result<UploadState> {
        if self.block.is_some() {
            self.submit().await?;
        }
        self.wait().await?;
        Ok(self.state.clone())
    }

    /// How far the upload has come for certain: after the last block that was written whole.
    pub(super) const fn state(&self) -> &UploadState {
        &self.state
    }

    /// Bytes received so far, written or not.
    pub(super) const fn received(&self) -> u64 {
        self.received.offset()
    }

    /// Waits for the block under way, then hands the next one to another thread.
    async fn submit(&mut self) -> Result<()> {
        self.wait().await?;
        let appender = self.appender().await?;
        let hold = self.turn.hold().await?;
        if let Some(block) = self.block.take() {
            let job = blocking::start(move || {
                appender.write(block.offset(), block.bytes())?;
                drop(hold);
                Ok(block)
            });
            let state = self.received.clone();
            self.writing = Some(Writing { job, state });
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let Some(Writing { job, state }) = self.writing.as_mut() else {
            return Ok(());
        };
        let written = job.await.flatten();
        let state = state.clone();
        self.writing = None;
        self.spare = Some(written?);
        self.state = state;
        Ok(())
    }

    async fn appender(&mut self) -> Result<Arc<Appender>> {
        if let Some(appender) = &self.appender {
            return Ok(Arc::clone(appender));
        }
        let hold: Hold = Some(Arc::new(self.turn.hold().await?));
        if let Some(started) = self.started.take() {
            self.place
                .driver
                .put(&self.place.started, started, Durability::Lazy)
                .await?;
        }
        let Place { driver, data, .. } = &self.place;
        let opened = driver.append(data, self.state.offset(), hold).await?;
        let appender = Arc::new(opened);
        self.appender = Some(Arc::clone(&appender));
        Ok(appender)
    }
}
