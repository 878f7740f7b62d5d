//! Upload sessions (consistency rule 6).
//!
//! A session lives in memory while it is young. What was acknowledged to the client is also a
//! row, so that a restart continues it: the row is written once per request that adds bytes, not
//! for an upload that comes and is committed in one go.
//!
//! Where several processes write, the row is all there is: it is made with the session, every request
//! takes the next epoch in it and goes on from what it says, whichever process answers, and one that
//! was overtaken can neither record nor commit what it has received.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::repository::NEW;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, OwnedMutexGuard};
use uuid::Uuid;
use wharf_metadata::repositories::State;
use wharf_metadata::{Metadata, repositories, uploads};
use wharf_oci::{Algorithm, RepositoryName};
use wharf_storage::{ErrorKind, Storage, UploadState, UploadWriter};

use super::{Chunk, Target, UploadStatus};
use crate::{Clock, Error, Random, Result};

/// Sessions that are kept in memory although nobody is sending to them.
const MAX_IDLE: usize = 10_000;

/// Every session this process knows. Cloning shares them.
#[derive(Clone)]
pub(super) struct Sessions {
    known: Arc<Mutex<HashMap<String, Arc<Session>>>>,
    metadata: Metadata,
    storage: Storage,
    clock: Clock,
    random: Random,
}

/// One session.
struct Session {
    id: Uuid,
    name: RepositoryName,
    storage_name: RepositoryName,
    started_at: jiff::Timestamp,
    /// Each request takes the next one; an older request that is still sending gives up.
    epoch: AtomicU64,
    superseded: Notify,
    work: Arc<tokio::sync::Mutex<Work>>,
}

/// What changes while bytes arrive.
struct Work {
    state: UploadState,
    /// The epoch of the row, once there is one.
    row_epoch: Option<i64>,
    /// The offset that the row says, where several processes write.
    row_received: u64,
    is_closed: bool,
}

impl Session {
    fn new(
        id: Uuid,
        name: RepositoryName,
        storage_name: RepositoryName,
        started_at: jiff::Timestamp,
        state: UploadState,
        row_epoch: Option<i64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            name,
            storage_name,
            started_at,
            epoch: AtomicU64::new(0),
            superseded: Notify::new(),
            work: Arc::new(tokio::sync::Mutex::new(Work {
                row_received: state.offset(),
                state,
                row_epoch,
                is_closed: false,
            })),
        })
    }
}

impl Sessions {
    pub(super) fn new(metadata: Metadata, storage: Storage, clock: Clock, random: Random) -> Self {
        Self {
            known: Arc::default(),
            metadata,
            storage,
            clock,
            random,
        }
    }

    /// Whether every request begins with what the row says.
    fn is_shared(&self) -> bool {
        self.metadata.is_shared()
    }

