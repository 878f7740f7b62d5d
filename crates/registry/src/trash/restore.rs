//! Bringing back: every byte is checked, then the manifest is put as a push puts it, under the
//! same locks (consistency rules 4 and 13).

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use wharf_access::Action;
use wharf_metadata::repositories::State;
use wharf_metadata::trash::{self, Filter, Kind, Trashed, TrashedTag};
use wharf_metadata::{Entry, Timestamp, Tx, audit_log, blobs, links, manifests, mirror, repositories, tags};
use wharf_oci::{Digest, Manifest, Reference, RepositoryName, Tag};

use super::purge::subject;
use super::{Selector, Trash, may_see};
use crate::audit::Actor;
use crate::push::references;
use crate::repository::NEW;
use crate::{Error, Result, content_type, deletion};

/// Larger files are no manifests, in bytes.
const LARGEST_MANIFEST: u64 = 32 << 20;
/// Entries that are looked at in one go.
const BATCH: usize = 200;
/// How often a restore is planned while others delete what it needs.
const ATTEMPTS: u32 = 5;
/// Failures that are told one by one.
const MOST_FAILURES: usize = 100;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where.
    pub repository: RepositoryName,
    /// The manifests, children before the index that lists them; none when all of it was there.
    pub manifests: Vec<Digest>,
    /// The tags that were set.
    pub tags: Vec<Tag>,
    /// Tags that point to something else by now, and were left so.
    pub kept_tags: Vec<KeptTag>,
    /// Children that an index lists and that are neither here nor in the trash: it is sparse.
    pub absent_children: Vec<Digest>,
}

/// A tag that was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTag {
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    pub digest: Digest,
}

/// What came back of many entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredAll {
    /// Manifests.
    pub manifests: u64,
    /// Tags that were set.
    pub tags: u64,
    /// Tags that were left where they point to.
    pub kept_tags: u64,
    /// Entries that stay in the trash.
    pub failed: u64,
    /// The first of those, each with why.
    pub failures: Vec<(String, String)>,
}

/// What is to come back together.
#[derive(Clone)]
struct Plan {
    /// The entry that was asked for.
    wanted: Trashed,
    /// Manifests, children first.
    manifests: Vec<Trashed>,
    absent_children: Vec<Digest>,
    /// The tag that was asked for by name: when it is taken, nothing comes back.
    tag: Option<Tag>,
    is_forced: bool,
    by: String,
    now: Timestamp,
}

/// What a transaction did, and what storage must follow.
struct Committed {
    restored: Restored,
    repository_id: i64,
    entries: Vec<Entry>,
    files: Vec<trash::Key>,
}

/// A manifest whose bytes are all there.
#[derive(Clone)]
struct Whole {
    entry: Trashed,
    manifest: Manifest,
    /// What it needs, by the name it uses: where the bytes are, and how many.
    blobs: Vec<(Digest, Digest, u64)>,
}

impl Trash {
    /// Brings an entry back: a manifest with its tags and, of an index, the children that lie in
    /// the trash; or a tag, with its manifest if that was deleted too. A tag that points to
    /// something else by now is moved only when `is_forced`.
    ///
    /// # Errors
    ///
    /// [`Error::NotInTrash`]; [`Error::TrashIncomplete`] names the bytes that are gone;
    /// [`Error::TagTaken`] when the tag that was asked for points elsewhere. Nothing has changed
    /// then.
    pub async fn restore(&self, actor: Actor<'_>, selector: &Selector, is_forced: bool) -> Result<Restored> {
        self.check_writable()?;
        let Some(entry) = self.find(selector).await? else {
            return self.there_already(actor, selector).await;
        };
        let name = entry.repository.clone();
        let repositories = &self.parts.repositories;
        repositories.open(actor.principal, &name, Action::Push).await?;
        let tag = match selector {
            Selector::Tag(_, tag) => Some(tag.clone()),
            _ if entry.kind == Kind::Tag => entry.tags.first().map(|kept| kept.tag.clone()),
            _ => None,
        };
        let plan = Plan {
            wanted: entry,
            manifests: Vec::new(),
            absent_children: Vec::new(),
            tag,
            is_forced,
            by: actor.principal.name().to_owned(),
            now: self.now(),
        };
        let line = actor.line(plan.now, "trash.restore", subject(&plan.wanted), String::new());
        let committed = self.bring_back(&plan, &line, &self.absent(selector)).await?;
        let Committed {
            restored,
            repository_id,
            entries,
            files,
        } = committed;
        deletion::forget(&self.parts.caches, repository_id, &entries);
        self.parts.caches.forget_repository(&name);
        tracing::info!(repository = %name, manifests = restored.manifests.len(), tags = restored.tags.len(), "restored from the trash");
        let settled = self.parts.mirror.settle_all(repository_id, entries).await;
        // the links first: until they are there, a file says how to make them
        for file in &files {
            drop(self.parts.mirror.settle_file(file).await);
        }
        settled.map(|_| restored)
    }

