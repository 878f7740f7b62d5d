//! Receiving bytes while the bytes before them are hashed and written.

use super::{Turn, UploadState};
use crate::{
    Error, ErrorKind, Result,
    blocking::{self, Job},
    driver::{Appender, ByteStore, Driver, Durability, Hold},
    paths::Location,
};
use bytes::Bytes;
use futures_util::future;
use std::{mem, sync::Arc};

/// So many bytes are hashed and written at once. Two such batches are in memory per upload: one
/// that arrives and one that is being written.
const BATCH: usize = 512 << 10;

/// Bytes on their way into the file.
struct Batch {
    written: Job<Result<()>>,
    hashed: Job<UploadState>,
}

impl Batch {
    /// Waits for both; the state after the batch.
    async fn finish(&mut self) -> Result<UploadState> {
        let Self { written, hashed } = self;
        let (written, hashed) = future::join(written, hashed).await;
        written.flatten()?;
        hashed
    }
}

/// Where the files of a session are.
pub(super) struct Place {
    pub(super) driver: Driver,
    pub(super) data: Location,
    pub(super) started: Location,
}

/// Adds bytes to one session.
///
/// Dropping it discards what [`finish`](Self::finish) has not acknowledged.
pub struct UploadWriter {
    place: Place,
    turn: Turn,
    /// Written before the first bytes, then taken.
    started: Option<Bytes>,
    appender: Option<Arc<Appender>>,
    /// After the last batch that was written whole.
    state: UploadState,
    batch: Vec<Bytes>,
    batch_size: usize,
    received: u64,
    job: Option<Batch>,
    is_broken: bool,
}

impl std::fmt::Debug for UploadWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadWriter")
            .field("data", &self.place.data)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl UploadWriter {
    pub(super) async fn open(place: Place, turn: Turn, started: Option<Bytes>, state: UploadState) -> Result<Self> {
        let mut writer = Self {
            received: state.offset(),
            place,
            turn,
            started,
            appender: None,
            state,
            batch: Vec::new(),
            batch_size: 0,
            job: None,
            is_broken: false,
        };
        if writer.state.offset() > 0 {
            writer.appender().await?;
        }
        Ok(writer)
    }

    /// Adds bytes. Returns as soon as there is room for them in memory; an error of an earlier
    /// batch is told here or by [`finish`](Self::finish). After an error nothing more is taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.check()?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.batch_size += bytes.len();
        self.received += bytes.len() as u64;
        self.batch.push(bytes);
        if self.batch_size >= BATCH {
            self.submit().await
        } else {
            Ok(())
        }
    }

    /// Hands all bytes to the operating system and tells how far the upload has come. More bytes
    /// may follow.
    ///
    /// After an error, [`state`](Self::state) is where the session can go on.
    pub async fn finish(&mut self) -> Result<UploadState> {
        if !self.batch.is_empty() {
            self.submit().await?;
        }
        self.wait().await?;
        Ok(self.state.clone())
    }

    /// How far the upload has come for certain: after the last batch that was written whole.
    pub const fn state(&self) -> &UploadState {
        &self.state
    }

    /// Bytes received so far, written or not.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Waits for the batch under way, then starts the next one: hashed on one thread while another
    /// writes it.
    async fn submit(&mut self) -> Result<()> {
        self.wait().await?;
        let chunks: Arc<[Bytes]> = mem::take(&mut self.batch).into();
        self.batch_size = 0;
        // Until the batch is on its way: also when the caller stops waiting here.
        self.is_broken = true;
        let appender = self.appender().await?;
        let hold = self.turn.hold().await?;
        self.is_broken = false;
        let state = self.state.clone();
        let (offset, written) = (state.offset(), Arc::clone(&chunks));
        self.job = Some(Batch {
            written: blocking::start(move || {
                appender.write(offset, &written)?;
                drop(hold);
                Ok(())
            }),
            hashed: blocking::start(move || state.with(&chunks)),
        });
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        self.check()?;
        let Some(batch) = self.job.as_mut() else {
            return Ok(());
        };
        let outcome = batch.finish().await;
        self.job = None;
        self.is_broken = outcome.is_err();
        self.state = outcome?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.is_broken {
            let reason = "an earlier write failed";
            return Err(Error::because(ErrorKind::Other, "write", &self.place.data, reason));
        }
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
