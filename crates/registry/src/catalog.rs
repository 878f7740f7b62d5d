//! The list of repositories.

use wharf_access::{Action, Decision, Principal, Resource, decide};
use wharf_metadata::{Metadata, Tx, repositories};
use wharf_oci::RepositoryName;

use crate::adoption::Adoption;
use crate::{Error, Result};

/// How many rows are read at once while filtering by rights.
const BATCH: usize = 500;

/// Lists repositories. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Catalog {
    metadata: Metadata,
    adoption: Adoption,
}

/// Repository names in ASCII order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogPage {
    /// The names.
    pub names: Vec<RepositoryName>,
    /// Whether more follow.
    pub has_more: bool,
}

impl Catalog {
    /// Over these parts.
    pub const fn new(metadata: Metadata, adoption: Adoption) -> Self {
        Self { metadata, adoption }
    }

    /// Up to `limit` repositories behind `after` that the principal may pull. Repositories
    /// without a manifest are not listed.
    ///
    /// # Errors
    ///
    /// The principal may not list, or the storage is still being looked through.
    pub async fn list(&self, principal: &Principal, after: Option<&str>, limit: usize) -> Result<CatalogPage> {
        match decide(principal, Action::List, Resource::Catalog) {
            Decision::Allowed => {}
            Decision::NeedsCredentials => {
                return Err(Error::NeedsCredentials {
                    action: Action::List,
                    repository: None,
                });
            }
            Decision::Denied => {
                return Err(Error::Denied {
                    action: Action::List,
                    repository: None,
                });
            }
        }
        self.adoption.ensure_names().await?;
        let mut names: Vec<RepositoryName> = Vec::new();
        let mut after = after.map(str::to_owned);
        while names.len() <= limit {
            let from = after.clone();
            let batch = self.metadata.read_long(move |tx| page(tx, from.as_deref())).await?;
            let visible = batch.found.into_iter().filter(|found| may_see(principal, found));
            names.extend(visible.map(|repository| repository.name));
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        let has_more = names.len() > limit;
        names.truncate(limit);
        Ok(CatalogPage { names, has_more })
    }
}

/// Rows that were read at once.
struct Batch {
    found: Vec<repositories::Repository>,
    /// Behind which name the next ones are; `None` when these were the last.
    next: Option<String>,
}

fn page(tx: &mut Tx<'_>, after: Option<&str>) -> std::result::Result<Batch, wharf_metadata::Error> {
    let names = repositories::page_names(tx, after, BATCH)?;
    // not by what is found: one that goes meanwhile must not look like the end
    let next = names.last().filter(|_| names.len() == BATCH).map(ToString::to_string);
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.extend(repositories::find(tx, &name)?);
    }
    Ok(Batch { found, next })
}

/// A token for the catalog gives the list of what its owner may pull, not the right to pull.
fn may_see(principal: &Principal, repository: &repositories::Repository) -> bool {
    let owner = Principal::whole(principal.identity.clone());
    decide(
        &owner,
        Action::Pull,
        Resource::Repository(&repository.name, repository.visibility),
    )
    .is_allowed()
}
