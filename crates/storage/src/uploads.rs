//! Bytes on their way: upload sessions in the places where distribution keeps them.

use crate::{
    Blobs, Error, ErrorKind, Result, blocking,
    driver::{ByteStore, Driver, Durability, Hold, Stat},
    paths,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use uuid::Uuid;
use wharf_oci::{Digest, RepositoryName};

mod block;
mod file;
mod remote;
mod sessions;
mod state;
mod stored;
mod turn;
mod writer;

pub use sessions::{Abandoned, Session};
pub use state::UploadState;
pub use writer::UploadWriter;

use turn::{Turn, Turns};
use writer::Way;

/// So many bytes are hashed before other tasks have their turn on this thread.
const PIECE: usize = 128 << 10;

/// The uploads of a storage.
///
/// A session is its [`UploadState`], which the caller keeps, and a data file, which exists from the
/// first byte on. In a bucket it is the state and objects that the state knows of; few bytes are in
/// the state alone, and any process goes on from it. Bytes behind the state's offset were never acknowledged; they are dropped when
/// the session goes on. Whoever opens a session takes it over: what an older request still has
/// under way ends with [`ErrorKind::Superseded`] and changes nothing. Between processes that write to
/// one bucket, the state's row decides (consistency rule 6).
#[derive(Clone, Debug)]
pub struct Uploads {
    driver: Driver,
    blobs: Blobs,
    turns: Turns,
}

impl Uploads {
    /// Bodies of at most this many bytes, whole in memory, go to their place with less work
    /// through [`Blobs::put`] than through an upload file.
    pub const SMALL: usize = 64 << 10;

    pub(crate) fn new(driver: Driver, blobs: Blobs) -> Self {
        Self {
            driver,
            blobs,
            turns: Turns::default(),
        }
    }

    /// Opens a session for adding bytes after `state.offset()`, and takes it over from whoever
    /// writes to it now. `started_at` is the RFC 3339 text for the `startedat` file, written with
    /// the first bytes.
    ///
    /// A data file that is shorter than the state says is [`ErrorKind::Corrupt`], one that is gone
    /// [`ErrorKind::NotFound`]. In a bucket that shows later: when the objects are needed.
    pub async fn writer(
        &self,
        repository: &RepositoryName,
        id: Uuid,
        started_at: &str,
        state: UploadState,
    ) -> Result<UploadWriter> {
        let turn = self.turns.take(id);
        let data = paths::upload_data(repository, id);
        if let Some(place) = self.place(repository, id) {
            let writer = remote::RemoteWriter::open(place, turn, state)?;
            return Ok(UploadWriter::new(Way::Remote(Box::new(writer)), data));
        }
        if state.stored().is_some() {
            return Err(Error::new(ErrorKind::NotFound, "resume", data));
        }
        let started = (state.offset() == 0).then(|| Bytes::from(started_at.to_owned()));
        let place = file::Place {
            driver: self.driver.clone(),
            data: data.clone(),
            started: paths::upload_started(repository, id),
        };
        let writer = file::FileWriter::open(place, turn, started, state).await?;
        Ok(UploadWriter::new(Way::File(Box::new(writer)), data))
    }

    /// Where the objects of a session are, in a bucket.
    fn place(&self, repository: &RepositoryName, id: Uuid) -> Option<remote::Place> {
        let objects = self.driver.objects()?.clone();
        Some(remote::Place {
            objects,
            folder: paths::upload(repository, id),
            data: paths::upload_data(repository, id),
        })
    }

    /// The same state as one that is good to keep: what only it has in memory is stored, unless it is
    /// little.
    pub async fn settle(&self, repository: &RepositoryName, id: Uuid, state: &UploadState) -> Result<UploadState> {
        match self.place(repository, id) {
            Some(place) => remote::settle(&place, state).await,
            None => Ok(state.clone()),
        }
    }

    /// Reads the session's bytes once more, for a digest that was not computed on their way; the
    /// answer tells both sha256 and sha512.
    pub async fn rehash(&self, repository: &RepositoryName, id: Uuid, state: &UploadState) -> Result<UploadState> {
        let mut hashed = UploadState::new(true);
        if state.offset() == 0 {
            return Ok(hashed);
        }
        let location = paths::upload_data(repository, id);
        if let Some(place) = self.place(repository, id)
            && !remote::complete(&place, state).await?
        {
            return rehash_remote(&place, state).await;
        }
        let Some(reader) = self.driver.open(&location).await? else {
            return Err(Error::new(ErrorKind::NotFound, "read", location));
        };
        let mut stream = reader.stream(0..state.offset());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            hashed = blocking::start(move || {
                hashed.add(&chunk);
                hashed
            })
            .await?;
        }
        if hashed.offset() == state.offset() {
            return Ok(hashed);
        }
        let reason = format!("it holds {} bytes, not {}", hashed.offset(), state.offset());
        Err(Error::because(ErrorKind::Corrupt, "read", location, reason))
    }

    /// Makes the bytes of a session durable, so that it survives a power cut.
    pub async fn sync(&self, repository: &RepositoryName, id: Uuid) -> Result<()> {
        match self.driver.sync(&paths::upload_data(repository, id)).await {
            // Nothing was sent yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes the bytes of a session a blob, durable on return, and ends the session. The answer is
    /// the sha256 of `state`; that it is what the client asked for is the caller's check.
    ///
    /// Repeating a call that was interrupted is safe.
    pub async fn publish(&self, repository: &RepositoryName, id: Uuid, state: &UploadState) -> Result<Digest> {
        let hold: Hold = Some(Arc::new(self.turns.take(id).hold().await?));
        let digest = state.sha256();
        if let Some(place) = self.place(repository, id)
            && state.offset() > 0
        {
            remote::publish(&place, &self.blobs, state).boxed().await?;
            return Ok(digest);
        }
        if state.offset() == 0 {
            self.blobs.put(&digest, Bytes::new()).await?;
        } else {
            self.publish_data(repository, id, state, hold).await?;
        }
        if self.driver.objects().is_some() {
            return Ok(digest);
        }
        let folder = paths::upload(repository, id);
        self.driver.delete_folder(&folder, Durability::Lazy).await?;
        Ok(digest)
    }

    async fn publish_data(&self, repository: &RepositoryName, id: Uuid, state: &UploadState, hold: Hold) -> Result<()> {
        let digest = &state.sha256();
        let data = paths::upload_data(repository, id);
        match self.driver.stat(&data).await? {
            Some(Stat::File(found)) if found.size == state.offset() => {}
            // Drops bytes that were never acknowledged, or says what is wrong.
            Some(_) => drop(self.driver.append(&data, state.offset(), hold.clone()).await?),
            // An earlier call may have moved it.
            None if self.blobs.stat(digest).await? == Some(state.offset()) => return Ok(()),
            None => return Err(Error::new(ErrorKind::NotFound, "publish", data)),
        }
        self.blobs.adopt(digest, &data, state.offset(), hold).await
    }

    /// Ends a session and removes its bytes; one that is gone already is no error.
    pub async fn delete(&self, repository: &RepositoryName, id: Uuid) -> Result<()> {
        let _hold = self.turns.take(id).hold().await?;
        let folder = paths::upload(repository, id);
        if let Some(objects) = self.driver.objects() {
            for upload in objects.unfinished(&folder).await? {
                objects.abort_parts((&upload.location, &upload.id)).await?;
            }
        }
        self.driver.delete_folder(&folder, Durability::Lazy).await?;
        Ok(())
    }

    /// Whether the session has a folder, which it has from its first byte on; in a bucket, while it has
    /// an object.
    pub async fn exists(&self, repository: &RepositoryName, id: Uuid) -> Result<bool> {
        Ok(self.driver.stat(&paths::upload(repository, id)).await?.is_some())
    }
}

/// Reads the pieces of a session once more.
async fn rehash_remote(place: &remote::Place, state: &UploadState) -> Result<UploadState> {
    let Some(stored) = state.stored() else {
        return Err(Error::new(ErrorKind::NotFound, "read", &place.folder));
    };
    let mut bytes = remote::read_pieces(place, &stored.pieces).await?;
    bytes.extend_from_slice(&stored.rest);
    blocking::start(move || {
        let mut hashed = UploadState::new(true);
        bytes.iter().for_each(|bytes| hashed.add(bytes));
        hashed
    })
    .await
}
