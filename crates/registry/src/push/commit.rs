//! From received bytes to a blob of the repository (consistency rules 3, 5 and 10).

use std::time::Duration;

use wharf_metadata::blobs::{Begin, Writing};
use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, Timestamp, Tx, blobs, links, mirror, repositories, uploads};
use wharf_oci::{Algorithm, Digest, RepositoryName};

use super::session::{Row, Turn};
use super::{Pushes, Target};
use crate::garbage_collection::{LONGEST_REQUEST, micros};
use crate::repository::NEW;
use crate::{Error, Result};

/// Who writes bytes: one process for now.
const OWNER: &str = "wharf";

/// How often a commit is tried that the collector came before.
pub(super) const ATTEMPTS: usize = 3;
/// How long a request waits for bytes that are being deleted.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks whether they are gone.
const LOOKS: Duration = Duration::from_millis(20);
/// How long bytes that are there already are kept for an upload of the same, at least.
const SHORTEST_RESERVATION: Duration = Duration::from_secs(10);

/// Where the commit of a blob goes.
#[derive(Clone)]
struct Commit {
    name: RepositoryName,
    digest: Digest,
    stored: Digest,
    alias: Option<Digest>,
    entries: Vec<Entry>,
    upload: Option<Row>,
    now: Timestamp,
}

impl Pushes {
    /// Checks the digest and makes the upload a blob of the repository.
    pub(super) async fn commit(&self, target: &Target, turn: &mut Turn, digest: &Digest) -> Result<()> {
        let alias = self.check_digest(target, turn, digest).await?;
        let stored = turn.state().sha256();
        let size = turn.state().offset();
        let begun = self.begin_writing(stored, size).await?;
        turn.check_turn().await?;
        let uploads = self.storage.uploads();
        if let Err(error) = uploads.publish(&target.storage_name, turn.id(), turn.state()).await {
            return Err(turn.lost(error).await);
        }
        self.confirm(begun, &stored, size).await?;
        let commit = Commit {
            name: target.name.clone(),
            digest: *digest,
            stored,
            alias,
            entries: std::iter::once(stored).chain(alias).map(Entry::Layer).collect(),
            upload: turn.row(),
            now: self.now(),
        };
        let entries = commit.entries.clone();
        let Some(repository_id) = self.commit_blob(commit, size).await? else {
            // the bytes went with the upload
            turn.discard_in_place().await?;
            return Err(deleted_meanwhile(&stored));
        };
        turn.close();
        self.caches.forget_link(repository_id, digest);
        self.mirror.settle_all(repository_id, entries).await.map(drop)
    }

