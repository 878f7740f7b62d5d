//! What a collection would remove, without removing it.
//!
//! Plain reads, page by page, beside whatever goes on: the answer is exact for a registry that
//! rests. What goes because something else goes is followed in memory, which so is bounded by the
//! garbage, not by what is stored.

use std::collections::{HashMap, HashSet};

use wharf_metadata::garbage_collection::plan::{self, Linked, Untagged};
use wharf_metadata::{Metadata, Timestamp, Tx, blobs, manifests, repositories, trash};
use wharf_oci::{Digest, RepositoryName};

use super::{Collector, Request, micros};
use crate::Result;

/// Rows that one read looks at.
const PAGE: usize = 2_000;

type Answer<T> = std::result::Result<T, wharf_metadata::Error>;

/// What would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each object: manifests, then links, then blobs.
    pub objects: Vec<Planned>,
    /// The bytes of the blobs.
    pub bytes: u64,
    /// How many blobs there are, with those that would go.
    pub stored: u64,
    /// Whether anything may be collected now at all (consistency rule 1).
    pub is_allowed: bool,
}

/// One object that would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it is.
    pub kind: PlannedKind,
    /// Where it is; `None` for a blob.
    pub repository: Option<RepositoryName>,
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it goes, if nobody asks for it meanwhile.
    pub at: Timestamp,
    /// Why.
    pub reason: &'static str,
}

/// What would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlannedKind {
    /// A manifest.
    Manifest,
    /// A repository's link of a blob; its bytes may stay for others.
    Link,
    /// Bytes.
    Blob,
}

impl PlannedKind {
    /// As people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Link => "link",
            Self::Blob => "blob",
        }
    }
}

/// Works out a plan.
struct Planner {
    metadata: Metadata,
    grace: i64,
    untagged_after: Option<i64>,
    /// Manifests that go, and when.
    manifests: HashMap<i64, Timestamp>,
    /// Links that go, by repository and blob, and when.
    links: HashMap<(i64, i64), Timestamp>,
    names: HashMap<i64, RepositoryName>,
    plan: Plan,
}

impl Collector {
    /// What a run like this would remove, now or when its time comes.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn plan(&self, request: &Request) -> Result<Plan> {
        self.compare_first().await?;
        let mut planner = Planner {
            metadata: self.parts.metadata.clone(),
            grace: micros(request.grace.unwrap_or(self.policy.grace)),
            untagged_after: match request.with_untagged {
                true => Some(0),
                false => self.untagged_after(),
            },
            manifests: HashMap::new(),
            links: HashMap::new(),
            names: HashMap::new(),
            plan: Plan {
                is_allowed: self.epoch().await?.is_some(),
                stored: self.parts.metadata.read_long(plan::stored).await?,
                ..Plan::default()
            },
        };
        planner.plan_manifests().await?;
        planner.plan_links().await?;
        planner.plan_blobs().await?;
        Ok(planner.plan)
    }
}

impl Planner {
    async fn plan_manifests(&mut self) -> Result<()> {
        let mut candidates = self.candidates().await?;
        // one that goes may take others along
        loop {
            let before = candidates.len();
            let mut rest = Vec::new();
            for candidate in candidates {
                match self.fate(&candidate).await? {
                    Some((at, reason)) => {
                        self.manifests.insert(candidate.id, at);
                        let digest = candidate.sha256;
                        self.add(
                            (PlannedKind::Manifest, Some(candidate.repository_id)),
                            (digest, candidate.size),
                            (at, reason),
                        )
                        .await?;
                    }
                    None => rest.push(candidate),
                }
            }
            if rest.len() == before || rest.is_empty() {
                return Ok(());
            }
            candidates = rest;
        }
    }

    /// Manifests without a tag that could go at all.
    async fn candidates(&self) -> Result<Vec<Untagged>> {
        let (mut candidates, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let page = self
                .metadata
                .read_long(move |tx| plan::untagged(tx, from, PAGE))
                .await?;
            after = page.next;
            let is_on = self.untagged_after.is_some();
            let found = page.found.into_iter();
            candidates.extend(found.filter(|found| is_on || found.subject.is_some() && found.subject_seen));
        }
        Ok(candidates)
    }

