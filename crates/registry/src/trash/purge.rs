//! What leaves the trash for good: because its time is over, or because somebody says so.

use wharf_access::Action;
use wharf_metadata::trash::{self, Filter, Kind, Trashed};
use wharf_metadata::{Timestamp, Tx, audit_log, manifests, repositories};

use super::{Selector, Trash, may_see};
use crate::audit::{Actor, own_line};
use crate::deletion::READ_ONLY;
use crate::{Error, Result};

/// Entries that one transaction takes.
const BATCH: usize = 100;

/// What left the trash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Manifests.
    pub manifests: u64,
    /// Tags that were deleted alone.
    pub tags: u64,
}

impl Trash {
    /// Purges every entry that the filter means. Their bytes go when garbage is collected.
    ///
    /// # Errors
    ///
    /// The principal may not, or the registry is read-only; what was purged until then stays so.
    pub async fn empty(&self, actor: Actor<'_>, filter: Filter) -> Result<Purged> {
        may_see(actor.principal, filter.repository.as_ref())?;
        self.check_writable()?;
        self.ensure_known().await?;
        let mut purged = Purged::default();
        // what is deleted while this goes on is not meant
        let (mut before, until) = (None, self.now());
        let filter = Filter {
            trashed_before: Some(filter.trashed_before.unwrap_or(until.plus(1))),
            ..filter
        };
        loop {
            let wanted = filter.clone();
            let page = self
                .parts
                .metadata
                .read_long(move |tx| trash::page(tx, &wanted, before, BATCH));
            let page = page.await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            let now = self.now();
            let line = |entry: &Trashed| actor.line(now, "trash.purge", subject(entry), String::new());
            self.purge(&page, line, &mut purged).await?;
        }
        tracing::info!(
            manifests = purged.manifests,
            tags = purged.tags,
            by = actor.principal.name(),
            "trash emptied"
        );
        Ok(purged)
    }

    /// Purges one entry.
    ///
    /// # Errors
    ///
    /// [`Error::NotInTrash`], and as [`Trash::empty`].
    pub async fn remove(&self, actor: Actor<'_>, selector: &Selector) -> Result<Purged> {
        self.check_writable()?;
        let entry = self.find(selector).await?.ok_or_else(|| self.absent(selector))?;
        let name = entry.repository.clone();
        self.parts
            .repositories
            .open(actor.principal, &name, Action::Delete)
            .await?;
        let (mut purged, now) = (Purged::default(), self.now());
        let line = |entry: &Trashed| actor.line(now, "trash.purge", subject(entry), String::new());
        self.purge(&[entry], line, &mut purged).await?;
        Ok(purged)
    }

    /// Purges what has expired, up to `limit` entries; answers what went. Fewer than `limit`: that
    /// was all.
    ///
    /// # Errors
    ///
    /// Storage or index fail; what was purged until then stays so.
    pub async fn expire(&self, limit: usize) -> Result<Purged> {
        let mut purged = Purged::default();
        let now = self.now();
        while purged.entries() < limit as u64 {
            let batch = BATCH.min(limit - usize::try_from(purged.entries()).unwrap_or(limit));
            let page = self.parts.metadata.read_long(move |tx| trash::expired(tx, now, batch));
            let page = page.await?;
            if page.is_empty() {
                break;
            }
            let line = |entry: &Trashed| own_line(now, "trash.expire", subject(entry), String::new());
            self.purge(&page, line, &mut purged).await?;
        }
        Ok(purged)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.is_read_only {
            return Err(READ_ONLY);
        }
        Ok(())
    }

    async fn purge(
        &self,
        entries: &[Trashed],
        line: impl Fn(&Trashed) -> audit_log::Line,
        purged: &mut Purged,
    ) -> Result<()> {
        let lines: Vec<_> = entries.iter().map(|entry| (entry.clone(), line(entry))).collect();
        let now = self.now();
        let written = self.parts.metadata.write(move |tx| {
            let (mut purged, mut files) = (Purged::default(), Vec::new());
            for (entry, line) in &lines {
                if remove(tx, entry, now)? {
                    audit_log::append(tx, line)?;
                    purged.count(entry.kind);
                    let file = entry.key();
                    trash::raise_file(tx, &file)?;
                    files.push(file);
                }
            }
            Ok::<_, wharf_metadata::Error>((purged, files))
        });
        let (removed, files) = written.await.map_err(Error::from)?;
        purged.manifests += removed.manifests;
        purged.tags += removed.tags;
        for file in &files {
            // one that cannot be removed is tried again
            drop(self.parts.mirror.settle_file(file).await);
        }
        Ok(())
    }
}

impl Purged {
    /// How many entries that were.
    pub const fn entries(&self) -> u64 {
        self.manifests + self.tags
    }

    const fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Manifest => self.manifests += 1,
            Kind::Tag => self.tags += 1,
        }
    }
}

/// What an entry is, as a person writes it.
pub(super) fn subject(entry: &Trashed) -> String {
    match (entry.kind, entry.tags.first()) {
        (Kind::Tag, Some(kept)) => format!("{}:{}", entry.repository, kept.tag),
        _ => format!("{}@{}", entry.repository, entry.digest()),
    }
}

/// Takes an entry out. With a manifest go the tags that were deleted alone before it: nothing is
/// left that they could point to.
fn remove(tx: &mut Tx<'_>, entry: &Trashed, now: Timestamp) -> std::result::Result<bool, wharf_metadata::Error> {
    if !trash::purge(tx, entry.id, now)? {
        return Ok(false);
    }
    // by name: the repository may have been made anew since
    let is_there = match repositories::find(tx, &entry.repository)? {
        Some(repository) => manifests::head(tx, repository.id, &entry.sha256)?.is_some(),
        None => false,
    };
    if entry.kind == Kind::Manifest && !is_there {
        trash::remove_all_of(tx, &entry.key())?;
    }
    Ok(true)
}