    /// Commits what was published; `None` when the collector has deleted it meanwhile, which can
    /// happen to bytes that were there before and were reserved for too short a time.
    async fn commit_blob(&self, commit: Commit, size: u64) -> Result<Option<i64>> {
        let stored = commit.stored;
        for _ in 0..ATTEMPTS {
            let commit = commit.clone();
            if let Some(repository_id) = self.metadata.write(move |tx| commit_blob(tx, &commit)).await? {
                return Ok(Some(repository_id));
            }
            // what may be under `blobs/` has a row again, whether it goes on or not
            self.begin_writing(stored, size).await?;
            if self.storage.blobs().stat(&stored).await? != Some(size) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// After somebody's deletion was overtaken, the bytes are promised only when they were seen.
    pub(super) async fn confirm(&self, begun: Begin, stored: &Digest, size: u64) -> Result<()> {
        if begun == Begin::TakenOver && self.storage.blobs().stat(stored).await? != Some(size) {
            return Err(deleted_meanwhile(stored));
        }
        Ok(())
    }

    /// Those of `stored` whose bytes are gone although the index has them: another registry's
    /// garbage collection may have run while this process did not.
    pub(super) async fn removed_by_others(&self, stored: &[Digest]) -> Result<Vec<Digest>> {
        let sizes = self.storage.blobs().stat_all(stored).await?;
        let removed = stored.iter().zip(sizes).filter(|(_, size)| size.is_none());
        Ok(removed.map(|(digest, _)| *digest).collect())
    }

    /// The second name of the blob, when the client knows it by its sha512.
    async fn check_digest(&self, target: &Target, turn: &mut Turn, digest: &Digest) -> Result<Option<Digest>> {
        let computed = match turn.state().digest(digest.algorithm()) {
            Some(computed) => Some(computed),
            None => {
                let uploads = self.storage.uploads();
                match uploads.rehash(&target.storage_name, turn.id(), turn.state()).await {
                    Ok(hashed) => hashed.digest(digest.algorithm()),
                    Err(error) => return Err(turn.lost(error).await),
                }
            }
        };
        match computed {
            Some(computed) if computed == *digest => Ok((digest.algorithm() == Algorithm::Sha512).then_some(computed)),
            computed => {
                turn.discard_in_place().await?;
                Err(Error::DigestMismatch {
                    given: Box::new(*digest),
                    computed: Box::new(computed.unwrap_or_else(|| turn.state().sha256())),
                })
            }
        }
    }

    /// Commits the row that lets a crash find the bytes, before they appear under `blobs/`. Bytes
    /// that are being deleted are waited for (consistency rule 5); the upload is kept meanwhile.
    pub(super) async fn begin_writing(&self, stored: Digest, size: u64) -> Result<Begin> {
        let known = self.metadata.read(move |tx| blobs::find(tx, &stored)).await?;
        let (now, grace) = (self.now(), micros(self.rules.grace));
        // so young that it is not collected before this request has ended
        let is_safe = |blob: &blobs::Blob| blob.state == blobs::State::Present && now < blob.touched_at.plus(grace / 4);
        if known.as_ref().is_some_and(is_safe) {
            return Ok(Begin::Present);
        }
        let waiting = async {
            loop {
                match self.announce(stored, size).await? {
                    Begin::Deleting { .. } => tokio::time::sleep(LOOKS).await,
                    begun => return Ok(begun),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(begun) => begun,
            Err(_) => Err(Error::unavailable(
                format!("blob {stored} is being deleted: send the request again in a moment"),
                5,
            )),
        }
    }

    async fn announce(&self, stored: Digest, size: u64) -> Result<Begin> {
        let (now, grace) = (self.now(), self.rules.grace);
        let written = self.metadata.write(move |tx| {
            let writing = Writing {
                owner: OWNER,
                now,
                reserved_until: now.plus(micros(grace.max(SHORTEST_RESERVATION))),
                ended_before: now.plus(-micros(LONGEST_REQUEST)),
            };
            blobs::begin_writing(tx, &[(stored, size)], writing)
        });
        let begun: Vec<Begin> = written.await?;
        Ok(begun.first().copied().unwrap_or(Begin::Fresh))
    }
}

fn commit_blob(tx: &mut Tx<'_>, commit: &Commit) -> Result<Option<i64>> {
    let Commit { name, stored, now, .. } = commit;
    let repository = repositories::find_or_create(tx, name, State::Indexed(NEW), *now)?;
    if !blobs::set_present(tx, stored, commit.alias.as_ref(), *now)? {
        return Ok(None);
    }
    links::link(tx, repository.id, &commit.digest, *now)?;
    for entry in &commit.entries {
        mirror::raise(tx, repository.id, entry)?;
    }
    if let Some(Row { id, at }) = &commit.upload {
        match *at {
            Some((epoch, received)) => {
                if !uploads::finish(tx, uploads::At { id, epoch, received })? {
                    return Err(Error::UploadSuperseded(id.clone()));
                }
            }
            // gone already, if a purge came before
            None => drop(uploads::delete(tx, repository.id, id)?),
        }
    }
    Ok(Some(repository.id))
}

pub(super) fn deleted_meanwhile(stored: &Digest) -> Error {
    Error::unavailable(format!("{stored} was deleted meanwhile: push it again"), 1)
}
