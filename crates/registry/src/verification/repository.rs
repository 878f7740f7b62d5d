//! One repository, both ways.

use std::collections::HashMap;

use bytes::Bytes;
use wharf_metadata::{Entry, Tx, blobs, manifests, repositories};
use wharf_oci::{Digest, Manifest, RepositoryName};
use wharf_storage::{Detail, ErrorKind, FoundLink, LinkRecord, LinkState};

use super::{Work, add};
use crate::finding::{Finding, FindingKind};
use crate::mirror::link_of;
use crate::push::references;
use crate::{Error, Result};

/// Manifests that are read and compared in one go, by bytes and by number.
const MANIFESTS: (u64, usize) = (4 << 20, 500);
/// Larger files are no manifests, in bytes.
const LARGEST_MANIFEST: u64 = 32 << 20;

/// What is wrong with a link that cannot be read.
const BROKEN: &str = "it does not hold a digest";

/// What seems to be wrong, and is looked at once more.
#[derive(Default)]
struct Suspects {
    entries: Vec<Entry>,
    /// Manifests that the index knows, with where their bytes are.
    manifests: Vec<(Digest, Digest)>,
    /// Whole links that were seen.
    links: u64,
}

impl Work<'_> {
    /// Compares one repository, by its folder; `false` when neither index nor storage has anything of it.
    pub(super) async fn repository(&self, name: &RepositoryName) -> Result<bool> {
        let mut known = self.parts.adoption.known(name).await?;
        let mut suspects = Suspects::default();
        let layers = known.layers.take().unwrap_or_default();
        let mut walk = self.parts.storage.walk().layers(name, Detail::Content);
        let mut missed = layers;
        while let Some(chunk) = walk.next().await? {
            add(&self.checked.layers, chunk.found.len());
            self.note_foreign(name, &chunk.foreign);
            for link in chunk.found {
                let is_known = missed.remove(&link.name);
                self.sort(name, &mut suspects, link, Entry::Layer, is_known);
            }
        }
        suspects.entries.extend(missed.into_iter().map(Entry::Layer));
        let mut missed = std::mem::take(&mut known.manifests);
        let mut walk = self.parts.storage.walk().revisions(name, Detail::Content);
        while let Some(chunk) = walk.next().await? {
            add(&self.checked.manifests, chunk.found.len());
            self.note_foreign(name, &chunk.foreign);
            for link in chunk.found {
                let is_known = missed.remove(&link.name);
                if let (true, LinkState::Whole(record)) = (is_known, &link.state) {
                    suspects.manifests.push((link.name, record.digest));
                }
                self.sort(name, &mut suspects, link, Entry::Revision, is_known);
            }
        }
        suspects.entries.extend(missed.into_iter().map(Entry::Revision));
        let mut missed = std::mem::take(&mut known.tags);
        let mut walk = self.parts.storage.walk().tags(name, Detail::Content);
        while let Some(chunk) = walk.next().await? {
            add(&self.checked.tags, chunk.found.len());
            self.note_foreign(name, &chunk.foreign);
            for link in chunk.found {
                let before = missed.remove(&link.name).map(|(digest, _)| digest);
                let is_as_known = match &link.state {
                    LinkState::Whole(record) => before == Some(record.digest),
                    _ => before.is_some(),
                };
                self.sort(name, &mut suspects, link, Entry::Tag, is_as_known);
            }
        }
        suspects.entries.extend(missed.into_keys().map(Entry::Tag));
        add(&self.checked.repositories, 1);
        let is_there = known.id.is_some() || suspects.links > 0;
        match known.id {
            Some(id) => self.look_again((id, name), suspects).await?,
            None => self.unindexed_repository(name, &suspects).await?,
        }
        Ok(is_there)
    }

    /// Notes what a link is: wrong in itself, as the index says, or to be looked at again.
    fn sort<T: Clone>(
        &self,
        name: &RepositoryName,
        suspects: &mut Suspects,
        link: FoundLink<T>,
        entry: fn(T) -> Entry,
        is_known: bool,
    ) {
        let entry = entry(link.name);
        match link.state {
            LinkState::Whole(_) if is_known => suspects.links += 1,
            LinkState::Whole(_) | LinkState::Stat(_) => {
                suspects.links += 1;
                suspects.entries.push(entry);
            }
            // with a row it is looked at again
            LinkState::Broken(_) | LinkState::Missing if is_known => suspects.entries.push(entry),
            LinkState::Broken(_) => self.note(FindingKind::BrokenLink, name, &entry, BROKEN),
            LinkState::Missing => self.note(FindingKind::HalfWritten, name, &entry, "there is no link in its folder"),
        }
    }

    fn note(&self, kind: FindingKind, name: &RepositoryName, entry: &Entry, detail: impl std::fmt::Display) {
        self.find(&Finding {
            kind,
            repository: Some(name.clone()),
            subject: entry.to_string(),
            detail: detail.to_string(),
        });
    }

    pub(super) fn note_foreign(&self, name: &RepositoryName, places: &[String]) {
        for place in places {
            self.find(&Finding {
                kind: FindingKind::Foreign,
                repository: Some(name.clone()),
                subject: place.clone(),
                detail: String::new(),
            });
        }
    }

    async fn unindexed_repository(&self, name: &RepositoryName, suspects: &Suspects) -> Result<()> {
        // a push may have made it meanwhile
        let stored = name.clone();
        let row = self
            .parts
            .metadata
            .read(move |tx| repositories::by_storage_name(tx, &stored))
            .await?;
        if row.is_some() || suspects.links == 0 {
            return Ok(());
        }
        self.find(&Finding {
            kind: FindingKind::UnindexedRepository,
            repository: Some(name.clone()),
            subject: "repository".to_owned(),
            detail: format!("{} links", suspects.links),
        });
        if self.act(|| format!("index repository {name}")) {
            self.parts.adoption.follow(name).await?;
        }
        Ok(())
    }

    async fn look_again(&self, (id, name): (i64, &RepositoryName), suspects: Suspects) -> Result<()> {
        let mut unindexed = self.compare_manifests((id, name), suspects.manifests).await?;
        for entry in suspects.entries {
            let Some((kind, detail, stored)) = self.judge((id, name), &entry).await? else {
                continue;
            };
            self.note(kind, name, &entry, detail);
            match kind {
                FindingKind::UnindexedTag | FindingKind::UnindexedManifest | FindingKind::UnindexedLayer => {
                    unindexed += 1;
                }
                FindingKind::UnlinkedTag
                | FindingKind::UnlinkedManifest
                | FindingKind::UnlinkedLayer
                | FindingKind::BrokenLink => {
                    self.relink((id, name), entry, stored).await?;
                }
                FindingKind::DifferentTag => {
                    if self.is_foreign(id, &entry).await? {
                        unindexed += 1;
                    } else {
                        self.relink((id, name), entry, stored).await?;
                    }
                }
                _ => {}
            }
        }
        if unindexed > 0 && self.act(|| format!("index {unindexed} entries of {name} that only its folder has")) {
            self.parts.adoption.follow(name).await?;
        }
        Ok(())
    }

    /// Looks at one entry while no request changes it. Answers what is wrong, and where the bytes
    /// are that the index says.
    async fn judge(
        &self,
        (id, name): (i64, &RepositoryName),
        entry: &Entry,
    ) -> Result<Option<(FindingKind, String, Option<Digest>)>> {
        let held = self.parts.mirror.hold(id, vec![entry.clone()]).await?;
        let judged = self.judge_still((id, name), entry).await;
        held.end().await?;
        judged
    }

    async fn judge_still(
        &self,
        (id, name): (i64, &RepositoryName),
        entry: &Entry,
    ) -> Result<Option<(FindingKind, String, Option<Digest>)>> {
        let key = (id, entry.clone());
        let link = match self.parts.storage.links().read(&link_of(name, entry)).await {
            Ok(link) => link,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let (is_pending, row) = self.parts.mirror.expectation(&key).await?;
                let broken = (FindingKind::BrokenLink, BROKEN.to_owned(), row);
                return Ok((!is_pending).then_some(broken));
            }
            Err(error) => return Err(error.into()),
        };
        let (is_pending, row) = self.parts.mirror.expectation(&key).await?;
        if is_pending {
            return Ok(None);
        }
        let judged = match (link, row) {
            (None, None) => None,
            (None, Some(stored)) => Some((unlinked(entry), "the storage does not show it".to_owned(), Some(stored))),
            (Some(link), Some(stored)) if link.digest == stored => None,
            (Some(link), Some(stored)) => {
                let kind = match entry {
                    Entry::Tag(_) => FindingKind::DifferentTag,
                    _ => FindingKind::DifferentAlias,
                };
                let detail = format!("the index says {stored}, the storage {}", link.digest);
                Some((kind, detail, Some(stored)))
            }
            (Some(link), None) => self.judge_unindexed((id, name), entry, &link).await?,
        };
        Ok(judged)
    }

    /// A link that the index does not know: is it of any use?
    async fn judge_unindexed(
        &self,
        (id, name): (i64, &RepositoryName),
        entry: &Entry,
        link: &LinkRecord,
    ) -> Result<Option<(FindingKind, String, Option<Digest>)>> {
        let digest = link.digest;
        let found = |kind, detail: &str| Ok(Some((kind, detail.to_owned(), None)));
        if let Entry::Tag(_) = entry {
            let head = self
                .parts
                .metadata
                .read(move |tx| manifests::head(tx, id, &digest))
                .await?;
            return match head {
                Some(_) => found(FindingKind::UnindexedTag, "the index does not know it"),
                None if self.has_manifest(name, &digest).await? => {
                    found(FindingKind::UnindexedTag, "the index knows neither it nor its manifest")
                }
                None => found(FindingKind::DanglingTag, "its manifest is not in the repository"),
            };
        }
        let is_there = self.parts.storage.blobs().stat(&digest).await;
        let is_there = matches!(is_there, Ok(Some(_)));
        match entry {
            Entry::Layer(_) if is_there => found(FindingKind::UnindexedLayer, "the index does not know it"),
            Entry::Layer(_) => found(FindingKind::DanglingLayer, "its bytes are not in the storage"),
            _ if !is_there => found(FindingKind::DanglingManifest, "its bytes are not in the storage"),
            _ => match self.parts.adoption.manifest(&digest).await? {
                Ok(_) => found(FindingKind::UnindexedManifest, "the index does not know it"),
                Err(problem) => found(FindingKind::UnreadableManifest, &problem),
            },
        }
    }

    /// Whether the folder of a repository shows a manifest whose bytes are there.
    async fn has_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let link = link_of(name, &Entry::Revision(*digest));
        let stored = match self.parts.storage.links().read(&link).await {
            Ok(Some(link)) => link.digest,
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        Ok(self.parts.storage.blobs().stat(&stored).await?.is_some())
    }

    /// Whether a tag's link was changed by somebody else since it was last seen: then the storage is
    /// right (consistency rule 8).
    async fn is_foreign(&self, id: i64, entry: &Entry) -> Result<bool> {
        let Entry::Tag(tag) = entry else { return Ok(false) };
        self.parts.mirror.is_foreign(id, tag).await
    }

    /// Compares the rows of manifests with their bytes; answers how many differ.
    async fn compare_manifests(
        &self,
        (id, name): (i64, &RepositoryName),
        manifests: Vec<(Digest, Digest)>,
    ) -> Result<u64> {
        let stored: Vec<Digest> = manifests.iter().map(|(_, stored)| *stored).collect();
        let sizes = self.parts.storage.blobs().stat_all(&stored).await?;
        let (mut group, mut bytes, mut differing) = (Vec::new(), 0, 0);
        for ((manifest, stored), size) in manifests.into_iter().zip(sizes) {
            match size {
                // of all blobs those are found whose bytes are gone
                None if self.options.repositories.is_empty() => {}
                None => self.note(
                    FindingKind::MissingBlob,
                    name,
                    &Entry::Revision(manifest),
                    "its bytes are not in the storage",
                ),
                Some(size) => {
                    bytes += size;
                    group.push((manifest, stored));
                }
            }
            if bytes >= MANIFESTS.0 || group.len() >= MANIFESTS.1 {
                self.go_on()?;
                differing += self.compare_group((id, name), std::mem::take(&mut group)).await?;
                bytes = 0;
            }
        }
        differing += self.compare_group((id, name), group).await?;
        Ok(differing)
    }

    async fn compare_group(&self, (id, name): (i64, &RepositoryName), group: Vec<(Digest, Digest)>) -> Result<u64> {
        if group.is_empty() {
            return Ok(0);
        }
        let stored: Vec<Digest> = group.iter().map(|(_, stored)| *stored).collect();
        let contents = self.parts.storage.blobs().read_all(&stored, LARGEST_MANIFEST).await?;
        let mut whole = HashMap::new();
        for ((manifest, _), content) in group.into_iter().zip(contents) {
            match content {
                Ok(Some(bytes)) => drop(whole.insert(manifest, bytes)),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error.into()),
                Err(error) => self.note(FindingKind::Unreadable, name, &Entry::Revision(manifest), error),
            }
        }
        let compared = self.parts.metadata.read_long(move |tx| compare(tx, id, &whole));
        let compared: Vec<(Digest, Option<String>)> = compared.await.map_err(Error::from)?;
        let mut differing = 0;
        for (digest, problem) in compared {
            let entry = Entry::Revision(digest);
            match problem {
                Some(problem) => self.note(FindingKind::UnreadableManifest, name, &entry, problem),
                None => {
                    differing += 1;
                    let detail = "its row or references are not what its bytes say";
                    self.note(FindingKind::DifferentManifest, name, &entry, detail);
                }
            }
        }
        Ok(differing)
    }
}

