//! Listing tags.

use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, tags};
use wharf_oci::RepositoryName;

use crate::Result;
use crate::repository::Repositories;

/// Lists tags. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Tags {
    repositories: Repositories,
    metadata: Metadata,
}

/// Tags in ASCII order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPage {
    /// The tags.
    pub tags: Vec<String>,
    /// Whether more follow.
    pub has_more: bool,
}

impl Tags {
    /// Over these parts.
    pub const fn new(repositories: Repositories, metadata: Metadata) -> Self {
        Self { repositories, metadata }
    }

    /// Up to `limit` tags behind `after`, which need not exist; all of them without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::NameUnknown`](crate::Error::NameUnknown), or the principal may not pull here.
    pub async fn list(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<TagPage> {
        let repository = self.repositories.get(principal, name, Action::Pull).await?;
        let fetched = limit.map_or(i64::MAX as usize, |limit| limit.saturating_add(1));
        let (id, after) = (repository.id, after.map(str::to_owned));
        let mut found = match limit {
            Some(_) => {
                self.metadata
                    .read(move |tx| tags::page(tx, id, after.as_deref(), fetched))
                    .await?
            }
            None => {
                self.metadata
                    .read_long(move |tx| tags::page(tx, id, after.as_deref(), fetched))
                    .await?
            }
        };
        let has_more = limit.is_some_and(|limit| found.len() > limit);
        found.truncate(limit.unwrap_or(usize::MAX));
        Ok(TagPage {
            tags: found.iter().map(ToString::to_string).collect(),
            has_more,
        })
    }
}
