//! Purging uploads that nobody continues (`storage.maintenance.uploadpurging`).

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use wharf_jobs::{Outcome, Run};
use wharf_metadata::{Metadata, Timestamp, blobs, garbage_collection, uploads};
use wharf_storage::{Session, Storage};

use crate::{Clock, Result};

/// Sessions that are removed in one go.
const BATCH: usize = 200;
/// Sessions that a dry run counts at most.
const MOST_STALE: usize = 1_000_000;

/// Removes old uploads, those of other registries included.
#[derive(Clone)]
pub struct UploadPurge {
    metadata: Metadata,
    storage: Storage,
    clock: Clock,
}

/// What a purge did, or would have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Sessions.
    pub uploads: u64,
    /// Bytes in their files.
    pub bytes: u64,
}

impl UploadPurge {
    /// Over these parts.
    pub const fn new(metadata: Metadata, storage: Storage, clock: Clock) -> Self {
        Self {
            metadata,
            storage,
            clock,
        }
    }

    /// Removes uploads that have not moved for `age`; with `is_dry_run` only counts them.
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was removed until then stays removed.
    pub async fn run(&self, age: Duration, is_dry_run: bool) -> Result<Purged> {
        self.run_while(age, is_dry_run, |_| true).await
    }

    /// The same as a job: it can be stopped between two repositories, and begins anew.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn work(&self, run: Run, age: Duration, is_dry_run: bool) -> Outcome {
        let goes_on = |purged: &Purged| {
            run.progress(purged.uploads, None, "old uploads");
            run.go_on().is_ok()
        };
        let purged = self.run_while(age, is_dry_run, goes_on).await?;
        run.go_on()?;
        Ok(json!({ "uploads": purged.uploads, "bytes": purged.bytes, "dry_run": is_dry_run }))
    }

    async fn run_while(
        &self,
        age: Duration,
        is_dry_run: bool,
        goes_on: impl Fn(&Purged) -> bool + Send,
    ) -> Result<Purged> {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let limit = Timestamp::from((self.clock)()).plus(-age);
        let stale = match is_dry_run {
            true => self.stale_rows(limit).await?,
            false => {
                self.forget_rows(limit).await?;
                HashSet::new()
            }
        };
        let mut purged = self.remove_folders((limit, &stale), is_dry_run, &goes_on).await?;
        self.remove_parts((limit, &stale), is_dry_run, (&mut purged, &goes_on))
            .await?;
        Ok(purged)
    }

    /// The sessions whose rows would be forgotten.
    async fn stale_rows(&self, limit: Timestamp) -> Result<HashSet<String>> {
        let stale = self.metadata.read_long(move |tx| uploads::stale(tx, limit, MOST_STALE));
        Ok(stale.await?.into_iter().map(|upload| upload.id).collect())
    }

    async fn forget_rows(&self, limit: Timestamp) -> Result<()> {
        loop {
            let stale = self
                .metadata
                .read_long(move |tx| uploads::stale(tx, limit, BATCH))
                .await?;
            if stale.is_empty() {
                return Ok(());
            }
            self.metadata
                .write(move |tx| {
                    for upload in &stale {
                        uploads::delete(tx, upload.repository_id, &upload.id)?;
                    }
                    Ok::<_, wharf_metadata::Error>(())
                })
                .await?;
        }
    }

    /// Folders whose session has no row: they cannot be continued. Young ones are left alone, for
    /// their row is written with the first answer.
    async fn remove_folders(
        &self,
        (limit, stale): (Timestamp, &HashSet<String>),
        is_dry_run: bool,
        goes_on: &(impl Fn(&Purged) -> bool + Send),
    ) -> Result<Purged> {
        let mut purged = Purged::default();
        let mut repositories = self.storage.walk().repositories();
        while let Some(found) = repositories.next().await? {
            for repository in found.found {
                if !goes_on(&purged) {
                    return Ok(purged);
                }
                for session in self.storage.uploads().list(&repository.name).await? {
                    if self.is_in_use(&session, limit, stale).await? {
                        continue;
                    }
                    purged.uploads += 1;
                    purged.bytes += session.size.unwrap_or_default();
                    if !is_dry_run {
                        self.storage.uploads().delete(&repository.name, session.id).await?;
                    }
                }
            }
        }
        Ok(purged)
    }

    /// Parts in a bucket that were never put together, which no listing of folders shows.
    async fn remove_parts(
        &self,
        (limit, stale): (Timestamp, &HashSet<String>),
        is_dry_run: bool,
        (purged, goes_on): (&mut Purged, &(impl Fn(&Purged) -> bool + Send)),
    ) -> Result<()> {
        for abandoned in self.storage.uploads().abandoned().await? {
            if !goes_on(purged) {
                return Ok(());
            }
            // one whose age nobody tells is left alone
            let started = abandoned.started_at.parse::<jiff::Timestamp>();
            if started.is_ok_and(|started| Timestamp::from(started) < limit) {
                if let Some((_, id)) = &abandoned.session {
                    let id = id.to_string();
                    let is_stale = stale.contains(&id);
                    if !is_stale && self.metadata.read(move |tx| uploads::exists(tx, &id)).await? {
                        continue;
                    }
                }
                purged.uploads += 1;
                if !is_dry_run {
                    self.storage.uploads().abort(&abandoned).await?;
                }
            }
        }
        Ok(())
    }

    /// Young, or known to the index and so possible to continue.
    async fn is_in_use(&self, session: &Session, limit: Timestamp, stale: &HashSet<String>) -> Result<bool> {
        let started: Option<jiff::Timestamp> = session.started_at.as_deref().and_then(|text| text.parse().ok());
        let moved = Timestamp(session.modified / 1_000);
        let touched = started.map_or(moved, |started| moved.max(started.into()));
        let id = session.id.to_string();
        let has_row = !stale.contains(&id) && self.metadata.read(move |tx| uploads::exists(tx, &id)).await?;
        Ok(touched >= limit || has_row)
    }
}

/// Settles rows of bytes that were being written when the last process ended: those that arrived
/// whole stay, the rest is forgotten. Answers how many there were.
///
/// # Errors
///
/// Storage or index fail.
pub async fn recover_writing(metadata: &Metadata, storage: &Storage, now: jiff::Timestamp) -> Result<usize> {
    let (mut after, mut total) = (0, 0);
    loop {
        let rows = metadata.read_long(move |tx| blobs::writing(tx, after, BATCH)).await?;
        let Some(last) = rows.last() else { return Ok(total) };
        after = last.id;
        total += rows.len();
        for row in &rows {
            let stored = storage.blobs().stat(&row.sha256).await?;
            let is_whole = stored == Some(row.size);
            if stored.is_some() && !is_whole {
                // the row goes, and no bytes stay without one
                storage.blobs().delete(&row.sha256).await?;
            }
            let (sha256, now) = (row.sha256, now.into());
            let id = row.id;
            let settled = metadata.write(move |tx| match is_whole {
                true => {
                    // nothing may come to need it
                    garbage_collection::queue_blob(tx, id, now)?;
                    blobs::set_present(tx, &sha256, None, now)
                }
                false => blobs::abandon_writing(tx, &sha256),
            });
            let _changed: bool = settled.await?;
        }
    }
}
