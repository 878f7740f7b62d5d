//! Deleting a whole repository.
//!
//! One short transaction marks the repository: from then on nobody finds it, and a push of its name
//! is told to come again in a moment. Its manifests go to the trash in batches, then its folder
//! goes, and its row last. Whatever ends in between is finished at the next start.

use wharf_metadata::repositories::State;
use wharf_metadata::trash::{self, Deletion};
use wharf_metadata::{Entry, audit_log, links, manifests, mirror, repositories};
use wharf_oci::RepositoryName;

use super::{Deletions, Order, detail};
use crate::repository::Repository;
use crate::{Error, Result};

/// Manifests, or links, that one transaction takes.
const BATCH: usize = 200;
/// Rows of the history that one transaction takes.
const HISTORY_BATCH: usize = 1_000;
/// How often the folder is removed again when requests that were under way have written to it.
const ATTEMPTS: usize = 10;

/// What a deleted repository held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeletedRepository {
    /// Manifests.
    pub manifests: u64,
    /// When they leave the trash; `None` when they are gone for good.
    pub expires_at: Option<wharf_metadata::Timestamp>,
}

impl Deletions {
    /// Deletes a repository with everything in it. It leaves every list and its folder goes, so
    /// that registry:2 does not know it either. Repositories whose names begin with its name stay,
    /// and so does `library/x` when it is `x` that is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NameUnknown`], [`Error::Unsupported`] when the registry is read-only, or the
    /// principal may not delete here. [`Error::Unavailable`]: it is deleted all the same, and
    /// repeating the request finishes it.
    pub async fn repository(&self, order: Order<'_>, name: &RepositoryName) -> Result<DeletedRepository> {
        let repository = match self.allowed(order, name).await {
            Err(Error::NameUnknown(_)) if self.is_unfinished(name).await? => return self.finish_named(name).await,
            other => other?,
        };
        if repository.name != *name {
            // `x` also means `library/x`; but then one that is gone would stand for one that is not
            return Err(Error::NameUnknown(name.clone()));
        }
        let deletion = self.deletion(order, "repository deleted");
        let subject = repository.name.to_string();
        let line = order
            .actor
            .line(deletion.at, "repository.delete", subject, detail(&deletion));
        let (id, begun) = (repository.id, deletion.clone());
        let written = self.parts.metadata.write(move |tx| {
            let is_ours = repositories::begin_deleting(tx, id, &begun)?;
            if is_ours {
                audit_log::append(tx, &line)?;
            }
            Ok::<_, wharf_metadata::Error>(is_ours)
        });
        if !written.await? {
            return Err(Error::NameUnknown(name.clone()));
        }
        tracing::info!(repository = %repository.name, "repository deleted");
        self.finish(&repository, &deletion).await
    }

