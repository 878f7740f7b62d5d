//! Listing what refers to a manifest (distribution-spec "Listing Referrers").

use wharf_access::{Action, Principal};
use wharf_metadata::{Metadata, manifests, referrers};
use wharf_oci::index::Referrer;
use wharf_oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Tag};

use crate::pull::Pulls;
use crate::repository::Repositories;
use crate::{Error, Result};

/// The longest value of a referrers tag (distribution-spec "Referrers Tag Schema").
const TAG_VALUE: usize = 64;

/// Lists referrers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ReferrerLists {
    repositories: Repositories,
    metadata: Metadata,
    pulls: Pulls,
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
    pub const fn new(repositories: Repositories, metadata: Metadata, pulls: Pulls) -> Self {
        Self {
            repositories,
            metadata,
            pulls,
        }
    }

    /// Up to `limit` referrers of `subject` behind the digest `after`. A repository or subject
    /// that is not there has none: never an error (oras takes NAME_UNKNOWN for a failure).
    ///
    /// The first page begins with what clients of registries without this API have listed in the
    /// referrers tag, as far as it is here and does not name its subject itself.
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
        let find = {
            let (subject, after) = (*subject, after.copied());
            let artifact_type = artifact_type.map(str::to_owned);
            move |tx: &mut wharf_metadata::Tx<'_>| {
                referrers::page(tx, id, &subject, artifact_type.as_deref(), after.as_ref(), limit + 1)
            }
        };
        let mut found = self.metadata.read(find).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|last| last.sha256.to_string());
        let mut referrers = match after {
            Some(_) => Vec::new(),
            None => self.listed_by_tag(principal, name, id, subject).await?,
        };
        referrers.retain(|referrer| artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type);
        referrers.extend(found.into_iter().map(|listed| listed.referrer));
        Ok(ReferrerPage { referrers, next })
    }

    /// What the referrers tag of `subject` lists and the index does not.
    async fn listed_by_tag(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        repository_id: i64,
        subject: &Digest,
    ) -> Result<Vec<Referrer>> {
        let Some(tag) = referrers_tag(subject) else {
            return Ok(Vec::new());
        };
        let index = match self.pulls.manifest(principal, name, &Reference::Tag(tag)).await {
            Ok(index) => index,
            Err(Error::ManifestUnknown { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let Ok(index) = Manifest::parse(None, &index.bytes) else {
            return Ok(Vec::new());
        };
        let mut listed = Vec::new();
        for child in index.manifests {
            let digest = child.digest;
            let known = self
                .metadata
                .read(move |tx| manifests::find(tx, repository_id, &digest))
                .await?;
            if known.is_some_and(|known| known.subject != Some(*subject)) {
                listed.push(referrer(child));
            }
        }
        Ok(listed)
    }
}

/// `sha256-<hex>`, the value cut to 64 characters.
fn referrers_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    let value = hex.get(..TAG_VALUE)?;
    format!("{}-{value}", subject.algorithm().as_str()).parse().ok()
}

fn referrer(descriptor: Descriptor) -> Referrer {
    Referrer {
        media_type: descriptor.media_type,
        digest: descriptor.digest,
        size: descriptor.size,
        artifact_type: descriptor.artifact_type,
        annotations: descriptor.annotations,
    }
}
