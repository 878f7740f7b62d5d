//! Bytes on their way: upload sessions in the places where distribution keeps them.

use crate::{
    Blobs, Error, ErrorKind, Result, blocking,
    driver::{ByteStore, Driver, Durability, Hold, Stat},
    paths,
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::Arc;
use uuid::Uuid;
use wharf_oci::{Digest, RepositoryName};

mod block;
mod state;
mod turn;
mod writer;

pub use state::UploadState;
pub use writer::UploadWriter;

use turn::{Turn, Turns};

/// The longest `startedat` file that is looked at.
const MOST_CONTENT: u64 = 4096;

/// The uploads of a storage.
///
/// A session is its [`UploadState`], which the caller keeps, and a data file, which exists from the
/// first byte on. Bytes behind the state's offset were never acknowledged; they are dropped when
/// the session goes on. Whoever opens a session takes it over: what an older request still has
/// under way ends with [`ErrorKind::Superseded`] and changes nothing.
#[derive(Clone, Debug)]
pub struct Uploads {
    driver: Driver,
    blobs: Blobs,
    turns: Turns,
}

/// A session found in a repository's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The name of its folder.
    pub id: Uuid,
    /// The text of its `startedat` file, RFC 3339; `None` when there is no such file.
    pub started_at: Option<String>,
    /// Bytes in its data file, acknowledged or not; `None` when there is no such file.
    pub size: Option<u64>,
    /// When an entry of its folder last came or went: nanoseconds since 1970.
    pub modified: i64,
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
    /// [`ErrorKind::NotFound`].
    pub async fn writer(
        &self,
        repository: &RepositoryName,
        id: Uuid,
        started_at: &str,
        state: UploadState,
    ) -> Result<UploadWriter> {
        let turn = self.turns.take(id);
        let started = (state.offset() == 0).then(|| Bytes::from(started_at.to_owned()));
        let place = writer::Place {
            driver: self.driver.clone(),
            data: paths::upload_data(repository, id),
            started: paths::upload_started(repository, id),
        };
        UploadWriter::open(place, turn, started, state).await
    }

    /// Reads the session's bytes once more, for a digest that was not computed on their way; the
    /// answer tells both sha256 and sha512.
    pub async fn rehash(&self, repository: &RepositoryName, id: Uuid, state: &UploadState) -> Result<UploadState> {
        let mut hashed = UploadState::new(true);
        if state.offset() == 0 {
            return Ok(hashed);
        }
        let location = paths::upload_data(repository, id);
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
        if state.offset() == 0 {
            self.blobs.put(&digest, Bytes::new()).await?;
        } else {
            self.publish_data(repository, id, state, hold).await?;
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
        self.driver.delete_folder(&folder, Durability::Lazy).await?;
        Ok(())
    }

    /// Whether the session has a folder, which it has from its first byte on.
    pub async fn exists(&self, repository: &RepositoryName, id: Uuid) -> Result<bool> {
        Ok(self.driver.stat(&paths::upload(repository, id)).await?.is_some())
    }

    /// The sessions of a repository, those of other registries included, for purging. Entries that
    /// are no sessions are left out.
    pub async fn list(&self, repository: &RepositoryName) -> Result<Vec<Session>> {
        let mut sessions = Vec::new();
        let mut lister = self.driver.list(&paths::uploads(repository));
        while let Some(entries) = lister.next().await? {
            for entry in entries.into_iter().filter(|entry| entry.is_folder) {
                if let Ok(id) = Uuid::try_parse(&entry.name)
                    && id.to_string() == entry.name
                {
                    sessions.extend(self.session(repository, id).await?);
                }
            }
        }
        Ok(sessions)
    }

    async fn session(&self, repository: &RepositoryName, id: Uuid) -> Result<Option<Session>> {
        let folder = paths::upload(repository, id);
        let data = paths::upload_data(repository, id);
        let [folder, data] = self.driver.stat_all(vec![folder, data]).await?[..] else {
            return Ok(None);
        };
        // It may have ended meanwhile.
        let Some(Stat::Folder { modified }) = folder else {
            return Ok(None);
        };
        let size = match data {
            Some(Stat::File(found)) => Some(found.size),
            _ => None,
        };
        let started = paths::upload_started(repository, id);
        let started = self.driver.get(&started, MOST_CONTENT).await?;
        let started_at = started.map(|object| String::from_utf8_lossy(&object.bytes).trim().to_owned());
        Ok(Some(Session {
            id,
            started_at,
            size,
            modified,
        }))
    }
}