    /// When a manifest without a tag goes, given those that are known to go.
    async fn fate(&self, found: &Untagged) -> Result<Option<(Timestamp, &'static str)>> {
        let asked = found.clone();
        let (parents, subject, is_in_trash) = self
            .metadata
            .read(move |tx| {
                let mut parents = Vec::new();
                let mut is_in_trash = trash::has_tag_of(tx, asked.repository_id, &asked.sha256)?;
                if let Some(subject) = &asked.subject {
                    is_in_trash |= trash::has_manifest(tx, asked.repository_id, subject)?;
                }
                for name in std::iter::once(&asked.sha256).chain(&asked.sha512) {
                    is_in_trash |= trash::lists_child(tx, asked.repository_id, name)?;
                    parents.extend(plan::pointing_to(tx, asked.repository_id, name, true)?);
                }
                let subject = match &asked.subject {
                    Some(subject) => manifests::head(tx, asked.repository_id, subject)?.map(|subject| subject.id),
                    None => None,
                };
                Ok::<_, wharf_metadata::Error>((parents, subject, is_in_trash))
            })
            .await?;
        // what comes back with something in the trash stays as long as that
        if is_in_trash || !parents.iter().all(|parent| self.manifests.contains_key(parent)) {
            return Ok(None);
        }
        let freed = parents.iter().filter_map(|parent| self.manifests.get(parent)).max();
        let since = found.since.max(freed.copied().unwrap_or(found.since));
        if found.subject.is_some() {
            if !found.subject_seen {
                return Ok(None);
            }
            return Ok(match subject.map(|id| self.manifests.get(&id)) {
                None => Some((since.plus(self.grace), "its subject is gone")),
                Some(Some(gone_at)) => Some((gone_at.plus(self.grace), "its subject goes")),
                Some(None) => None,
            });
        }
        Ok(self
            .untagged_after
            .map(|after| (since.plus(after.max(self.grace)), "no tag points to it")))
    }

    async fn plan_links(&mut self) -> Result<()> {
        let freed = self.freed_by_manifests().await?;
        let mut after = Some((0, 0));
        while let Some(from) = after {
            let page = self.metadata.read_long(move |tx| plan::links(tx, from, PAGE)).await?;
            after = page.next;
            for link in page.found {
                let names = [Some(link.sha256), link.sha512];
                let may_go = !link.is_needed
                    || names
                        .iter()
                        .flatten()
                        .any(|name| freed.contains(&(link.repository_id, *name)));
                if may_go && let Some((at, reason)) = self.fate_of_link(&link).await? {
                    self.links.insert((link.repository_id, link.blob_id), at);
                    self.add(
                        (PlannedKind::Link, Some(link.repository_id)),
                        (link.sha256, link.size),
                        (at, reason),
                    )
                    .await?;
                }
            }
        }
        Ok(())
    }