/// The manifests whose rows differ from their bytes, and those whose bytes cannot be read, with why.
fn compare(
    tx: &mut Tx<'_>,
    repository_id: i64,
    whole: &HashMap<Digest, Bytes>,
) -> std::result::Result<Vec<(Digest, Option<String>)>, wharf_metadata::Error> {
    let mut wrong = Vec::new();
    for (digest, bytes) in whole {
        let Some(row) = manifests::find(tx, repository_id, digest)? else {
            continue;
        };
        // how the bytes are read is what storage may not tell
        let manifest = match Manifest::parse(Some(&row.media_type), bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                wrong.push((*digest, Some(error.to_string())));
                continue;
            }
        };
        let references = references(&manifest);
        let said = manifests::NewManifest {
            sha256: row.sha256,
            sha512: row.sha512,
            media_type: &row.media_type,
            size: bytes.len() as u64,
            artifact_type: manifest.artifact_type.as_deref(),
            config_media_type: manifest.config.as_ref().map(|config| config.media_type.as_str()),
            subject: manifest.subject.as_ref().map(|subject| subject.digest),
            annotations: &manifest.annotations,
            references: &references,
            pushed_at: row.pushed_at,
            pushed_by: "",
        };
        let has_bytes = blobs::find(tx, &row.sha256)?.is_some();
        if !has_bytes || manifests::differs(tx, &row, &said)? {
            wrong.push((*digest, None));
        }
    }
    Ok(wrong)
}

const fn unlinked(entry: &Entry) -> FindingKind {
    match entry {
        Entry::Tag(_) => FindingKind::UnlinkedTag,
        Entry::Revision(_) => FindingKind::UnlinkedManifest,
        Entry::Layer(_) => FindingKind::UnlinkedLayer,
    }
}
