//! Passes over the whole storage.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use wharf_metadata::{adoption, bulk, repositories, settings};
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{StateName, Storage};

use super::Adoption;
use super::compare::{Depth, Pass, Writers};
use super::progress::{Phase, Progress, add};
use crate::finding::{Finding, FindingKind, Tally};
use crate::{Error, Result, trash};

/// Repositories that are compared at the same time: enough that the writer always has work, few
/// enough that requests get their turn.
const AT_ONCE: usize = 16;
/// The same while requests change them.
const AT_ONCE_BESIDE_WRITERS: usize = 4;
/// Rows of the index that are looked at in one go.
const BATCH: usize = 1_000;
/// How often the log says how far it is.
const REPORT: Duration = Duration::from_secs(5);
/// How long repositories that could not be read are left alone, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The setting that says that bytes without a row were looked for.
const ORPHANS_FOUND: &str = "orphans_found";

impl Adoption {
    /// Compares everything, the storage's repositories first, then those that only the index has,
    /// and at the first time the bytes that no repository names. Repositories that cannot be read
    /// are tried again until they can.
    ///
    /// # Errors
    ///
    /// Storage or index fail as a whole; what was compared until then stays.
    pub async fn run(&self) -> Result<()> {
        let outcome = self.run_pass().await;
        if outcome.is_err() {
            self.state.progress.enter(Phase::Failed);
        }
        outcome
    }