    /// Finishes deletions that a crash or a failing storage has left. Answers how many there were.
    ///
    /// # Errors
    ///
    /// Storage or index fail, after every one was tried.
    pub async fn recover(&self) -> Result<usize> {
        let mut after = 0;
        let mut outcome = Ok(0);
        loop {
            let page = self
                .parts
                .metadata
                .read(move |tx| repositories::deletions(tx, after, BATCH));
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return outcome;
            };
            after = last.id;
            for (row, deletion) in page {
                match self.finish(&Repository::from(row), &deletion).await {
                    Ok(_) => outcome = outcome.map(|finished| finished + 1),
                    Err(error) => outcome = Err(error),
                }
            }
        }
    }

    async fn is_unfinished(&self, name: &RepositoryName) -> Result<bool> {
        let name = name.clone();
        let found = self.parts.metadata.read(move |tx| repositories::is_deleting(tx, &name));
        Ok(found.await?)
    }

    async fn finish_named(&self, name: &RepositoryName) -> Result<DeletedRepository> {
        let mut after = 0;
        loop {
            let page = self
                .parts
                .metadata
                .read(move |tx| repositories::deletions(tx, after, BATCH));
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Err(Error::NameUnknown(name.clone()));
            };
            after = last.id;
            for (row, deletion) in page {
                if row.storage_name == *name {
                    return self.finish(&Repository::from(row), &deletion).await;
                }
            }
        }
    }

    /// One at a time: once it has ended, its name and its folder may be those of a new repository.
    async fn finish(&self, repository: &Repository, deletion: &Deletion) -> Result<DeletedRepository> {
        // under every name that it is known by, with all that was read of it
        self.parts.caches.forget_everything();
        let _turn = self.turns.lock(repository.id).await;
        let turn = format!("deletion/{}", repository.id);
        self.parts
            .turns
            .alone(&turn, self.finish_alone(repository, deletion))
            .await
    }

    async fn finish_alone(&self, repository: &Repository, deletion: &Deletion) -> Result<DeletedRepository> {
        let mut deleted = DeletedRepository {
            manifests: 0,
            expires_at: deletion.expires_at,
        };
        for _ in 0..ATTEMPTS {
            if !self.is_open(repository.id).await? {
                return Ok(deleted);
            }
            deleted.manifests += self.discard_manifests(repository, deletion).await?;
            self.unlink_blobs(repository).await?;
            self.let_writers_end(repository).await?;
            self.parts.mirror.flush().await.map_err(|_| unfinished())?;
            let links = self.parts.storage.links();
            if let Err(error) = links.remove_repository(&repository.storage_name).await {
                tracing::error!(%error, repository = %repository.name, "the folder of a deleted repository cannot be removed");
                return Err(unfinished());
            }
            let id = repository.id;
            self.forget_pending(id).await?;
            self.forget_history(id).await?;
            let finished = self
                .parts
                .metadata
                .write(move |tx| repositories::finish_deleting(tx, id));
            if finished.await? {
                return Ok(deleted);
            }
        }
        Err(unfinished())
    }

    async fn is_open(&self, id: i64) -> Result<bool> {
        let found = self.parts.metadata.read(move |tx| repositories::by_id(tx, id)).await?;
        Ok(found.is_some_and(|row| row.state == State::Deleting))
    }

    async fn discard_manifests(&self, repository: &Repository, deletion: &Deletion) -> Result<u64> {
        let mut discarded = 0;
        loop {
            let (id, name, deletion) = (repository.id, repository.name.clone(), deletion.clone());
            let written = self.parts.metadata.write(move |tx| {
                let page = manifests::page(tx, id, None, BATCH)?;
                let mut files = Vec::new();
                for manifest in &page {
                    let gone = trash::delete_manifest(tx, (id, &name), &manifest.sha256, &deletion)?;
                    files.extend(gone.and_then(|gone| gone.file));
                }
                Ok::<_, wharf_metadata::Error>((page.len() as u64, files))
            });
            let (count, files) = written.await?;
            if count == 0 {
                return Ok(discarded);
            }
            discarded += count;
            // links go with the folder; the files of the trash must be there before that
            for file in &files {
                self.parts.mirror.settle_file(file).await.map_err(|_| unfinished())?;
            }
        }
    }

    async fn unlink_blobs(&self, repository: &Repository) -> Result<()> {
        loop {
            let (id, now) = (repository.id, self.now());
            let written = self.parts.metadata.write(move |tx| {
                let page = links::page(tx, id, 0, BATCH)?;
                for link in &page {
                    links::unlink(tx, id, &link.sha256, now)?;
                }
                Ok::<_, wharf_metadata::Error>(page.is_empty())
            });
            if written.await? {
                return Ok(());
            }
        }
    }

    /// Requests that were answered before may still write their links: whoever does holds the
    /// entry, so each one that is pending is taken once.
    async fn let_writers_end(&self, repository: &Repository) -> Result<()> {
        let mut after: Option<Entry> = None;
        loop {
            let (id, from) = (repository.id, after.clone());
            let page = self
                .parts
                .metadata
                .read(move |tx| mirror::pending_of(tx, id, from.as_ref(), BATCH));
            let page = page.await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for entry in page {
                self.parts.mirror.hold(id, vec![entry]).await?.end().await?;
            }
        }
    }

    /// Once the folder is gone: nobody is writing an entry that is held, and nobody begins to write
    /// one that is not pending.
    async fn forget_pending(&self, id: i64) -> Result<()> {
        loop {
            let page = self
                .parts
                .metadata
                .read(move |tx| mirror::pending_of(tx, id, None, BATCH));
            let page = page.await?;
            if page.is_empty() {
                return Ok(());
            }
            let _held = self.parts.mirror.hold(id, page.clone()).await?;
            // with whatever says that they are held
            let written = self.parts.metadata.write(move |tx| mirror::forget(tx, id, &page));
            written.await?;
        }
    }

    /// In many transactions, so that others get their turn.
    async fn forget_history(&self, id: i64) -> Result<()> {
        loop {
            let written = self
                .parts
                .metadata
                .write(move |tx| repositories::forget_history(tx, id, HISTORY_BATCH));
            if !written.await? {
                return Ok(());
            }
        }
    }
}

fn unfinished() -> Error {
    Error::unavailable(
        "the repository is deleted, but the storage cannot be written: repeat the request",
        5,
    )
}
