//! Accepting a manifest.

use crate::repository::NEW;
use bytes::Bytes;
use sha2::{Digest as _, Sha256, Sha512};
use wharf_access::Principal;
use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, Timestamp, Tx, blobs, links, manifests, mirror, repositories, tags};
use wharf_oci::{Algorithm, Descriptor, Digest, Kind, Manifest, Reference, RepositoryName, Tag};

use super::Pushes;
use super::commit::{ATTEMPTS, deleted_meanwhile};
use crate::content_type;
use crate::{Error, Result};

/// A manifest on its way in.
#[derive(Clone, Debug)]
pub struct ManifestPush {
    /// The tag or digest it is pushed under.
    pub reference: Reference,
    /// The `Content-Type` that came with it.
    pub content_type: Option<String>,
    /// The exact bytes.
    pub bytes: Bytes,
    /// Further tags, on a push by digest.
    pub tags: Vec<Tag>,
}

/// What was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The digest that the client named, or the sha256 digest.
    pub digest: Digest,
    /// The subject, when the manifest has one: it is listed among its referrers now.
    pub subject: Option<Digest>,
    /// The further tags that were set.
    pub extra_tags: Vec<Tag>,
}

/// Rules of the configuration (`validation.manifests`).
#[derive(Clone, Debug, Default)]
pub struct ManifestRules {
    /// Where layers that are fetched elsewhere may lie.
    pub urls: UrlRules,
    /// Which children of an index must be here.
    pub children: IndexChildren,
}

/// Which URLs a foreign layer may name.
#[derive(Clone, Default)]
pub enum UrlRules {
    /// Any.
    #[default]
    Any,
    /// Those for which this holds.
    Matching(std::sync::Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl std::fmt::Debug for UrlRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::Matching(_) => "Matching",
        })
    }
}

/// Which children of an index must be in the repository before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IndexChildren {
    /// None: sparse indexes are welcome (mirrors copy only some platforms).
    #[default]
    Optional,
    /// Every one.
    Required,
    /// Those that run on one of these (architecture, os) pairs.
    RequiredFor(Vec<(String, String)>),
}

/// Everything the transaction needs.
#[derive(Clone)]
struct Prepared {
    name: RepositoryName,
    manifest: Manifest,
    /// The digest that the client named, or the sha256.
    digest: Digest,
    stored: Digest,
    size: u64,
    tags: Vec<Tag>,
    required_children: Vec<Digest>,
    by: String,
    now: Timestamp,
}

impl Pushes {
    /// Whether `principal` may push a manifest here, before its body is read.
    ///
    /// # Errors
    ///
    /// As [`Pushes::manifest`] for these reasons.
    pub async fn check_manifest_push(&self, principal: &Principal, name: &RepositoryName) -> Result<()> {
        self.writable(principal, name).await.map(drop)
    }