    async fn run_pass(&self) -> Result<()> {
        let (epoch, is_outdated) = self.begin().await?;
        let progress = &self.state.progress;
        progress.begin(epoch, false, self.micros());
        let pass = Pass {
            epoch,
            writers: self.writers(),
            depth: if is_outdated { Depth::Links } else { Depth::Changes },
            removes: true,
            progress: Arc::clone(progress),
        };
        let mut left = self.all_names(progress).await?;
        progress.expect(left.len());
        progress.enter(Phase::Repositories);
        let mut reporter = tokio::time::interval_at(tokio::time::Instant::now() + REPORT, REPORT);
        let mut pause = RETRY.0;
        while !left.is_empty() {
            let mut failed = Vec::new();
            {
                let work = stream::iter(left)
                    .map(|name| async { (self.compare_first(&name, &pass).await, name) })
                    .buffer_unordered(AT_ONCE)
                    .for_each(|(outcome, name)| {
                        if let Err(error) = outcome {
                            progress
                                .findings
                                .note(FindingKind::Unreadable, &name, "repository", error);
                            failed.push(name);
                        }
                        std::future::ready(())
                    });
                tokio::pin!(work);
                loop {
                    tokio::select! {
                        () = &mut work => break,
                        _ = reporter.tick() => self.report(),
                    }
                }
            }
            progress.failed.store(failed.len() as u64, Ordering::Relaxed);
            if !failed.is_empty() {
                tracing::error!(
                    repositories = failed.len(),
                    "repositories could not be compared with their folders: lists and garbage collection wait for them; \
                     it is tried again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
            }
            left = failed;
        }
        self.complete(epoch).await?;
        self.settle();
        self.report_end();
        self.find_orphans_once(progress).await?;
        progress.end(self.micros());
        Ok(())
    }

    /// Compares everything once more while requests change it: for what a predecessor wrote while
    /// it was shutting down.
    ///
    /// # Errors
    ///
    /// As [`Adoption::run`].
    pub async fn run_again(&self) -> Result<()> {
        let pass = Pass {
            epoch: self.state.progress.snapshot().epoch,
            writers: Writers::Active,
            depth: Depth::Changes,
            removes: true,
            progress: Arc::default(),
        };
        let names = self.all_names(&pass.progress).await?;
        self.compare_beside_writers(names, &pass).await?;
        let changes = pass.progress.changes();
        if changes > 0 {
            tracing::info!(
                changes,
                "another registry had written to the storage after this one started"
            );
        }
        Ok(())
    }

    /// Reads everything again and makes the index what the storage says, while requests go on. What
    /// storage cannot tell stays as it is: accounts, who may see what, who pushed what and when.
    /// Until it is through nothing is collected. How far it is stands in [`Adoption::progress`].
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was done until then stays, and the index stays incomplete until
    /// a later pass comes to its end.
    pub async fn rebuild(&self) -> Result<()> {
        let outcome = self.rebuild_pass().await;
        if outcome.is_err() {
            self.state.progress.enter(Phase::Failed);
        }
        outcome
    }

    async fn rebuild_pass(&self) -> Result<()> {
        let (epoch, _) = self.begin().await?;
        let progress = &self.state.progress;
        progress.begin(epoch, true, self.micros());
        let pass = Pass {
            epoch,
            writers: Writers::Active,
            depth: Depth::Everything,
            removes: true,
            progress: Arc::clone(progress),
        };
        let names = self.all_names(progress).await?;
        progress.expect(names.len());
        progress.enter(Phase::Repositories);
        self.compare_beside_writers(names, &pass).await?;
        self.find_orphans(progress).await?;
        self.complete(epoch).await?;
        progress.end(self.micros());
        Ok(())
    }

    /// Indexes what the folder of one repository has and the index has not, while requests go on.
    /// Nothing goes from the index.
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was done until then stays.
    pub(crate) async fn follow(&self, name: &RepositoryName) -> Result<()> {
        let pass = Pass {
            epoch: self.state.progress.snapshot().epoch,
            writers: Writers::Active,
            depth: Depth::Everything,
            removes: false,
            progress: Arc::default(),
        };
        self.compare_beside_writers(vec![name.clone()], &pass).await
    }

    /// The repositories of the storage, then those that only the index has, by their folders; and
    /// what lies between them.
    ///
    /// # Errors
    ///
    /// Storage or index fail.
    pub(crate) async fn names(&self) -> Result<(Vec<RepositoryName>, BTreeMap<FindingKind, Tally>)> {
        let progress = Progress::default();
        let names = self.all_names(&progress).await?;
        Ok((names, progress.findings.read()))
    }

    /// Gives bytes a row that have none.
    ///
    /// # Errors
    ///
    /// Storage or index fail.
    pub(crate) async fn adopt_orphans(&self, orphans: Vec<(Digest, u64)>) -> Result<()> {
        self.record_orphans(orphans, &Progress::default()).await
    }

    async fn compare_beside_writers(&self, names: Vec<RepositoryName>, pass: &Pass) -> Result<()> {
        let compared = stream::iter(names)
            .map(|name| async move {
                let _turn = self.locks.lock(name.clone()).await;
                self.count(self.parts.compare(&name, pass).await?, pass);
                Ok::<_, Error>(())
            })
            .buffer_unordered(AT_ONCE_BESIDE_WRITERS);
        futures_util::TryStreamExt::try_for_each(compared, |()| std::future::ready(Ok(()))).await
    }

    /// Other processes may serve while this one compares.
    fn writers(&self) -> Writers {
        match self.parts.metadata.is_shared() {
            true => Writers::Active,
            false => Writers::Waiting,
        }
    }

    /// For a request that cannot wait for the pass.
    pub(super) async fn compare_once(&self, name: &RepositoryName) -> Result<()> {
        let pass = Pass {
            epoch: self.state.progress.snapshot().epoch,
            writers: self.writers(),
            depth: Depth::Changes,
            removes: true,
            progress: Arc::clone(&self.state.progress),
        };
        self.compare_first(name, &pass).await
    }

    async fn compare_first(&self, name: &RepositoryName, pass: &Pass) -> Result<()> {
        let _turn = self.locks.lock(name.clone()).await;
        if self.knows(name) {
            return Ok(());
        }
        self.count(self.parts.compare(name, pass).await?, pass);
        self.compared().insert(name.clone());
        Ok(())
    }

    fn count(&self, changes: u64, pass: &Pass) {
        pass.progress.repositories.fetch_add(1, Ordering::Relaxed);
        pass.progress.changes.fetch_add(changes, Ordering::Relaxed);
    }

    /// Until the pass is complete nothing may be collected (consistency rule 1). The epoch is
    /// written into the storage as well, so that an older index is noticed. Answers the epoch, and
    /// whether the index is older than the storage.
    async fn begin(&self) -> Result<(i64, bool)> {
        let now = (self.parts.clock)().into();
        let at_least = stored_epoch(&self.parts.storage).await?;
        let before = self.parts.metadata.read(adoption::completeness).await?.epoch;
        let is_outdated = before > 0 && before < at_least;
        if is_outdated {
            tracing::warn!(
                index = before,
                storage = at_least,
                "the index is older than the storage, as after restoring a backup: every link is read again"
            );
        }
        let begun = self
            .parts
            .metadata
            .write(move |tx| adoption::begin_pass(tx, at_least, now));
        Ok((begun.await.map_err(Error::from)?, is_outdated))
    }

    async fn complete(&self, epoch: i64) -> Result<()> {
        // before anything may be collected
        let trashed = trash::restore_from_storage(&self.parts.metadata, &self.parts.storage).await?;
        if trashed > 0 {
            tracing::info!(entries = trashed, "the trash was read from the storage");
        }
        let completed = self.parts.metadata.write(move |tx| adoption::complete_pass(tx, epoch));
        let _is_last: bool = completed.await?;
        self.parts
            .storage
            .state()
            .write(&epoch_file()?, epoch.to_string().into())
            .await?;
        Ok(())
    }

    /// The repositories of the storage, then those that only the index has.
    async fn all_names(&self, progress: &Progress) -> Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        let mut walk = self.parts.storage.walk().repositories();
        while let Some(chunk) = walk.next().await? {
            names.extend(chunk.found.into_iter().map(|repository| repository.name));
            for place in chunk.foreign {
                note_foreign(progress, place);
            }
            progress.expect(names.len());
        }
        let found: HashSet<RepositoryName> = names.iter().cloned().collect();
        let mut after = 0;
        loop {
            let page = self
                .parts
                .metadata
                .read_long(move |tx| repositories::page(tx, after, BATCH))
                .await?;
            let Some(last) = page.last() else { return Ok(names) };
            after = last.id;
            let indexed = page.into_iter().map(|repository| repository.storage_name);
            names.extend(indexed.filter(|name| !found.contains(name)));
        }
    }