    /// Brings back every entry that the filter means, the newest first, so that of two deletions
    /// of a tag the later one counts.
    ///
    /// # Errors
    ///
    /// The principal may not, or the registry is read-only. What one entry lacks does not hold up
    /// the others: it is among the failures.
    pub async fn restore_all(&self, actor: Actor<'_>, filter: Filter, is_forced: bool) -> Result<RestoredAll> {
        may_see(actor.principal, filter.repository.as_ref())?;
        self.check_writable()?;
        self.ensure_known().await?;
        let mut all = RestoredAll::default();
        let mut before = None;
        loop {
            let wanted = filter.clone();
            let page = self
                .parts
                .metadata
                .read_long(move |tx| trash::page(tx, &wanted, before, BATCH));
            let page = page.await?;
            let Some(last) = page.last() else { return Ok(all) };
            before = Some(last.id);
            for entry in page {
                match self.restore(actor, &Selector::Id(entry.id), is_forced).await {
                    Ok(restored) => all.add(&restored),
                    // it came back with another one
                    Err(Error::NotInTrash { .. }) => {}
                    Err(error @ (Error::TrashIncomplete { .. } | Error::TagTaken { .. })) => {
                        all.failed += 1;
                        if all.failures.len() < MOST_FAILURES {
                            all.failures.push((subject(&entry), error.to_string()));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Plans and commits; anew where the manifest of a tag has gone in between, to the trash or for
    /// good.
    async fn bring_back(&self, asked: &Plan, line: &audit_log::Line, absent: &Error) -> Result<Committed> {
        let mut attempts = 0;
        loop {
            let plan = asked.clone();
            let plan = self.parts.metadata.read(move |tx| planned(tx, plan)).await?;
            let mut wholes = Vec::with_capacity(plan.manifests.len());
            for entry in &plan.manifests {
                wholes.push(self.whole(entry).await?);
            }
            let is_tag_alone = wholes.is_empty();
            let (line, gone) = (line.clone(), absent.to_string());
            let written = self.parts.metadata.write(move |tx| {
                let done = commit(tx, &plan, &wholes, &gone)?;
                audit_log::append(tx, &line)?;
                Ok::<_, Error>(done)
            });
            attempts += 1;
            match written.await {
                Err(Error::TrashIncomplete { .. }) if is_tag_alone && attempts < ATTEMPTS => {}
                outcome => return outcome,
            }
        }
    }

    /// The answer when nothing of that name is in the trash: fine if it is back already, as when
    /// the answer to an earlier request was lost.
    async fn there_already(&self, actor: Actor<'_>, selector: &Selector) -> Result<Restored> {
        let (name, reference) = match selector {
            Selector::Id(_) => return Err(self.absent(selector)),
            Selector::Tag(name, tag) => (name, Reference::Tag(tag.clone())),
            Selector::Manifest(name, digest) => (name, Reference::Digest(*digest)),
        };
        let repositories = &self.parts.repositories;
        let Some(repository) = repositories.open(actor.principal, name, Action::Push).await? else {
            return Err(self.absent(selector));
        };
        self.parts.mirror.retry(Some(repository.id)).await?;
        let id = repository.id;
        let found = self.parts.metadata.read(move |tx| match &reference {
            Reference::Tag(tag) => Ok::<_, wharf_metadata::Error>(tags::get(tx, id, tag)?.is_some()),
            Reference::Digest(digest) => Ok(manifests::head(tx, id, digest)?.is_some()),
        });
        if !found.await? {
            return Err(self.absent(selector));
        }
        Ok(Restored::nothing(name.clone()))
    }

    /// Reads the manifest of an entry, and looks whether everything that it needs is stored.
    async fn whole(&self, entry: &Trashed) -> Result<Whole> {
        let incomplete = |missing| Error::TrashIncomplete {
            repository: entry.repository.clone(),
            digest: entry.digest(),
            missing,
        };
        let stored = self.parts.storage.blobs();
        let bytes = stored.read(&entry.sha256, LARGEST_MANIFEST).await?;
        let is_right = |bytes: &bytes::Bytes| Digest::Sha256(Sha256::digest(bytes).into()) == entry.sha256;
        let Some(bytes) = bytes.filter(is_right) else {
            return Err(incomplete(vec![entry.sha256]));
        };
        let manifest = Manifest::parse(Some(&entry.media_type), &bytes)?;
        let wanted: Vec<Digest> = manifest.required_blobs().map(|blob| blob.digest).collect();
        let read = self.parts.metadata.read(move |tx| {
            let mut named = Vec::with_capacity(wanted.len());
            for digest in wanted {
                let sha256 = match blobs::find(tx, &digest)? {
                    Some(found) => Some(found.sha256),
                    // the index may have been rebuilt without a link to it
                    None => matches!(digest, Digest::Sha256(_)).then_some(digest),
                };
                named.push((digest, sha256));
            }
            Ok::<_, wharf_metadata::Error>(named)
        });
        let (mut blobs, mut missing) = (Vec::new(), Vec::new());
        for (digest, sha256) in read.await? {
            let size = match &sha256 {
                Some(sha256) => stored.stat(sha256).await?,
                None => None,
            };
            match (sha256, size) {
                (Some(sha256), Some(size)) => blobs.push((digest, sha256, size)),
                _ => missing.push(digest),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            return Err(incomplete(missing));
        }
        content_type::keep(&self.parts.storage, &entry.sha256, &entry.media_type, &bytes).await?;
        Ok(Whole {
            entry: entry.clone(),
            manifest,
            blobs,
        })
    }
}

impl Restored {
    const fn nothing(repository: RepositoryName) -> Self {
        Self {
            repository,
            manifests: Vec::new(),
            tags: Vec::new(),
            kept_tags: Vec::new(),
            absent_children: Vec::new(),
        }
    }
}

impl RestoredAll {
    fn add(&mut self, restored: &Restored) {
        self.manifests += restored.manifests.len() as u64;
        self.tags += restored.tags.len() as u64;
        self.kept_tags += restored.kept_tags.len() as u64;
    }
}

/// Finds what has to come back with the entry that was asked for.
fn planned(tx: &mut Tx<'_>, mut plan: Plan) -> Result<Plan> {
    let wanted = plan.wanted.clone();
    let row = repositories::find(tx, &wanted.repository)?.map(|repository| repository.id);
    let first = match wanted.kind {
        Kind::Manifest => Some(wanted),
        Kind::Tag if is_here(tx, row, &wanted.sha256)? => None,
        Kind::Tag => match trash::find_manifest(tx, &wanted.repository, &wanted.sha256)? {
            Some(manifest) => Some(manifest),
            None => return Err(without_manifest(&wanted)),
        },
    };
    if let Some(first) = first {
        let mut seen = HashSet::from([first.id]);
        visit(tx, row, first, &mut seen, &mut plan)?;
    }
    Ok(plan)
}

/// The manifest of a tag is neither here nor in the trash.
fn without_manifest(entry: &Trashed) -> Error {
    Error::TrashIncomplete {
        repository: entry.repository.clone(),
        digest: entry.digest(),
        missing: vec![entry.sha256],
    }
}

fn is_here(
    tx: &mut Tx<'_>,
    repository_id: Option<i64>,
    digest: &Digest,
) -> std::result::Result<bool, wharf_metadata::Error> {
    match repository_id {
        Some(id) => Ok(manifests::head(tx, id, digest)?.is_some()),
        None => Ok(false),
    }
}

/// Adds a manifest behind its children.
fn visit(
    tx: &mut Tx<'_>,
    repository_id: Option<i64>,
    entry: Trashed,
    seen: &mut HashSet<i64>,
    plan: &mut Plan,
) -> Result<()> {
    for reference in trash::references(tx, entry.id)? {
        if reference.kind != manifests::ReferenceKind::Child || is_here(tx, repository_id, &reference.digest)? {
            continue;
        }
        match trash::find_manifest(tx, &entry.repository, &reference.digest)? {
            Some(child) if seen.insert(child.id) => visit(tx, repository_id, child, seen, plan)?,
            Some(_) => {}
            None => plan.absent_children.push(reference.digest),
        }
    }
    plan.manifests.push(entry);
    Ok(())
}

/// One transaction, as that of a push: locks, links, manifests, tags.
fn commit(tx: &mut Tx<'_>, plan: &Plan, wholes: &[Whole], gone: &str) -> Result<Committed> {
    let wanted = &plan.wanted;
    for entry in wholes.iter().map(|whole| &whole.entry).chain([wanted]) {
        if trash::lock(tx, entry.id)?.is_none() {
            return Err(Error::NotInTrash {
                what: subject(entry),
                hint: gone.to_owned(),
            });
        }
    }
    let repository = repositories::find_or_create(tx, &wanted.repository, State::Indexed(NEW), plan.now)?;
    lock_bytes(tx, repository.id, plan, wholes)?;
    // nothing takes the manifest of a tag from here on
    if wholes.is_empty() && manifests::lock(tx, repository.id, &wanted.sha256)?.is_none() {
        return Err(without_manifest(wanted));
    }
    let mut restored = Restored::nothing(wanted.repository.clone());
    restored.absent_children.clone_from(&plan.absent_children);
    let mut entries: Vec<Entry> = Vec::new();
    for whole in wholes {
        put_manifest(tx, repository.id, whole, plan, &mut entries)?;
        restored.manifests.push(whole.entry.digest());
        put_tags(tx, repository.id, &whole.entry, plan, (&mut restored, &mut entries))?;
    }
    if wanted.kind == Kind::Tag {
        put_tags(tx, repository.id, wanted, plan, (&mut restored, &mut entries))?;
    }
    for entry in &entries {
        mirror::raise(tx, repository.id, entry)?;
    }
    let mut files = Vec::new();
    for entry in wholes.iter().map(|whole| &whole.entry).chain([wanted]) {
        if trash::remove(tx, entry.id)? {
            trash::raise_file(tx, &entry.key())?;
            files.push(entry.key());
        }
    }
    Ok(Committed {
        restored,
        repository_id: repository.id,
        entries,
        files,
    })
}

/// Requires every byte until the transaction ends; what was just seen in the storage without a row
/// gets one. The bytes of the children and the subject that are here are locked as by a push: the
/// collector locks the same before it looks whether anything needs them.
fn lock_bytes(tx: &mut Tx<'_>, repository_id: i64, plan: &Plan, wholes: &[Whole]) -> Result<()> {
    for whole in wholes {
        let own = (whole.entry.sha256, whole.entry.size);
        let parts = whole.blobs.iter().map(|(_, sha256, size)| (*sha256, *size));
        let mut needed: Vec<(Digest, u64)> = parts.chain([own]).collect();
        needed.sort_unstable();
        needed.dedup();
        for (sha256, size) in &needed {
            if blobs::find(tx, sha256)?.is_none() {
                blobs::adopt(tx, (sha256, None), *size, plan.now)?;
            }
        }
        let needed: Vec<Digest> = needed.into_iter().map(|(sha256, _)| sha256).collect();
        let mut named = needed.clone();
        for other in whole.manifest.manifests.iter().chain(&whole.manifest.subject) {
            named.extend(manifests::head(tx, repository_id, &other.digest)?.map(|found| found.sha256));
        }
        let absent = blobs::lock_present(tx, &named, plan.now)?.into_iter();
        let missing = absent
            .map(|absent| absent.digest)
            .filter(|digest| needed.contains(digest));
        let missing: Vec<Digest> = missing.collect();
        if !missing.is_empty() {
            return Err(Error::TrashIncomplete {
                repository: whole.entry.repository.clone(),
                digest: whole.entry.digest(),
                missing,
            });
        }
    }
    Ok(())
}

fn put_manifest(
    tx: &mut Tx<'_>,
    repository_id: i64,
    whole: &Whole,
    plan: &Plan,
    entries: &mut Vec<Entry>,
) -> std::result::Result<(), wharf_metadata::Error> {
    let names: Vec<Digest> = whole.blobs.iter().map(|(name, ..)| *name).collect();
    for name in links::missing(tx, repository_id, &names)? {
        links::link(tx, repository_id, &name, plan.now)?;
        let stored = whole.blobs.iter().find(|(other, ..)| *other == name);
        let stored = stored.map(|(_, sha256, _)| *sha256).filter(|sha256| *sha256 != name);
        let both = [Some(name), stored].into_iter().flatten();
        entries.extend(both.map(Entry::Layer));
    }
    let entry = &whole.entry;
    let names = std::iter::once(entry.sha256).chain(entry.sha512);
    entries.extend(names.map(Entry::Revision));
    if manifests::head(tx, repository_id, &entry.sha256)?.is_some() {
        // pushed again since
        return Ok(());
    }
    let (manifest, references) = (&whole.manifest, references(&whole.manifest));
    let mut new = manifests::NewManifest {
        sha256: entry.sha256,
        sha512: entry.sha512.filter(|_| entry.is_sha512),
        media_type: &entry.media_type,
        size: entry.size,
        artifact_type: manifest.artifact_type.as_deref(),
        config_media_type: manifest.config.as_ref().map(|config| config.media_type.as_str()),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
        annotations: &manifest.annotations,
        references: &references,
        pushed_by: &entry.pushed_by,
        pushed_at: entry.pushed_at,
    };
    manifests::insert(tx, repository_id, &new)?;
    if entry.sha512.is_some() && !entry.is_sha512 {
        // it got its second name later
        new.sha512 = entry.sha512;
        manifests::insert(tx, repository_id, &new)?;
    }
    match manifests::head(tx, repository_id, &entry.sha256)? {
        // it has its whole time again, with or without a tag
        Some(head) => tags::begin_untagged(tx, (repository_id, head.id), plan.now),
        None => Ok(()),
    }
}

fn put_tags(
    tx: &mut Tx<'_>,
    repository_id: i64,
    entry: &Trashed,
    plan: &Plan,
    (restored, entries): (&mut Restored, &mut Vec<Entry>),
) -> Result<()> {
    let Some(head) = manifests::head(tx, repository_id, &entry.sha256)? else {
        return Ok(());
    };
    for TrashedTag { tag, is_sha512 } in &entry.tags {
        match tags::get(tx, repository_id, tag)? {
            Some(target) if target.manifest_id == head.id => continue,
            Some(target) if !plan.is_forced => {
                if plan.tag.as_ref() == Some(tag) {
                    return Err(Error::TagTaken {
                        repository: entry.repository.clone(),
                        tag: tag.clone(),
                        digest: Box::new(target.digest),
                    });
                }
                let (tag, digest) = (tag.clone(), target.digest);
                restored.kept_tags.push(KeptTag { tag, digest });
            }
            _ => {
                let named = entry.sha512.filter(|_| *is_sha512).unwrap_or(entry.sha256);
                let change = tags::Change {
                    repository_id,
                    tag,
                    action: tags::Action::Restored,
                    by: &plan.by,
                    at: plan.now,
                };
                tags::put(tx, &change, head.id, &named)?;
                restored.tags.push(tag.clone());
                entries.push(Entry::Tag(tag.clone()));
            }
        }
    }
    Ok(())
}
