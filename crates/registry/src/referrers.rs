//! Listing what refers to a manifest (distribution-spec "Listing Referrers").

use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, referrers};
use wharf_oci::index::Referrer;
use wharf_oci::{Digest, RepositoryName};

use crate::Result;
use crate::repository::Repositories;

/// Lists referrers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ReferrerLists {
    repositories: Repositories,
    metadata: Metadata,
}

/// Referrers in the order of their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerPage {
    /// The referrers.
    pub referrers: Vec<Referrer>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

impl ReferrerLists {
    /// Over these parts.
    pub const fn new(repositories: Repositories, metadata: Metadata) -> Self {
        Self { repositories, metadata }
    }

    /// Up to `limit` referrers of `subject` behind the digest `after`. A repository or subject
    /// that is not there has none: never an error (oras takes NAME_UNKNOWN for a failure).
    ///
    /// # Errors
    ///
    /// The principal may not pull here.
    pub async fn list(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ReferrerPage> {
        let Some(repository) = self.repositories.open(principal, name, Action::Pull).await? else {
            return Ok(ReferrerPage {
                referrers: Vec::new(),
                next: None,
            });
        };
        let after: Option<Digest> = after.and_then(|after| after.parse().ok());
        let (id, after) = (repository.id, after.as_ref());
        let mut found = self
            .metadata
            .read(|tx| referrers::page(tx, id, subject, artifact_type, after, limit + 1))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|last| last.sha256.to_string());
        Ok(ReferrerPage {
            referrers: found.into_iter().map(|listed| listed.referrer).collect(),
            next,
        })
    }
}
