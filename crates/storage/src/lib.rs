//! Content-addressed bytes in the layout of distribution v2, on a filesystem, in a bucket or in memory.
//!
//! [`Storage`] is the way in. It hands out small handles: [`Blobs`] (bytes under their sha256),
//! [`Uploads`] (bytes on their way), [`Links`] (which repository holds which digest, and what a tag
//! points to), [`Walk`] (what is there) and [`State`] (our own small files beside the registry's).
//! They agree with the files that other registries write in the same folder; only
//! [`paths`] knows the layout.
//!
//! What each operation promises about power cuts is written beside it: blobs are durable when the
//! call returns, links with the next [`Links::flush`] (consistency rule 10).
//!
//! The crate starts no tasks and reads no clock. File work that may wait for a disk runs on the
//! runtime's blocking threads.

mod blobs;
mod blocking;
pub mod driver;
mod error;
pub mod filesystem;
mod links;
pub mod memory;
pub mod objects;
mod pace;
pub mod paths;
mod state;
mod storage;
mod uploads;
mod walk;

pub use blobs::{Blobs, Checked, Verdict};
pub use driver::{ByteStream, Fingerprint, Observe, Reader as BlobReader, Ticket, Written};
pub use error::{Error, ErrorKind, Result};
pub use filesystem::Volume;
#[cfg(feature = "test-layer")]
pub use filesystem::{Cut, Fault, Recorder};
pub use links::{Link, LinkRecord, Links};
pub use objects::s3;
pub use pace::Pace;
pub use paths::StateName;
pub use state::{State, StateLock};
pub use storage::Storage;
pub use uploads::{Abandoned, Session, UploadState, UploadWriter, Uploads};
pub use walk::{
    BlobWalk, Chunk, Detail, DigestWalk, FolderTimes, FoundBlob, FoundLink, FoundRepository, LinkState, RepositoryWalk,
    TagWalk, Walk,
};