    /// A new session. Nothing is stored before bytes arrive, unless the next request may come to
    /// another process.
    pub(super) async fn start(&self, target: &Target, algorithm: Algorithm) -> Result<String> {
        let mut bytes = [0u8; 16];
        (self.random)(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let state = UploadState::new(algorithm == Algorithm::Sha512);
        let row_epoch = match self.is_shared() {
            true => Some(self.record_start(target, id, &state).await?),
            false => None,
        };
        let session = Session::new(
            id,
            target.name.clone(),
            target.storage_name.clone(),
            (self.clock)(),
            state,
            row_epoch,
        );
        let id = id.to_string();
        let mut known = self.known();
        if known.len() >= MAX_IDLE {
            forget_oldest_unused(&mut known);
        }
        known.insert(id.clone(), session);
        drop(known);
        Ok(id)
    }

    /// Answers the epoch of the new row.
    async fn record_start(&self, target: &Target, id: Uuid, state: &UploadState) -> Result<i64> {
        let (name, id, state) = (target.name.clone(), id.to_string(), state.to_bytes());
        let now = (self.clock)().into();
        let written = self.metadata.write(move |tx| {
            let repository = repositories::find_or_create(tx, &name, State::Indexed(NEW), now)?;
            uploads::create(tx, &id, repository.id, &state, now)?;
            Ok::<_, wharf_metadata::Error>(0)
        });
        Ok(written.await?)
    }

    /// Takes the session over from whoever is sending to it, and waits until that one has let go.
    pub(super) async fn turn(&self, repository: &RepositoryName, id: &str) -> Result<Turn> {
        let session = self.find(repository, id).await?;
        let epoch = session.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        session.superseded.notify_waiters();
        let mut work = session.work.clone().lock_owned().await;
        if work.is_closed {
            return Err(Error::UploadUnknown(id.to_owned()));
        }
        if self.is_shared() && !self.take_row(&session, &mut work).await? {
            work.is_closed = true;
            self.known().remove(id);
            return Err(Error::UploadUnknown(id.to_owned()));
        }
        Ok(Turn {
            sessions: self.clone(),
            session,
            epoch,
            work,
        })
    }

    /// Takes the session over from whichever process answers a request for it, and goes on from what
    /// was acknowledged. `false` when the session has ended.
    async fn take_row(&self, session: &Session, work: &mut Work) -> Result<bool> {
        let (id, name, now) = (session.id.to_string(), session.name.clone(), (self.clock)().into());
        let taken = self.metadata.write(move |tx| {
            let Some(repository) = repositories::find(tx, &name)? else {
                return Ok(None);
            };
            uploads::take_epoch(tx, repository.id, &id, now)
        });
        let taken: Option<uploads::Upload> = taken.await?;
        let Some(row) = taken else { return Ok(false) };
        let Some(state) = UploadState::from_bytes(&row.state) else {
            tracing::warn!(upload = %session.id, "the state of an upload cannot be read: it cannot be continued");
            return Ok(false);
        };
        work.state = state;
        work.row_epoch = Some(row.epoch);
        work.row_received = row.received;
        Ok(true)
    }

    async fn find(&self, repository: &RepositoryName, id: &str) -> Result<Arc<Session>> {
        let unknown = || Error::UploadUnknown(id.chars().take(64).collect());
        // what is no UUID never named a session, and must not become part of a path
        let uuid = Uuid::try_parse(id).map_err(|_| unknown())?;
        let known = self.known().get(id).cloned();
        let session = match known {
            Some(session) => session,
            None => self.restore(repository, uuid).await?.ok_or_else(unknown)?,
        };
        if session.name == *repository {
            Ok(session)
        } else {
            Err(unknown())
        }
    }

    /// A session from before a restart.
    async fn restore(&self, name: &RepositoryName, id: Uuid) -> Result<Option<Arc<Session>>> {
        let text = id.to_string();
        let (wanted_name, wanted_id) = (name.clone(), text.clone());
        let found = self.metadata.read(move |tx| {
            let Some(repository) = repositories::find(tx, &wanted_name)? else {
                return Ok(None);
            };
            let upload = uploads::find(tx, repository.id, &wanted_id)?;
            Ok::<_, wharf_metadata::Error>(upload.map(|upload| (repository.storage_name, upload)))
        });
        let Some((storage_name, row)) = found.await? else {
            return Ok(None);
        };
        let Some(state) = UploadState::from_bytes(&row.state) else {
            tracing::warn!(
                upload = text,
                "the state of an upload cannot be read: it cannot be continued"
            );
            return Ok(None);
        };
        let session = Session::new(
            id,
            name.clone(),
            storage_name,
            row.started_at.to_jiff(),
            state,
            Some(row.epoch),
        );
        Ok(Some(self.known().entry(text).or_insert(session).clone()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room by forgetting a session that has a row to come back from, or one for which nothing
/// has arrived: its client starts again.
fn forget_oldest_unused(known: &mut HashMap<String, Arc<Session>>) {
    let loses_nothing = |work: &Work| work.state.offset() == 0 || work.row_epoch.is_some();
    let is_unused = |session: &&Arc<Session>| {
        Arc::strong_count(session) == 1 && session.work.try_lock().is_ok_and(|work| loses_nothing(&work))
    };
    let oldest = known
        .values()
        .filter(is_unused)
        .min_by_key(|session| session.started_at)
        .map(|session| session.id.to_string());
    if let Some(id) = oldest {
        known.remove(&id);
    }
}

/// The row of a session.
#[derive(Clone)]
pub(super) struct Row {
    /// The session.
    pub(super) id: String,
    /// Epoch and offset that it must have, or another request has overtaken this one.
    pub(super) at: Option<(i64, u64)>,
}

/// One request's hold on a session.
pub(super) struct Turn {
    sessions: Sessions,
    session: Arc<Session>,
    epoch: u64,
    work: OwnedMutexGuard<Work>,
}

impl Turn {
    pub(super) fn status(&self) -> UploadStatus {
        UploadStatus {
            id: self.session.id.to_string(),
            offset: self.work.state.offset(),
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.session.id
    }

    pub(super) fn state(&self) -> &UploadState {
        &self.work.state
    }

    /// The row that must go with the session, and where it must stand for that, if anywhere.
    pub(super) fn row(&self) -> Option<Row> {
        let epoch = self.work.row_epoch?;
        let at = (epoch, self.work.row_received);
        Some(Row {
            id: self.session.id.to_string(),
            at: self.sessions.is_shared().then_some(at),
        })
    }

    /// Receives a chunk into the upload. What arrived before an error is kept. Of the last chunk the
    /// bytes are stored with the blob at the latest.
    pub(super) async fn receive(&mut self, mut chunk: Chunk, is_last: bool) -> Result<()> {
        let offset = self.work.state.offset();
        if let Some(given) = chunk.start.filter(|given| *given != offset) {
            return Err(Error::RangeInvalid {
                given,
                offset,
                upload: self.session.id.to_string(),
            });
        }
        let Some(first) = self.next_bytes(&mut chunk).await? else {
            return check_length(chunk.length, 0);
        };
        let mut writer = self.writer().await?;
        if let Some(length) = chunk.length {
            writer.expect(offset.saturating_add(length));
        }
        let mut next = Ok(Some(first));
        let outcome = loop {
            match next {
                Ok(Some(bytes)) => {
                    if let Err(error) = writer.write(bytes).await {
                        if is_loss(&error) {
                            return Err(self.lost(error).await);
                        }
                        break Err(error.into());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            next = self.next_bytes(&mut chunk).await;
        };
        let before = self.work.state.clone();
        let finished = match is_last && outcome.is_ok() {
            true => writer.finish_last().await,
            false => writer.finish().await,
        };
        // after an error this is where the bytes are known to be good
        self.work.state = writer.state().clone();
        let finished = match finished {
            Err(error) if is_loss(&error) => return Err(self.lost(error).await),
            finished => finished.map(drop).map_err(Error::from),
        };
        if let Err(error) = outcome.and(finished) {
            if let Err(unrecorded) = self.persist().await {
                tracing::debug!(error = %unrecorded, "an upload can be continued only until the process ends");
            }
            return Err(error);
        }
        let received = self.work.state.offset() - before.offset();
        check_length(chunk.length, received).inspect_err(|_| {
            // a chunk that is not what it said to be has not moved the upload
            self.work.state = before;
        })
    }

    /// Opens the upload's file. When it is gone or too short, another program has tidied up or the
    /// disk has lost it: the session cannot go on, and the client begins anew.
    async fn writer(&mut self) -> Result<UploadWriter> {
        let started_at = self.session.started_at.to_string();
        let uploads = self.sessions.storage.uploads();
        let (name, id) = (&self.session.storage_name, self.session.id);
        match uploads.writer(name, id, &started_at, self.work.state.clone()).await {
            Ok(writer) => Ok(writer),
            Err(error) => Err(self.lost(error).await),
        }
    }

    /// What a failure of the storage means to the client. Of a session whose bytes are gone it begins
    /// anew; in a bucket that may show as late as when they become a blob.
    pub(super) async fn lost(&mut self, error: wharf_storage::Error) -> Error {
        if !is_loss(&error) {
            return error.into();
        }
        let id = self.session.id;
        tracing::warn!(upload = %id, %error, "the bytes of an upload are lost");
        match self.discard_in_place().await {
            Ok(()) => Error::UploadUnknown(id.to_string()),
            Err(error) => error,
        }
    }

    async fn next_bytes(&self, chunk: &mut Chunk) -> Result<Option<Bytes>> {
        let superseded = self.session.superseded.notified();
        tokio::pin!(superseded);
        superseded.as_mut().enable();
        if self.session.epoch.load(Ordering::SeqCst) != self.epoch {
            return Err(Error::UploadSuperseded(self.session.id.to_string()));
        }
        loop {
            let frame = tokio::select! {
                frame = chunk.bytes.next() => frame,
                () = &mut superseded => return Err(Error::UploadSuperseded(self.session.id.to_string())),
            };
            match frame {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                Some(Err(error)) => return Err(Error::BodyIncomplete(error.to_string())),
                None => return Ok(None),
            }
        }
    }

    /// Records how far the upload is, so that a restart continues it. The row is moved by
    /// compare-and-set: a request that was overtaken elsewhere changes nothing.
    pub(super) async fn persist(&mut self) -> Result<()> {
        let uploads = self.sessions.storage.uploads();
        let (name, id) = (&self.session.storage_name, self.session.id);
        self.work.state = uploads.settle(name, id, &self.work.state).await?;
        if self.sessions.is_shared() {
            return self.advance().await;
        }
        let now = (self.sessions.clock)().into();
        let (id, name) = (self.session.id.to_string(), self.session.name.clone());
        let (received, state) = (self.work.state.offset(), self.work.state.to_bytes());
        let (started_at, known) = (self.session.started_at.into(), self.work.row_epoch);
        let written = self.sessions.metadata.write(move |tx| {
            let repository = repositories::find_or_create(tx, &name, State::Indexed(NEW), now)?;
            if known.is_none() {
                uploads::create(tx, &id, repository.id, &[], started_at)?;
            }
            let Some(row) = uploads::take_epoch(tx, repository.id, &id, now)? else {
                return Ok(None);
            };
            let at = uploads::At {
                id: &id,
                epoch: row.epoch,
                received: row.received,
            };
            let is_ours = known.is_none_or(|known| known + 1 == row.epoch);
            if !is_ours || !uploads::advance(tx, at, received, &state, now)? {
                return Ok(None);
            }
            Ok::<_, wharf_metadata::Error>(Some(row.epoch))
        });
        match written.await? {
            Some(epoch) => {
                self.work.row_epoch = Some(epoch);
                Ok(())
            }
            None => Err(Error::UploadSuperseded(self.session.id.to_string())),
        }
    }

    /// Fails if another process has taken the session over: what is done to its bytes now would be
    /// done to what that one goes on with.
    pub(super) async fn check_turn(&self) -> Result<()> {
        let Some(Row { id, at: Some(at) }) = self.row() else {
            return Ok(());
        };
        let (name, wanted) = (self.session.name.clone(), id.clone());
        let found = self.sessions.metadata.read(move |tx| {
            let Some(repository) = repositories::find(tx, &name)? else {
                return Ok(None);
            };
            uploads::find(tx, repository.id, &wanted)
        });
        let found: Option<uploads::Upload> = found.await?;
        match found.is_some_and(|row| (row.epoch, row.received) == at) {
            true => Ok(()),
            false => Err(Error::UploadSuperseded(id)),
        }
    }

    /// [`Self::persist`] where every request has taken the row when it began.
    async fn advance(&mut self) -> Result<()> {
        let (now, id) = ((self.sessions.clock)().into(), self.session.id.to_string());
        let (epoch, from) = (self.work.row_epoch.unwrap_or_default(), self.work.row_received);
        let (received, state) = (self.work.state.offset(), self.work.state.to_bytes());
        let written = self.sessions.metadata.write(move |tx| {
            let at = uploads::At {
                id: &id,
                epoch,
                received: from,
            };
            uploads::advance(tx, at, received, &state, now)
        });
        let is_ours: bool = written.await?;
        if !is_ours {
            return Err(Error::UploadSuperseded(self.session.id.to_string()));
        }
        self.work.row_received = received;
        Ok(())
    }

    /// Ends the session; its row must be gone already, or go in the same transaction.
    pub(super) fn close(&mut self) {
        self.work.is_closed = true;
        self.sessions.known().remove(&self.session.id.to_string());
    }

    /// Ends the session and removes its bytes.
    pub(super) async fn discard(mut self) -> Result<()> {
        self.discard_in_place().await
    }

    /// The same for a caller that only borrows the turn.
    pub(super) async fn discard_in_place(&mut self) -> Result<()> {
        if let Some(Row { id, at }) = self.row() {
            let name = self.session.name.clone();
            let written = self.sessions.metadata.write(move |tx| {
                let Some(repository) = repositories::find(tx, &name)? else {
                    return Ok(true);
                };
                match at {
                    Some((epoch, received)) => {
                        let at = uploads::At {
                            id: &id,
                            epoch,
                            received,
                        };
                        let is_ours = uploads::finish(tx, at)?;
                        Ok(is_ours || uploads::find(tx, repository.id, &id)?.is_none())
                    }
                    None => uploads::delete(tx, repository.id, &id).map(|_| true),
                }
            });
            let is_ours: bool = written.await?;
            if !is_ours {
                // another process goes on with it, and with its bytes
                return Ok(());
            }
        }
        self.close();
        if self.work.state.offset() > 0 {
            self.sessions
                .storage
                .uploads()
                .delete(&self.session.storage_name, self.session.id)
                .await?;
        }
        Ok(())
    }
}

fn is_loss(error: &wharf_storage::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

fn check_length(announced: Option<u64>, actual: u64) -> Result<()> {
    match announced {
        Some(announced) if announced != actual => Err(Error::SizeMismatch { announced, actual }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
