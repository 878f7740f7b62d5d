//! The trash: what a user or a policy deleted, for as long as it can be brought back (consistency
//! rule 13).
//!
//! What lies here is answered like what is not there, here and by other registries on the same
//! storage: it has no link in the layout. Its bytes are held as those of a manifest are.

pub(crate) mod file;
mod job;
mod purge;
mod restore;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_access::{Action, Decision, Principal, Resource, decide};
use wharf_metadata::Timestamp;
use wharf_metadata::trash;
use wharf_oci::{Digest, RepositoryName, Tag};

use crate::lifecycle::LifecycleParts;
use crate::{Error, Result};

pub use wharf_metadata::trash::{Filter, Kind, Trashed, TrashedTag, Usage};

pub use file::restore_from_storage;
pub use job::KIND;
pub use purge::Purged;
pub use restore::{KeptTag, Restored, RestoredAll};

/// How long what is deleted can be brought back (`trash.keep`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(Duration);

impl Keep {
    /// For this time; zero: nothing goes to the trash.
    pub const fn new(time: Duration) -> Self {
        Self(time)
    }

    /// When what is deleted at this time is purged; `None` when there is no trash.
    pub fn until(self, at: Timestamp) -> Option<Timestamp> {
        let micros = i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX);
        (micros > 0).then(|| at.plus(micros))
    }

    /// The time.
    pub const fn time(self) -> Duration {
        self.0
    }
}

/// The trash. Cloning is cheap.
#[derive(Clone)]
pub struct Trash {
    parts: Arc<LifecycleParts>,
    keep: Keep,
    is_read_only: bool,
    counted: Arc<Mutex<Usage>>,
}

/// Which entry is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this row.
    Id(i64),
    /// The one that a tag went with last.
    Tag(RepositoryName, Tag),
    /// The one of a manifest.
    Manifest(RepositoryName, Digest),
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "entry {id}"),
            Self::Tag(repository, tag) => write!(f, "{repository}:{tag}"),
            Self::Manifest(repository, digest) => write!(f, "{repository}@{digest}"),
        }
    }
}

impl Trash {
    /// Over these parts.
    pub fn new(parts: Arc<LifecycleParts>, keep: Keep, is_read_only: bool) -> Self {
        Self {
            parts,
            keep,
            is_read_only,
            counted: Arc::default(),
        }
    }

    /// How long what is deleted stays.
    pub const fn keep(&self) -> Keep {
        self.keep
    }

    /// The entries of a repository, or of all, that were deleted at least so long ago.
    pub fn filter(&self, repository: Option<RepositoryName>, older_than: Option<Duration>) -> Filter {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Filter {
            repository,
            // what is exactly so old is meant too
            trashed_before: older_than.map(|time| self.now().plus(1 - micros(time))),
        }
    }

    /// One entry.
    ///
    /// # Errors
    ///
    /// [`Error::NotInTrash`], or the principal may not see it.
    pub async fn get(&self, principal: &Principal, selector: &Selector) -> Result<Trashed> {
        let entry = self.find(selector).await?.ok_or_else(|| self.absent(selector))?;
        may_see(principal, Some(&entry.repository))?;
        Ok(entry)
    }

    /// Entries, the newest first, before the row `before`.
    ///
    /// # Errors
    ///
    /// The principal may not see them.
    pub async fn list(
        &self,
        principal: &Principal,
        filter: Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Trashed>> {
        may_see(principal, filter.repository.as_ref())?;
        self.ensure_known().await?;
        let page = self
            .parts
            .metadata
            .read_long(move |tx| trash::page(tx, &filter, before, limit));
        page.await.map_err(Error::from)
    }

    /// How much a repository has in the trash, or all have. Costs what is there.
    ///
    /// # Errors
    ///
    /// The principal may not see it.
    pub async fn usage(&self, principal: &Principal, repository: Option<RepositoryName>) -> Result<Usage> {
        may_see(principal, repository.as_ref())?;
        self.ensure_known().await?;
        let read = self
            .parts
            .metadata
            .read_long(move |tx| trash::usage(tx, repository.as_ref()));
        read.await.map_err(Error::from)
    }

    /// How much each repository has in the trash, by name. Costs what is there.
    ///
    /// # Errors
    ///
    /// The principal may not see it.
    pub async fn usage_by_repository(&self, principal: &Principal) -> Result<Vec<(RepositoryName, Usage)>> {
        may_see(principal, None)?;
        self.ensure_known().await?;
        let read = self.parts.metadata.read_long(trash::usage_by_repository);
        read.await.map_err(Error::from)
    }

    /// Counts what is there, for [`Trash::counted`]. Costs what is there.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn count(&self) -> Result<()> {
        let usage = self.parts.metadata.read_long(|tx| trash::usage(tx, None)).await?;
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        Ok(())
    }

    /// What was counted last.
    pub fn counted(&self) -> Usage {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.parts.clock)().into()
    }

    /// After the index was lost, the files of the storage say what is in the trash.
    async fn ensure_known(&self) -> Result<()> {
        self.parts.repositories.ensure_alone().await
    }

    async fn find(&self, selector: &Selector) -> Result<Option<Trashed>> {
        self.ensure_known().await?;
        let selector = selector.clone();
        let read = self.parts.metadata.read(move |tx| match &selector {
            Selector::Id(id) => trash::find(tx, *id),
            Selector::Tag(repository, tag) => trash::find_tag(tx, repository, tag),
            Selector::Manifest(repository, digest) => trash::find_manifest(tx, repository, digest),
        });
        read.await.map_err(Error::from)
    }

    fn absent(&self, selector: &Selector) -> Error {
        let keep = self.keep.0.as_secs();
        let hint = if keep == 0 {
            "the trash is off (trash.keep is 0)".to_owned()
        } else {
            format!(
                "it was never deleted, was restored or purged, or has expired (what is deleted stays for {})",
                span(keep)
            )
        };
        Error::NotInTrash {
            what: selector.to_string(),
            hint,
        }
    }
}

/// A time in the largest unit that gives a whole number.
fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        seconds if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        seconds if seconds.is_multiple_of(3_600) => (seconds / 3_600, "hour"),
        seconds if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

/// Whoever may delete in a repository sees what was deleted there; all of it, who administers.
fn may_see(principal: &Principal, repository: Option<&RepositoryName>) -> Result<()> {
    let decision = match repository {
        Some(name) => {
            let resource = Resource::Repository(name, wharf_access::Visibility::Private);
            decide(principal, Action::Delete, resource)
        }
        None => decide(principal, Action::Administer, Resource::System),
    };
    match decision {
        Decision::Allowed => Ok(()),
        Decision::NeedsCredentials => Err(Error::NeedsCredentials {
            action: Action::Delete,
            repository: repository.cloned(),
        }),
        Decision::Denied => Err(Error::Denied {
            action: Action::Delete,
            repository: repository.cloned(),
        }),
    }
}
