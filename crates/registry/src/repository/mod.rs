//! Repositories: which one a name means, and who may do what on it.

use std::sync::Arc;

use wharf_access::{Action, Decision, Principal, Resource, Visibility, decide};
use wharf_metadata::{Metadata, repositories};
use wharf_oci::RepositoryName;

use crate::adoption::Adoption;
use crate::caches::{Caches, View};
use crate::{Error, Result};

/// The epoch of repositories that begin here: no pass over the storage has to read them.
pub(crate) const NEW: i64 = 0;

/// A repository that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its row.
    pub id: i64,
    /// What clients call it.
    pub name: RepositoryName,
    /// The folder it lies in: its first name (consistency rule 15).
    pub storage_name: RepositoryName,
    /// Who may see its project.
    pub visibility: Visibility,
}

impl From<repositories::Repository> for Repository {
    fn from(row: repositories::Repository) -> Self {
        Self {
            id: row.id,
            name: row.name,
            storage_name: row.storage_name,
            visibility: row.visibility,
        }
    }
}

/// Finds repositories and guards them. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Repositories {
    metadata: Metadata,
    caches: Caches,
    adoption: Adoption,
}

impl Repositories {
    /// Over this index, and over what adoption finds in the storage.
    pub const fn new(metadata: Metadata, caches: Caches, adoption: Adoption) -> Self {
        Self {
            metadata,
            caches,
            adoption,
        }
    }

    /// Compares everything with the storage, if this process serves nothing and nobody else does it.
    ///
    /// # Errors
    ///
    /// Storage or index fail.
    pub(crate) async fn ensure_alone(&self) -> Result<()> {
        self.adoption.ensure_alone().await
    }

    /// The repository that `name` means, when `principal` may do `action` on it; `None` when
    /// there is none. Whether it exists shows only to those who may.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsCredentials`] or [`Error::Denied`].
    pub async fn open(
        &self,
        principal: &Principal,
        name: &RepositoryName,
        action: Action,
    ) -> Result<Option<Arc<Repository>>> {
        let view = self.caches.view().await?;
        self.open_in(&view, principal, name, action).await
    }

    /// The same for a request that has its view of what is remembered.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(crate) async fn open_in(
        &self,
        view: &View,
        principal: &Principal,
        name: &RepositoryName,
        action: Action,
    ) -> Result<Option<Arc<Repository>>> {
        let found = self.known(view, name).await?;
        let visibility = found
            .as_ref()
            .map_or(Visibility::Private, |repository| repository.visibility);
        check(principal, name, action, visibility)?;
        Ok(found)
    }

    /// The folder of a repository that has not been compared with the storage yet, when `principal`
    /// may pull from it: what is read there is true, but what is not found there must be looked for
    /// by [`Self::open`] (consistency rule 7). `None` when the index knows everything of it.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsCredentials`] or [`Error::Denied`].
    pub(crate) async fn unread_folder(
        &self,
        principal: &Principal,
        name: &RepositoryName,
    ) -> Result<Option<RepositoryName>> {
        if self.adoption.knows(name) {
            return Ok(None);
        }
        let row = self.lookup(name).await?;
        let visibility = self.unread_visibility(name, row.as_ref()).await?;
        check(principal, name, Action::Pull, visibility)?;
        if row.is_none() && self.is_deleting(name).await? {
            return Ok(None);
        }
        let folder = row.map_or_else(|| name.clone(), |row| row.storage_name);
        Ok((!self.adoption.knows(&folder)).then_some(folder))
    }

    /// Whether the folder of that name is about to go.
    async fn is_deleting(&self, name: &RepositoryName) -> Result<bool> {
        let name = name.clone();
        let found = self.metadata.read(move |tx| repositories::is_deleting(tx, &name));
        found.await.map_err(Error::from)
    }

    /// A repository that is found later is in a project that may be there already.
    async fn unread_visibility(
        &self,
        name: &RepositoryName,
        row: Option<&repositories::Repository>,
    ) -> Result<Visibility> {
        if let Some(row) = row {
            return Ok(row.visibility);
        }
        let project = name.project().to_owned();
        let found = self
            .metadata
            .read(move |tx| repositories::project_visibility(tx, &project))
            .await;
        Ok(found.map_err(Error::from)?.unwrap_or(Visibility::Private))
    }

    /// [`Self::open`], where a missing repository is an error.
    ///
    /// # Errors
    ///
    /// Also [`Error::NameUnknown`].
    pub async fn get(&self, principal: &Principal, name: &RepositoryName, action: Action) -> Result<Arc<Repository>> {
        self.open(principal, name, action)
            .await?
            .ok_or_else(|| Error::NameUnknown(name.clone()))
    }

    async fn known(&self, view: &View, name: &RepositoryName) -> Result<Option<Arc<Repository>>> {
        if !view.is_exact() {
            return self.find(name).await;
        }
        match self.caches.repository(view, name) {
            Some(repository) => Ok(Some(repository)),
            None => {
                let clearings = self.caches.clearings();
                let found = self.find(name).await?;
                if let Some(repository) = &found {
                    self.caches.keep_repository(view, name, (repository, clearings));
                }
                Ok(found)
            }
        }
    }

    /// Looks in the index, after adoption has looked in the storage. `x` and `library/x` mean
    /// each other when only one is stored (consistency rule 12). One that is being
    /// deleted means itself until it is gone.
    async fn find(&self, name: &RepositoryName) -> Result<Option<Arc<Repository>>> {
        self.adoption.ensure(name).await?;
        let alias = name.library_alias();
        let mut row = self.lookup(name).await?;
        if let (None, Some(alias)) = (&row, &alias)
            && !self.is_deleting(name).await?
        {
            self.adoption.ensure(alias).await?;
            row = self.lookup(alias).await?;
        }
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Arc::new(Repository::from(row))))
    }

    async fn lookup(&self, name: &RepositoryName) -> Result<Option<repositories::Repository>> {
        let name = name.clone();
        let found = self.metadata.read(move |tx| repositories::find(tx, &name));
        found.await.map_err(Error::from)
    }

    /// Who may see the project of `name`; private when there is no such repository.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn visibility(&self, name: &RepositoryName) -> Result<Visibility> {
        if !self.adoption.knows(name) {
            let row = self.lookup(name).await?;
            return self.unread_visibility(name, row.as_ref()).await;
        }
        let view = self.caches.view().await?;
        let found = self.known(&view, name).await?;
        Ok(found.map_or(Visibility::Private, |repository| repository.visibility))
    }
}

fn check(principal: &Principal, name: &RepositoryName, action: Action, visibility: Visibility) -> Result<()> {
    let repository = || Some(name.clone());
    match decide(principal, action, Resource::Repository(name, visibility)) {
        Decision::Allowed => Ok(()),
        Decision::NeedsCredentials => Err(Error::NeedsCredentials {
            action,
            repository: repository(),
        }),
        Decision::Denied => Err(Error::Denied {
            action,
            repository: repository(),
        }),
    }
}