    /// Accepts a manifest and sets its tags.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestInvalid`], [`Error::ManifestBlobUnknown`], [`Error::DigestMismatch`], or
    /// the principal may not push here.
    pub async fn manifest(&self, principal: &Principal, name: &RepositoryName, push: ManifestPush) -> Result<Accepted> {
        let name = self.writable(principal, name).await?.name;
        let manifest = Manifest::parse_pushed(push.content_type.as_deref(), &push.bytes)?;
        self.rules.manifests.check_urls(&manifest)?;
        let stored = digest_of(Algorithm::Sha256, &push.bytes)?;
        let digest = named_digest(&push, stored)?;
        let tags: Vec<Tag> = match &push.reference {
            Reference::Tag(tag) => std::iter::once(tag.clone()).chain(push.tags.iter().cloned()).collect(),
            Reference::Digest(_) => push.tags.clone(),
        };
        let prepared = Prepared {
            name,
            required_children: self.rules.manifests.required_children(&manifest),
            digest,
            stored,
            size: push.bytes.len() as u64,
            tags,
            by: principal.name().to_owned(),
            now: self.now(),
            manifest,
        };
        self.check_bytes(&prepared).await?;
        let subject = prepared.manifest.subject.as_ref().map(|subject| subject.digest);
        let mut attempts = 0;
        loop {
            self.store_manifest(&prepared, push.bytes.clone()).await?;
            if self.commit_manifest(prepared.clone()).await? {
                break;
            }
            // the collector has deleted the same bytes meanwhile, which only a long wait allows
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(deleted_meanwhile(&prepared.stored));
            }
        }
        Ok(Accepted {
            digest,
            subject,
            extra_tags: push.tags,
        })
    }

    /// Every blob that the index has must be in the storage as well; one that it has not is found
    /// missing by the commit.
    async fn check_bytes(&self, prepared: &Prepared) -> Result<()> {
        let required = prepared.manifest.required_blobs();
        let required: Vec<Digest> = required.into_iter().map(|blob| blob.digest).collect();
        let find = move |tx: &mut Tx<'_>| {
            let mut stored = Vec::new();
            for digest in &required {
                stored.extend(blobs::find(tx, digest)?.map(|found| found.sha256));
            }
            Ok::<_, wharf_metadata::Error>(stored)
        };
        let missing = self.removed_by_others(&self.metadata.read(find).await?).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::ManifestBlobUnknown {
            repository: prepared.name.clone(),
            missing,
        })
    }

    /// The bytes come first: harmless until something refers to them.
    async fn store_manifest(&self, prepared: &Prepared, bytes: Bytes) -> Result<()> {
        let begun = self.begin_writing(prepared.stored, prepared.size).await?;
        content_type::keep(&self.storage, &prepared.stored, &prepared.manifest.media_type, &bytes).await?;
        self.storage.blobs().put(&prepared.stored, bytes).await?;
        self.confirm(begun, &prepared.stored, prepared.size).await
    }

    /// `false` when the bytes are gone again.
    async fn commit_manifest(&self, prepared: Prepared) -> Result<bool> {
        let name = prepared.name.clone();
        let names = [prepared.stored, prepared.digest];
        let entries = prepared.entries();
        let raised = entries.clone();
        let tags = prepared.tags.clone();
        let Some(repository_id) = self.metadata.write(move |tx| commit(tx, &prepared, &raised)).await? else {
            return Ok(false);
        };
        for reference in tags.into_iter().map(Reference::Tag).chain(names.map(Reference::Digest)) {
            self.caches.forget_manifest(repository_id, &reference);
        }
        self.caches.forget_repository(&name);
        self.mirror.settle_all(repository_id, entries).await?;
        Ok(true)
    }
}

impl Prepared {
    /// The storage entries that follow: every name of the manifest, then its tags.
    fn entries(&self) -> Vec<Entry> {
        let alias = (self.digest != self.stored).then_some(self.digest);
        let names = std::iter::once(self.stored).chain(alias).map(Entry::Revision);
        names.chain(self.tags.iter().cloned().map(Entry::Tag)).collect()
    }
}

/// The digest that the client gets back: the one it named, checked, or sha256.
fn named_digest(push: &ManifestPush, stored: Digest) -> Result<Digest> {
    let Reference::Digest(given) = &push.reference else {
        return Ok(stored);
    };
    let computed = match given {
        Digest::Sha256(_) => stored,
        Digest::Sha512(_) => digest_of(Algorithm::Sha512, &push.bytes)?,
    };
    if computed == *given {
        Ok(computed)
    } else {
        Err(Error::DigestMismatch {
            given: Box::new(*given),
            computed: Box::new(computed),
        })
    }
}

fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Result<Digest> {
    let digest = match algorithm {
        Algorithm::Sha256 => Digest::from_hash(algorithm, &Sha256::digest(bytes)),
        Algorithm::Sha512 => Digest::from_hash(algorithm, &Sha512::digest(bytes)),
    };
    digest.map_err(|_| Error::Unsupported("the digest has another length than its algorithm"))
}

/// One transaction: the blobs it names are locked and present, then the manifest, its
/// references and tags are there, together with the mirror rows for their links. `None` when the
/// manifest's own bytes are gone again.
fn commit(tx: &mut Tx<'_>, prepared: &Prepared, entries: &[Entry]) -> Result<Option<i64>> {
    let repository = repositories::find_or_create(tx, &prepared.name, State::Indexed(NEW), prepared.now)?;
    // locked first: what is here then stays until the end of the transaction
    let mut missing = lock_named(tx, repository.id, prepared)?;
    missing.extend(missing_references(tx, repository.id, prepared)?);
    if !missing.is_empty() {
        missing.sort_unstable();
        missing.dedup();
        return Err(Error::ManifestBlobUnknown {
            repository: prepared.name.clone(),
            missing,
        });
    }
    if !blobs::set_present(tx, &prepared.stored, None, prepared.now)? {
        return Ok(None);
    }
    let references = references(&prepared.manifest);
    let inserted = manifests::insert(tx, repository.id, &new_manifest(prepared, &references))?;
    for tag in &prepared.tags {
        let action = tags::Action::Pushed;
        let change = tags::Change {
            repository_id: repository.id,
            tag,
            action,
            by: &prepared.by,
            at: prepared.now,
        };
        tags::put(tx, &change, inserted.id, &prepared.digest)?;
    }
    for entry in entries {
        mirror::raise(tx, repository.id, entry)?;
    }
    Ok(Some(repository.id))
}