    /// What the manifests that go point to.
    async fn freed_by_manifests(&self) -> Result<HashSet<(i64, Digest)>> {
        let mut freed = HashSet::new();
        for id in self.manifests.keys().copied() {
            let read = move |tx: &mut Tx<'_>| -> Answer<_> {
                let repository_id = plan::repository_of(tx, id)?;
                Ok((repository_id, manifests::references(tx, id)?))
            };
            let (repository_id, references) = self.metadata.read(read).await?;
            let found = references.into_iter().map(|reference| reference.digest);
            freed.extend(
                repository_id
                    .into_iter()
                    .flat_map(|id| found.clone().map(move |digest| (id, digest))),
            );
        }
        Ok(freed)
    }

    async fn fate_of_link(&self, link: &Linked) -> Result<Option<(Timestamp, &'static str)>> {
        let names = link.clone();
        let read = self.metadata.read(move |tx| {
            for name in std::iter::once(&names.sha256).chain(&names.sha512) {
                if trash::needs_link(tx, names.repository_id, name)? {
                    return Ok(true);
                }
            }
            Ok::<_, wharf_metadata::Error>(false)
        });
        if read.await? {
            return Ok(None);
        }
        if !link.is_needed {
            return Ok(Some((link.since.plus(self.grace), "no manifest needs it")));
        }
        let asked = link.clone();
        let needed_by = self
            .metadata
            .read(move |tx| {
                let mut needed_by = Vec::new();
                for name in std::iter::once(&asked.sha256).chain(&asked.sha512) {
                    needed_by.extend(plan::pointing_to(tx, asked.repository_id, name, false)?);
                }
                Ok::<_, wharf_metadata::Error>(needed_by)
            })
            .await?;
        let gone: Option<Vec<Timestamp>> = needed_by.iter().map(|id| self.manifests.get(id).copied()).collect();
        let last = gone.and_then(|gone| gone.into_iter().max());
        Ok(last.map(|last| (last.max(link.since).plus(self.grace), "the manifests that need it go")))
    }

    async fn plan_blobs(&mut self) -> Result<()> {
        let mut after = Some(0);
        while let Some(from) = after {
            let page = self.metadata.read_long(move |tx| plan::unheld(tx, from, PAGE)).await?;
            after = page.next;
            for blob in page.found {
                let (at, reason) = match blob.state {
                    blobs::State::Present => (blob.since.plus(2 * self.grace), "nothing holds it"),
                    blobs::State::Condemned => (blob.since.plus(self.grace), "it is condemned"),
                    blobs::State::Writing => (blob.since.plus(2 * self.grace), "it was never finished"),
                    blobs::State::Deleting { .. } => (blob.since, "it is being deleted"),
                };
                self.plan.bytes += blob.size;
                self.add((PlannedKind::Blob, None), (blob.sha256, blob.size), (at, reason))
                    .await?;
            }
        }
        self.plan_freed_blobs().await
    }

    /// Blobs that are held now, but only by what goes.
    async fn plan_freed_blobs(&mut self) -> Result<()> {
        let mut ids: HashSet<i64> = self.links.keys().map(|(_, blob_id)| *blob_id).collect();
        for id in self.manifests.keys().copied().collect::<Vec<_>>() {
            let bytes = self.metadata.read(move |tx| blobs::of_manifest(tx, id)).await?;
            ids.extend(bytes.map(|blob| blob.id));
        }
        for id in ids {
            let read = move |tx: &mut Tx<'_>| -> Answer<_> {
                let Some(blob) = blobs::by_id(tx, id)? else {
                    return Ok(None);
                };
                if trash::holds_blob(tx, &blob.sha256, blob.sha512.as_ref())? {
                    return Ok(None);
                }
                let (linking, consisting) = (plan::linking(tx, id)?, plan::consisting_of(tx, &blob.sha256)?);
                Ok(Some((blob, linking, consisting)))
            };
            let Some((blob, linking, consisting)) = self.metadata.read(read).await? else {
                continue;
            };
            let links = linking
                .iter()
                .map(|repository| self.links.get(&(*repository, id)).copied());
            let manifests = consisting.iter().map(|manifest| self.manifests.get(manifest).copied());
            let gone: Option<Vec<Timestamp>> = links.chain(manifests).collect();
            // links are due at once when they go, the bytes of a manifest only from then on
            let Some(last) = gone.and_then(|gone| gone.into_iter().max()) else {
                continue;
            };
            let at = last.plus(if consisting.is_empty() {
                self.grace
            } else {
                2 * self.grace
            });
            self.plan.bytes += blob.size;
            self.add(
                (PlannedKind::Blob, None),
                (blob.sha256, blob.size),
                (at, "what holds it goes"),
            )
            .await?;
        }
        Ok(())
    }

    async fn add(
        &mut self,
        (kind, repository_id): (PlannedKind, Option<i64>),
        (digest, size): (Digest, u64),
        (at, reason): (Timestamp, &'static str),
    ) -> Result<()> {
        let repository = match repository_id {
            Some(id) => self.name(id).await?,
            None => None,
        };
        self.plan.objects.push(Planned {
            kind,
            repository,
            digest,
            size,
            at,
            reason,
        });
        Ok(())
    }

    async fn name(&mut self, id: i64) -> Result<Option<RepositoryName>> {
        if let Some(name) = self.names.get(&id) {
            return Ok(Some(name.clone()));
        }
        let found = self.metadata.read(move |tx| repositories::by_id(tx, id)).await?;
        let name = found.map(|repository| repository.name);
        if let Some(name) = &name {
            self.names.insert(id, name.clone());
        }
        Ok(name)
    }
}