    /// Gives bytes that another registry left a row, so that the collector can see them: at the
    /// first pass over a storage; later ones are found by the scheduled verification.
    async fn find_orphans_once(&self, progress: &Progress) -> Result<()> {
        let known = self.parts.metadata.read(|tx| settings::get(tx, ORPHANS_FOUND)).await?;
        if known.is_some() {
            return Ok(());
        }
        self.find_orphans(progress).await?;
        let written = self.parts.metadata.write(|tx| settings::set(tx, ORPHANS_FOUND, b"1"));
        written.await.map_err(Error::from)
    }

    async fn find_orphans(&self, progress: &Progress) -> Result<()> {
        progress.enter(Phase::Blobs);
        let mut walk = self.parts.storage.walk().blobs();
        while let Some(chunk) = walk.next().await? {
            add(&progress.blobs, chunk.found.len());
            for place in chunk.foreign {
                note_foreign(progress, place);
            }
            let wanted: Vec<Digest> = chunk.found.iter().map(|blob| blob.digest).collect();
            let rows = self
                .parts
                .metadata
                .read_long(move |tx| bulk::blob_ids(tx, &wanted))
                .await?;
            let unknown: Vec<(Digest, u64)> = chunk
                .found
                .iter()
                .filter(|blob| !rows.contains_key(&blob.digest))
                .map(|blob| (blob.digest, blob.fingerprint.size))
                .collect();
            self.record_orphans(unknown, progress).await?;
        }
        Ok(())
    }

    /// The row comes first and the look at the bytes second, as for a push: they may have been
    /// deleted, with their row, since the walk came by.
    async fn record_orphans(&self, orphans: Vec<(Digest, u64)>, progress: &Progress) -> Result<()> {
        if orphans.is_empty() {
            return Ok(());
        }
        let now = (self.parts.clock)().into();
        let digests: Vec<Digest> = orphans.iter().map(|(digest, _)| *digest).collect();
        let written = self
            .parts
            .metadata
            .write(move |tx| bulk::begin_orphans(tx, &orphans, now));
        written.await?;
        let sizes = self.parts.storage.blobs().stat_all(&digests).await?;
        let (there, gone): (Vec<_>, Vec<_>) = digests.into_iter().zip(sizes).partition(|(_, size)| size.is_some());
        for (digest, size) in &there {
            progress.findings.add(&Finding {
                kind: FindingKind::OrphanBlob,
                repository: None,
                subject: digest.to_string(),
                detail: format!("{} bytes", size.unwrap_or_default()),
            });
        }
        let bare = |found: Vec<(Digest, Option<u64>)>| found.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>();
        let (there, gone) = (bare(there), bare(gone));
        let written = self
            .parts
            .metadata
            .write(move |tx| bulk::end_orphans(tx, &there, &gone, now));
        written.await.map_err(Error::from)
    }

    fn report(&self) {
        let (progress, now) = (self.state.progress.snapshot(), self.micros());
        tracing::info!(
            repositories = progress.repositories,
            of = progress.total,
            tags = progress.tags,
            manifests = progress.manifests,
            layers = progress.layers,
            tags_per_second = progress.rate(now).round() as u64,
            seconds_left = progress.rest(now).map(|rest| rest.round() as u64),
            "comparing the storage with the index"
        );
    }

    fn report_end(&self) {
        let (progress, now) = (self.state.progress.snapshot(), self.micros());
        tracing::info!(
            repositories = progress.repositories,
            changes = progress.changes,
            tags = progress.tags,
            seconds = (progress.seconds(now) * 10.0).round() / 10.0,
            tags_per_second = progress.rate(now).round() as u64,
            "the storage was compared with the index"
        );
        for (kind, tally) in &progress.findings {
            tracing::warn!(
                kind = kind.as_str(),
                count = tally.count,
                example = tally.examples.first().map(String::as_str),
                "found in the storage: see wharf index status"
            );
        }
    }

    fn micros(&self) -> i64 {
        (self.parts.clock)().as_microsecond()
    }
}

fn note_foreign(progress: &Progress, place: String) {
    progress.findings.add(&Finding {
        kind: FindingKind::Foreign,
        repository: None,
        subject: place,
        detail: String::new(),
    });
}

/// The epoch that the storage remembers; 0 when it remembers none. An index that knows only an
/// earlier one is older than its storage (consistency rule 1).
///
/// # Errors
///
/// The storage cannot be read.
pub(crate) async fn stored_epoch(storage: &Storage) -> Result<i64> {
    let stored = storage.state().read(&epoch_file()?).await?;
    let epoch = stored.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok());
    Ok(epoch.unwrap_or(0))
}

fn epoch_file() -> Result<StateName> {
    StateName::new("epoch").ok_or(Error::Unsupported("the epoch file has no legal name"))
}
