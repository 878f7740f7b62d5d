//! All bytes, both ways, and what they hold.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

use wharf_metadata::blobs::{Blob, State};
use wharf_metadata::verification::Damage;
use wharf_metadata::{blobs, verification};
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{Checked, Verdict};

use super::{Work, add};
use crate::Result;
use crate::finding::{Finding, FindingKind};

/// Rows that are read in one go.
const PAGE: usize = 5_000;
/// Folders that blobs are spread over, by their first byte.
const FOLDERS: u64 = 256;

impl Work<'_> {
    /// Compares the blobs folder by folder, beginning with the folder `first`.
    pub(super) async fn blobs(&self, first: u64) -> Result<()> {
        let damaged = self.damaged().await?;
        for folder in first..FOLDERS {
            self.go_on()?;
            self.observer.progress(folder, Some(FOLDERS), "folders of blobs");
            let Ok(prefix) = u8::try_from(folder) else { break };
            self.folder(prefix, &damaged).await?;
            self.observer.reached(folder + 1).await?;
        }
        Ok(())
    }

    /// Blobs that were found damaged before.
    async fn damaged(&self) -> Result<HashSet<Digest>> {
        let all = self
            .parts
            .metadata
            .read_long(|tx| verification::damaged(tx, usize::MAX))
            .await?;
        Ok(all.into_iter().map(|damaged| damaged.sha256).collect())
    }

    async fn folder(&self, prefix: u8, damaged: &HashSet<Digest>) -> Result<()> {
        let mut files = BTreeMap::new();
        let mut walk = self.parts.storage.walk().blobs_of(prefix);
        while let Some(chunk) = walk.next().await? {
            files.extend(chunk.found.into_iter().map(|blob| (blob.digest, blob.fingerprint.size)));
            for place in chunk.foreign {
                self.find(&Finding {
                    kind: FindingKind::Foreign,
                    repository: None,
                    subject: place,
                    detail: String::new(),
                });
            }
        }
        add(&self.checked.blobs, files.len());
        let mut after = None;
        loop {
            let page = self
                .parts
                .metadata
                .read_long(move |tx| blobs::page_of_prefix(tx, prefix, after.as_ref(), PAGE));
            let page: Vec<Blob> = page.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.sha256);
            for row in page {
                let size = files.remove(&row.sha256);
                if !matches!(row.state, State::Present | State::Condemned) {
                    continue;
                }
                self.blob(&row, size, damaged.contains(&row.sha256)).await?;
            }
        }
        for (digest, size) in files {
            self.unindexed(digest, size).await?;
        }
        Ok(())
    }

    /// A blob that the index has.
    async fn blob(&self, row: &Blob, size: Option<u64>, was_damaged: bool) -> Result<()> {
        match size {
            None => self.missing(row).await,
            Some(size) if self.options.bytes || size != row.size || was_damaged => {
                self.go_on()?;
                self.read(row, was_damaged).await
            }
            Some(_) => Ok(()),
        }
    }

    /// Bytes that the walk did not come by; they may have come or gone for good meanwhile.
    async fn missing(&self, row: &Blob) -> Result<()> {
        let digest = row.sha256;
        let now = self.parts.metadata.read(move |tx| blobs::find(tx, &digest)).await?;
        let Some(now) = now.filter(|now| now.id == row.id && now.state.is_readable()) else {
            return Ok(());
        };
        // after the row was read: whoever brings the bytes from here on changes the row
        if self.parts.storage.blobs().stat(&digest).await?.is_some() {
            return Ok(());
        }
        self.damage(
            &digest,
            FindingKind::MissingBlob,
            Damage::Missing,
            "its bytes are not in the storage".to_owned(),
        )
        .await?;
        self.forget_missing(&now).await
    }

    /// Reads bytes and compares them with their names.
    async fn read(&self, row: &Blob, was_damaged: bool) -> Result<()> {
        let digest = row.sha256;
        let checked = self
            .parts
            .storage
            .blobs()
            .check(&digest, row.sha512.is_some(), &self.pace)
            .await?;
        let Checked {
            verdict,
            sha512,
            fingerprint,
        } = checked;
        match verdict {
            Verdict::Missing => self.missing(row).await,
            Verdict::Whole { size } => {
                self.read_bytes(size);
                if was_damaged {
                    self.heal(&digest).await?;
                }
                if size != row.size {
                    let detail = format!("{size} whole bytes, the index says {}", row.size);
                    self.find_blob(&digest, FindingKind::WrongSize, detail);
                    self.correct_size(row, size).await?;
                }
                if let (Some(says), Some(is)) = (row.sha512, sha512)
                    && says != is
                {
                    self.find_blob(
                        &digest,
                        FindingKind::DifferentAlias,
                        format!("it is {is}, the index says {says}"),
                    );
                }
                Ok(())
            }
            Verdict::Differs { size, found } => {
                self.read_bytes(size);
                let (kind, damage) = match size == row.size {
                    true => (FindingKind::WrongBytes, Damage::WrongBytes),
                    false => (FindingKind::WrongSize, Damage::WrongSize),
                };
                let detail = format!("{size} bytes of {} that are {found}", row.size);
                self.damage(&digest, kind, damage, detail).await?;
                match fingerprint {
                    Some(read) => self.put_aside(&digest, &read).await,
                    None => Ok(()),
                }
            }
        }
    }

    fn read_bytes(&self, size: u64) {
        self.checked.bytes.fetch_add(size, Ordering::Relaxed);
        self.parts.totals.read(size);
    }

    async fn damage(&self, digest: &Digest, kind: FindingKind, damage: Damage, detail: String) -> Result<()> {
        self.find_blob(digest, kind, detail.clone());
        let (sha256, now) = (*digest, (self.parts.clock)().into());
        let marked = self
            .parts
            .metadata
            .write(move |tx| verification::mark_damaged(tx, &sha256, damage, &detail, now));
        Ok(marked.await?)
    }

    async fn heal(&self, digest: &Digest) -> Result<()> {
        let sha256 = *digest;
        let healed = self
            .parts
            .metadata
            .write(move |tx| verification::mark_whole(tx, &sha256));
        Ok(healed.await?)
    }

    /// Bytes that the index did not know when its rows were read.
    async fn unindexed(&self, digest: Digest, size: u64) -> Result<()> {
        let row = self.parts.metadata.read(move |tx| blobs::find(tx, &digest)).await?;
        if row.is_some() || self.parts.storage.blobs().stat(&digest).await?.is_none() {
            return Ok(());
        }
        self.find_blob(&digest, FindingKind::UnindexedBlob, format!("{size} bytes"));
        self.index_blob(digest, size).await
    }

    fn find_blob(&self, digest: &Digest, kind: FindingKind, detail: String) {
        self.find(&Finding {
            kind,
            repository: None::<RepositoryName>,
            subject: digest.to_string(),
            detail,
        });
    }
}
