//! Receiving bytes.

use super::{UploadState, file::FileWriter, remote::RemoteWriter};
use crate::{Error, ErrorKind, Result, paths::Location};
use bytes::Bytes;

/// Adds bytes to one session.
///
/// Dropping it discards what [`finish`](Self::finish) has not acknowledged.
#[derive(Debug)]
pub struct UploadWriter {
    way: Way,
    data: Location,
    is_broken: bool,
}

#[derive(Debug)]
pub(super) enum Way {
    /// Into a file.
    File(Box<FileWriter>),
    /// Into a bucket.
    Remote(Box<RemoteWriter>),
}

impl UploadWriter {
    /// Of the session whose bytes lie at `data`.
    pub(super) const fn new(way: Way, data: Location) -> Self {
        let is_broken = false;
        Self { way, data, is_broken }
    }

    /// Tells how many bytes the upload will have in all, before the first ones: where there may be only
    /// so many parts, they are made large enough.
    pub fn expect(&mut self, total: u64) {
        match &mut self.way {
            Way::File(_) => {}
            Way::Remote(writer) => writer.expect(total),
        }
    }

    /// Adds bytes. Returns as soon as there is room for them in memory; an error of earlier bytes
    /// is told here or by [`finish`](Self::finish). After an error nothing more is taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.begin()?;
        match &mut self.way {
            Way::File(writer) => writer.write(bytes).await?,
            Way::Remote(writer) => writer.write(bytes).await?,
        }
        self.is_broken = false;
        Ok(())
    }

    /// Hands all bytes to the operating system, or the bucket, and tells how far the upload has come.
    /// More bytes may follow.
    ///
    /// After an error, [`state`](Self::state) is where the session can go on.
    pub async fn finish(&mut self) -> Result<UploadState> {
        self.end(false).await
    }

    /// The same where the upload is [published](super::Uploads::publish) next: in a bucket the last
    /// bytes stay in memory, and in the state, which saves the requests to store and to copy them. A
    /// state that is to be kept is made by [`Uploads::settle`](super::Uploads::settle) first.
    pub async fn finish_last(&mut self) -> Result<UploadState> {
        self.end(true).await
    }

    /// How far the upload has come for certain: after the last block that was written whole.
    pub const fn state(&self) -> &UploadState {
        match &self.way {
            Way::File(writer) => writer.state(),
            Way::Remote(writer) => writer.state(),
        }
    }

    /// Bytes received so far, written or not.
    pub const fn received(&self) -> u64 {
        match &self.way {
            Way::File(writer) => writer.received(),
            Way::Remote(writer) => writer.received(),
        }
    }

    async fn end(&mut self, is_last: bool) -> Result<UploadState> {
        self.begin()?;
        let state = match &mut self.way {
            Way::File(writer) => writer.finish().await?,
            Way::Remote(writer) => writer.finish(is_last).await?,
        };
        self.is_broken = false;
        Ok(state)
    }

    /// Refuses to go on after an error. Until the caller clears it, the writer counts as broken:
    /// also when nobody waits any more for what follows.
    fn begin(&mut self) -> Result<()> {
        if self.is_broken {
            let reason = "an earlier write failed";
            return Err(Error::because(ErrorKind::Other, "write", &self.data, reason));
        }
        self.is_broken = true;
        Ok(())
    }
}
