//! Listing tags.

use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, Timestamp, tags};
use wharf_oci::{Digest, RepositoryName, Tag};

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

/// A tag and what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagDetail {
    /// The tag.
    pub tag: Tag,
    /// The manifest, by the name that the tag was set with.
    pub digest: Digest,
    /// The manifest's type.
    pub media_type: String,
    /// When the tag was last set.
    pub updated_at: Timestamp,
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

    /// The same with what each tag points to; whether more follow.
    ///
    /// # Errors
    ///
    /// As [`Tags::list`].
    pub async fn details(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<TagDetail>, bool)> {
        let repository = self.repositories.get(principal, name, Action::Pull).await?;
        let (id, after) = (repository.id, after.map(str::to_owned));
        let read = self.metadata.read_long(move |tx| {
            let mut found = Vec::new();
            for tag in tags::page(tx, id, after.as_deref(), limit.saturating_add(1))? {
                if let Some(target) = tags::get(tx, id, &tag)? {
                    found.push(TagDetail {
                        tag,
                        digest: target.digest,
                        media_type: target.media_type,
                        updated_at: target.updated_at,
                    });
                }
            }
            Ok::<_, wharf_metadata::Error>(found)
        });
        let mut found = read.await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok((found, has_more))
    }
}
