//! Link files: which repository holds which digest, and what a tag points to.

use crate::{
    Error, ErrorKind, Result,
    driver::{ByteStore, Driver, Durability, Fingerprint, Object, Removal, Ticket, Written},
    paths::{self, Location},
};
use bytes::Bytes;
use wharf_oci::{Algorithm, Digest, RepositoryName, Tag};

/// The longest link file that is looked at.
pub(crate) const MOST_CONTENT: u64 = 4096;

/// The links of a storage.
#[derive(Clone, Debug)]
pub struct Links {
    driver: Driver,
}

/// One link file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// What a tag points to.
    TagCurrent {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// A digest that a tag points to or has pointed to.
    TagIndex {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// A manifest of a repository.
    Revision {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// A blob of a repository.
    Layer {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
}

/// The content of a link, and the state of the file that it was read from (consistency rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRecord {
    /// Where the bytes are: their sha256, also in a link whose own name is a sha512. Foreign
    /// content may name a sha512.
    pub digest: Digest,
    /// The state of the file.
    pub fingerprint: Fingerprint,
}

impl LinkRecord {
    pub(crate) fn parse(object: &Object) -> Option<Self> {
        let digest = paths::parse_link(&object.bytes)?;
        Some(Self {
            digest,
            fingerprint: object.fingerprint,
        })
    }
}

fn record(location: &Location, object: &Object) -> Result<LinkRecord> {
    LinkRecord::parse(object).ok_or_else(|| {
        let reason = "the link does not hold a digest";
        Error::because(ErrorKind::Corrupt, "read", location, reason)
    })
}

impl Link {
    /// The folder that holds the link file.
    fn folder(&self) -> Location {
        match self {
            Self::TagCurrent { repository, tag } => paths::tag_current(repository, tag)
                .parent()
                .unwrap_or_else(paths::registry),
            Self::TagIndex {
                repository,
                tag,
                digest,
            } => {
                let links = paths::tag_index(repository, tag, digest.algorithm());
                paths::digest_folder(&links, digest)
            }
            Self::Revision { repository, digest } => {
                let links = paths::revisions(repository, digest.algorithm());
                paths::digest_folder(&links, digest)
            }
            Self::Layer { repository, digest } => {
                let links = paths::layers(repository, digest.algorithm());
                paths::digest_folder(&links, digest)
            }
        }
    }

    fn location(&self) -> Location {
        match self {
            Self::TagCurrent { repository, tag } => paths::tag_current(repository, tag),
            _ => paths::link(&self.folder()),
        }
    }
}

impl Links {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver }
    }

    /// What a link says, or `None` when it is not there. A content that is no digest is
    /// [`ErrorKind::Corrupt`].
    pub async fn read(&self, link: &Link) -> Result<Option<LinkRecord>> {
        let location = link.location();
        let Some(object) = self.driver.get(&location, MOST_CONTENT).await? else {
            return Ok(None);
        };
        record(&location, &object).map(Some)
    }

    /// What many links say, in their order, each as [`read`](Self::read) answers it.
    pub async fn read_all(&self, links: &[Link]) -> Result<Vec<Result<Option<LinkRecord>>>> {
        let locations: Vec<Location> = links.iter().map(Link::location).collect();
        let objects = self.driver.get_all(locations.clone(), MOST_CONTENT).await?;
        let read = |(object, location): (Result<Option<Object>>, &Location)| {
            object?.map(|object| record(location, &object)).transpose()
        };
        Ok(objects.into_iter().zip(&locations).map(read).collect())
    }

    /// Makes a link point to the bytes under `digest`, a sha256, in one step. Durable with the
    /// flush that covers the ticket.
    pub async fn write(&self, link: &Link, digest: &Digest) -> Result<Written> {
        let location = link.location();
        if digest.algorithm() != Algorithm::Sha256 {
            let reason = "a link names the sha256 of the bytes";
            return Err(Error::because(ErrorKind::Invalid, "write", location, reason));
        }
        let content = Bytes::from(digest.to_string());
        self.driver.put(&location, content, Durability::Batched).await
    }

    /// Removes a link, of a tag with everything that the tag's folder holds; one that is gone
    /// already is no error. Durable with the flush that covers the ticket.
    pub async fn remove(&self, link: &Link) -> Result<Ticket> {
        match link {
            Link::TagCurrent { repository, tag } => {
                // The link first: a reader never sees a tag with only a part of its history.
                self.remove_file(link, 1).await?;
                let folder = paths::tag(repository, tag);
                self.driver.delete_folder(&folder, Durability::Batched).await
            }
            // Up to the tag's own folder: without a current link it is no tag any more, but other
            // registries would list it.
            Link::TagIndex { .. } => self.remove_file(link, 4).await,
            Link::Revision { .. } | Link::Layer { .. } => self.remove_file(link, 1).await,
        }
    }

    async fn remove_file(&self, link: &Link, prune: usize) -> Result<Ticket> {
        let removal = Removal {
            file: link.location(),
            prune,
        };
        self.driver.delete(vec![removal], Durability::Batched, None).await
    }

    /// Removes all links and uploads of a repository, and its folder unless other repositories lie
    /// below it: other registries do not list it any more either. Nobody may write to it
    /// meanwhile. One that is gone already is no error. Durable on return.
    pub async fn remove_repository(&self, repository: &RepositoryName) -> Result<()> {
        let folder = paths::repository(repository);
        for mark in paths::REPOSITORY_MARKS {
            if let Some(marked) = folder.child(mark) {
                self.driver.delete_folder(&marked, Durability::Now).await?;
            }
        }
        // nothing is called so: only the empty folders above it go
        let Some(file) = folder.child(paths::LINK) else {
            return Ok(());
        };
        let prune = repository.as_str().split('/').count();
        let removal = Removal { file, prune };
        self.driver.delete(vec![removal], Durability::Now, None).await?;
        Ok(())
    }

    /// Makes every write and removal durable that had returned before the call, and says up to
    /// which ticket that is: a change is durable when its ticket is not above the answer.
    ///
    /// After an error nothing is forgotten: the next flush tries all of it again.
    pub async fn flush(&self) -> Result<Ticket> {
        self.driver.flush().await
    }
}
