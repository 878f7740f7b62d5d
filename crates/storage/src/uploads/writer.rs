//! Receiving bytes.

use super::{UploadState, file::FileWriter, remote::RemoteWriter};
use crate::Result;
use bytes::Bytes;

/// Adds bytes to one session.
///
/// Dropping it discards what [`finish`](Self::finish) has not acknowledged.
#[derive(Debug)]
pub struct UploadWriter(pub(super) Way);

#[derive(Debug)]
pub(super) enum Way {
    /// Into a file.
    File(Box<FileWriter>),
    /// Into a bucket.
    Remote(Box<RemoteWriter>),
}

impl UploadWriter {
    /// Tells how many bytes the upload will have in all, before the first ones: where there may be only
    /// so many parts, they are made large enough.
    pub fn expect(&mut self, total: u64) {
        match &mut self.0 {
            Way::File(_) => {}
            Way::Remote(writer) => writer.expect(total),
        }
    }

    /// Adds bytes. Returns as soon as there is room for them in memory; an error of earlier bytes
    /// is told here or by [`finish`](Self::finish). After an error nothing more is taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.0 {
            Way::File(writer) => writer.write(bytes).await,
            Way::Remote(writer) => writer.write(bytes).await,
        }
    }

    /// Hands all bytes to the operating system, or the bucket, and tells how far the upload has come.
    /// More bytes may follow.
    ///
    /// After an error, [`state`](Self::state) is where the session can go on.
    pub async fn finish(&mut self) -> Result<UploadState> {
        match &mut self.0 {
            Way::File(writer) => writer.finish().await,
            Way::Remote(writer) => writer.finish(false).await,
        }
    }

    /// The same where the upload is [published](super::Uploads::publish) next: in a bucket the last
    /// bytes stay in memory, and in the state, which saves the requests to store and to copy them. A
    /// state that is to be kept is made by [`Uploads::settle`](super::Uploads::settle) first.
    pub async fn finish_last(&mut self) -> Result<UploadState> {
        match &mut self.0 {
            Way::File(writer) => writer.finish().await,
            Way::Remote(writer) => writer.finish(true).await,
        }
    }

    /// How far the upload has come for certain: after the last block that was written whole.
    pub const fn state(&self) -> &UploadState {
        match &self.0 {
            Way::File(writer) => writer.state(),
            Way::Remote(writer) => writer.state(),
        }
    }

    /// Bytes received so far, written or not.
    pub const fn received(&self) -> u64 {
        match &self.0 {
            Way::File(writer) => writer.received(),
            Way::Remote(writer) => writer.received(),
        }
    }
}