/// Locks the blobs that the manifest needs, and the bytes of the children and the subject that are
/// here: the collector locks the same before it looks whether anything needs them. Answers blobs
/// that are not there.
fn lock_named(tx: &mut Tx<'_>, repository_id: i64, prepared: &Prepared) -> Result<Vec<Digest>> {
    let manifest = &prepared.manifest;
    let required: Vec<Digest> = manifest.required_blobs().map(|blob| blob.digest).collect();
    let mut named = required.clone();
    for other in manifest.manifests.iter().chain(&manifest.subject) {
        named.extend(manifests::head(tx, repository_id, &other.digest)?.map(|found| found.sha256));
    }
    let absent = blobs::lock_present(tx, &named, prepared.now)?;
    let absent = absent.into_iter().map(|absent| absent.digest);
    Ok(absent.filter(|digest| required.contains(digest)).collect())
}

fn missing_references(tx: &mut Tx<'_>, repository_id: i64, prepared: &Prepared) -> Result<Vec<Digest>> {
    let blobs: Vec<Digest> = prepared.manifest.required_blobs().map(|blob| blob.digest).collect();
    let mut missing = links::missing(tx, repository_id, &blobs)?;
    for child in &prepared.required_children {
        if manifests::head(tx, repository_id, child)?.is_none() {
            missing.push(*child);
        }
    }
    missing.dedup();
    Ok(missing)
}

fn new_manifest<'a>(prepared: &'a Prepared, references: &'a [manifests::Reference]) -> manifests::NewManifest<'a> {
    let manifest = &prepared.manifest;
    manifests::NewManifest {
        sha256: prepared.stored,
        sha512: (prepared.digest != prepared.stored).then_some(prepared.digest),
        media_type: &manifest.media_type,
        size: prepared.size,
        artifact_type: manifest.artifact_type.as_deref(),
        config_media_type: manifest.config.as_ref().map(|config| config.media_type.as_str()),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
        annotations: &manifest.annotations,
        references,
        pushed_by: &prepared.by,
        pushed_at: prepared.now,
    }
}

/// What a manifest points to, as the index records it.
pub(crate) fn references(manifest: &Manifest) -> Vec<manifests::Reference> {
    use manifests::{Reference, ReferenceKind};
    let reference = |kind| {
        move |found: &Descriptor| Reference {
            kind,
            digest: found.digest,
            size: found.size,
        }
    };
    let config = manifest.config.iter().map(reference(ReferenceKind::Config));
    let layers = manifest.layers.iter().map(reference(ReferenceKind::Layer));
    let children = manifest.manifests.iter().map(reference(ReferenceKind::Child));
    config.chain(layers).chain(children).collect()
}

impl ManifestRules {
    fn check_urls(&self, manifest: &Manifest) -> Result<()> {
        let UrlRules::Matching(is_allowed) = &self.urls else {
            return Ok(());
        };
        for layer in &manifest.layers {
            if let Some(url) = layer.urls.iter().find(|url| !is_allowed(url)) {
                return Err(Error::ManifestUrlRefused {
                    digest: layer.digest,
                    url: url.clone(),
                });
            }
        }
        Ok(())
    }

    fn required_children(&self, manifest: &Manifest) -> Vec<Digest> {
        if !matches!(manifest.kind, Kind::Index | Kind::DockerList) {
            return Vec::new();
        }
        let is_required = |child: &&Descriptor| match &self.children {
            IndexChildren::Optional => false,
            IndexChildren::Required => true,
            IndexChildren::RequiredFor(platforms) => child.platform.as_ref().is_some_and(|platform| {
                platforms
                    .iter()
                    .any(|(architecture, os)| *architecture == platform.architecture && *os == platform.os)
            }),
        };
        manifest
            .manifests
            .iter()
            .filter(is_required)
            .map(|child| child.digest)
            .collect()
    }
}
