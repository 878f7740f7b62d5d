//! Compares one repository with its folder and makes the index follow.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use wharf_metadata::{Entry, bulk, repositories, tags};
use wharf_oci::{Algorithm, Digest, RepositoryName, Tag};
use wharf_storage::{Detail, ErrorKind, FolderTimes, LinkRecord, LinkState};

use super::Parts;
use super::found::{Change, FoundLayer, FoundManifest, FoundTag};
use super::known::{self, Known};
use super::progress::{Progress, add};
use crate::finding::FindingKind;
use crate::mirror::{fingerprint_row, link_of};
use crate::{Error, Result, content_type};

/// Rows that one transaction takes over, roughly: some milliseconds of the writer.
const BATCH: usize = 2_000;
/// Transactions that may be under way for one repository while its folder is read further.
const IN_FLIGHT: usize = 2;
/// Larger files are no manifests, in bytes.
pub(super) const LARGEST_MANIFEST: u64 = 32 << 20;
/// Bytes and number of manifests that are in memory together.
const MANIFESTS: (u64, usize) = (4 << 20, 500);
/// The size of a link file with a sha256, and of one with a newline behind it.
const SHA256_LINK: std::ops::RangeInclusive<u64> = 71..=72;

/// Whether requests may change the repository meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    /// They wait for the comparison.
    Waiting,
    /// They go on: each entry is looked at once more while it is held.
    Active,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What seems to have changed.
    Changes,
    /// Every link, but known manifests are believed.
    Links,
    /// Every link and every manifest.
    Everything,
}

/// How repositories are compared.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub epoch: i64,
    pub writers: Writers,
    pub depth: Depth,
    /// Whether rows go whose entries the storage does not show.
    pub removes: bool,
    /// Counts what is done.
    pub progress: Arc<Progress>,
}

/// One repository while it is compared.
struct Comparison<'c> {
    parts: &'c Parts,
    name: &'c RepositoryName,
    pass: &'c Pass,
    known: Known,
    changes: Vec<Change>,
    weight: usize,
    in_flight: VecDeque<BoxFuture<'c, Result<u64>>>,
    applied: u64,
}

/// A tag whose link is to be read.
struct UnreadTag {
    tag: Tag,
    before: Option<Digest>,
    /// How its link looked.
    seen: Option<tags::Fingerprint>,
    state: LinkState,
}

impl Parts {
    /// Makes the index follow the folder of one repository. Answers how many entries it changed.
    pub(super) async fn compare(&self, name: &RepositoryName, pass: &Pass) -> Result<u64> {
        if self.is_deleting(name).await? {
            return Ok(0);
        }
        // before anything is read: what changes after it shows next time
        let times = self.storage.walk().times(name).await?;
        let known = self.known(name, &times, pass.depth).await?;
        let mut comparison = Comparison {
            parts: self,
            name,
            pass,
            known,
            changes: Vec::new(),
            weight: 0,
            in_flight: VecDeque::new(),
            applied: 0,
        };
        comparison.follow_layers().await?;
        comparison.follow_manifests().await?;
        // a tag needs its manifest's row
        comparison.settle().await?;
        comparison.follow_tags().await?;
        comparison.finish(&times).await
    }

    /// What is in the folder of a repository that is being deleted goes with it.
    async fn is_deleting(&self, name: &RepositoryName) -> Result<bool> {
        let name = name.clone();
        let found = self.metadata.read(move |tx| repositories::is_deleting(tx, &name));
        found.await.map_err(Error::from)
    }

    pub(super) async fn known(&self, name: &RepositoryName, times: &FolderTimes, depth: Depth) -> Result<Known> {
        let _turn = self.readers.acquire().await;
        // the folders of a bucket have no times that would tell
        let may_skip = depth == Depth::Changes && !self.storage.is_shared();
        let (name, times) = (name.clone(), *times);
        let known = self
            .metadata
            .read_long(move |tx| known::read(tx, &name, &times, may_skip));
        known.await.map_err(Error::from)
    }
}

impl Comparison<'_> {
    /// Tags are read in the same walk when most of them must be read anyway.
    fn tag_detail(&self) -> Detail {
        if self.known.is_old() && self.pass.depth == Depth::Changes {
            Detail::Stat
        } else {
            Detail::Content
        }
    }

    fn digest_detail(&self) -> Detail {
        match self.pass.depth {
            Depth::Everything => Detail::Content,
            Depth::Changes | Depth::Links => Detail::Stat,
        }
    }

    async fn follow_layers(&mut self) -> Result<()> {
        let Some(mut gone) = self.known.layers.take() else {
            return Ok(());
        };
        let mut walk = self.parts.storage.walk().layers(self.name, self.digest_detail());
        while let Some(chunk) = walk.next().await? {
            add(&self.pass.progress.layers, chunk.found.len());
            self.note_foreign(&chunk.foreign);
            let mut new = Vec::new();
            for link in chunk.found {
                if !self.is_there(&Entry::Layer(link.name), &link.state) || gone.remove(&link.name) {
                    continue;
                }
                new.push((link.name, link.state));
            }
            let new = self.stored(new, Entry::Layer).await?;
            self.add_layers(new).await?;
        }
        self.remove(gone.into_iter().map(Entry::Layer)).await
    }

    /// Finds the bytes of layers by their rows, or else in the storage.
    async fn add_layers(&mut self, new: Vec<(Digest, Digest)>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let digests: Vec<Digest> = new.iter().map(|(_, stored)| *stored).collect();
        let rows = {
            let _turn = self.parts.readers.acquire().await;
            let wanted = digests.clone();
            let rows = self.parts.metadata.read_long(move |tx| bulk::blob_ids(tx, &wanted));
            rows.await.map_err(Error::from)?
        };
        let unknown: Vec<Digest> = digests
            .into_iter()
            .filter(|digest| !rows.contains_key(digest))
            .collect();
        let sizes = self.parts.storage.blobs().stat_all(&unknown).await?;
        let mut sizes = unknown.into_iter().zip(sizes);
        for (name, stored) in new {
            let (blob_id, size) = match rows.get(&stored) {
                Some(id) => (Some(*id), Some(0)),
                // in the same order
                None => (None, sizes.next().and_then(|(_, size)| size)),
            };
            match size {
                Some(size) => {
                    self.push(Change::Layer(FoundLayer {
                        name,
                        stored,
                        size,
                        blob_id,
                    }))
                    .await?;
                }
                None => self.note(FindingKind::DanglingLayer, name, "its bytes are not in the storage"),
            }
        }
        Ok(())
    }

    async fn follow_manifests(&mut self) -> Result<()> {
        let mut gone = std::mem::take(&mut self.known.manifests);
        let mut walk = self.parts.storage.walk().revisions(self.name, self.digest_detail());
        while let Some(chunk) = walk.next().await? {
            add(&self.pass.progress.manifests, chunk.found.len());
            self.note_foreign(&chunk.foreign);
            let (mut new, mut known) = (Vec::new(), Vec::new());
            for link in chunk.found {
                if !self.is_there(&Entry::Revision(link.name), &link.state) {
                    continue;
                }
                match (gone.remove(&link.name), self.pass.depth) {
                    (false, _) => new.push((link.name, link.state)),
                    (true, Depth::Everything) => known.push((link.name, link.state)),
                    (true, Depth::Changes | Depth::Links) => {}
                }
            }
            let (new, known) = (
                self.stored(new, Entry::Revision).await?,
                self.stored(known, Entry::Revision).await?,
            );
            self.add_manifests(new, Change::Manifest).await?;
            self.add_manifests(known, Change::Known).await?;
        }
        self.remove(gone.into_iter().map(Entry::Revision)).await
    }

    /// Reads manifests in groups that fit into memory.
    async fn add_manifests(
        &mut self,
        links: Vec<(Digest, Digest)>,
        change: fn(Box<FoundManifest>) -> Change,
    ) -> Result<()> {
        let stored: Vec<Digest> = links.iter().map(|(_, stored)| *stored).collect();
        let sizes = self.parts.storage.blobs().stat_all(&stored).await?;
        let (mut group, mut bytes) = (Vec::new(), 0);
        for (link, size) in links.into_iter().zip(sizes) {
            match size {
                None => self.note(
                    FindingKind::DanglingManifest,
                    link.0,
                    "its bytes are not in the storage",
                ),
                Some(size) if size > LARGEST_MANIFEST => {
                    let problem = format!("{size} bytes are too many for a manifest");
                    self.note(FindingKind::UnreadableManifest, link.0, problem);
                }
                Some(size) => {
                    bytes += size;
                    group.push(link);
                }
            }
            if bytes >= MANIFESTS.0 || group.len() >= MANIFESTS.1 {
                self.read_manifests(std::mem::take(&mut group), change).await?;
                bytes = 0;
            }
        }
        self.read_manifests(group, change).await
    }

    async fn read_manifests(
        &mut self,
        group: Vec<(Digest, Digest)>,
        change: fn(Box<FoundManifest>) -> Change,
    ) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let stored: Vec<Digest> = group.iter().map(|(_, stored)| *stored).collect();
        let contents = self.parts.storage.blobs().read_all(&stored, LARGEST_MANIFEST).await?;
        let mut whole: Vec<((Digest, Digest), Option<String>, Bytes)> = Vec::with_capacity(group.len());
        for (link, content) in group.into_iter().zip(contents) {
            match content {
                Ok(Some(bytes)) => {
                    let media_type = self.parts.kept_type(&link.1).await?;
                    whole.push((link, media_type, bytes));
                }
                Ok(None) => self.note(
                    FindingKind::DanglingManifest,
                    link.0,
                    "its bytes are not in the storage",
                ),
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error.into()),
                Err(error) => self.note(FindingKind::Unreadable, link.0, error),
            }
        }
        let read = move || {
            let read = |(link, media_type, bytes): ((Digest, Digest), Option<String>, Bytes)| {
                (link.0, FoundManifest::read(link, media_type.as_deref(), &bytes))
            };
            whole.into_iter().map(read).collect::<Vec<_>>()
        };
        let manifests = tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| Error::unavailable("the registry is stopping", 1))?;
        for (digest, manifest) in manifests {
            match manifest {
                Ok(manifest) => self.push(change(Box::new(manifest))).await?,
                Err(error) => self.note(FindingKind::UnreadableManifest, digest, error),
            }
        }
        Ok(())
    }

    async fn follow_tags(&mut self) -> Result<()> {
        let mut gone = std::mem::take(&mut self.known.tags);
        let mut walk = self.parts.storage.walk().tags(self.name, self.tag_detail());
        while let Some(chunk) = walk.next().await? {
            add(&self.pass.progress.tags, chunk.found.len());
            self.note_foreign(&chunk.foreign);
            let mut unread = Vec::new();
            for link in chunk.found {
                let now = match &link.state {
                    LinkState::Missing => None,
                    LinkState::Stat(fingerprint) | LinkState::Broken(fingerprint) => Some(*fingerprint),
                    LinkState::Whole(record) => Some(record.fingerprint),
                };
                let Some(now) = now else {
                    self.note_half_written(&Entry::Tag(link.name));
                    continue;
                };
                let (before, seen) = match gone.remove(&link.name) {
                    Some((digest, seen)) => (Some(digest), seen),
                    None => (None, None),
                };
                if seen != Some(fingerprint_row(&now)) || self.pass.depth == Depth::Everything {
                    unread.push(UnreadTag {
                        tag: link.name,
                        before,
                        seen,
                        state: link.state,
                    });
                }
            }
            self.add_tags(unread).await?;
        }
        self.remove(gone.into_keys().map(Entry::Tag)).await
    }

    async fn add_tags(&mut self, tags: Vec<UnreadTag>) -> Result<()> {
        let links: Vec<(Entry, LinkState)> = tags
            .iter()
            .map(|found| (Entry::Tag(found.tag.clone()), found.state))
            .collect();
        let records = self.records(links).await?;
        for (found, record) in tags.into_iter().zip(records) {
            let Some(record) = record else { continue };
            let UnreadTag { tag, before, seen, .. } = found;
            let link = fingerprint_row(&record.fingerprint);
            if before == Some(record.digest) && seen == Some(link) {
                continue;
            }
            self.push(Change::Tag(FoundTag {
                tag,
                digest: record.digest,
                link,
                before,
            }))
            .await?;
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// Where the bytes are that links called by digests mean. A link of the size of a sha256 says
    /// what it is called: nobody writes another.
    async fn stored(
        &mut self,
        links: Vec<(Digest, LinkState)>,
        entry: fn(Digest) -> Entry,
    ) -> Result<Vec<(Digest, Digest)>> {
        let mut stored = Vec::with_capacity(links.len());
        let mut unread = Vec::new();
        for (name, state) in links {
            match state {
                LinkState::Stat(fingerprint)
                    if name.algorithm() == Algorithm::Sha256 && SHA256_LINK.contains(&fingerprint.size) =>
                {
                    stored.push((name, name));
                }
                _ => unread.push((name, state)),
            }
        }
        let entries = unread.iter().map(|(name, state)| (entry(*name), *state)).collect();
        let records = self.records(entries).await?;
        let read = |((name, _), record): ((Digest, LinkState), Option<LinkRecord>)| Some((name, record?.digest));
        stored.extend(unread.into_iter().zip(records).filter_map(read));
        // bytes are stored under their sha256 only
        stored.retain(|(name, stored)| {
            let is_usable = stored.algorithm() == Algorithm::Sha256;
            if !is_usable {
                self.note(FindingKind::BrokenLink, entry(*name), "it does not name a sha256");
            }
            is_usable
        });
        Ok(stored)
    }

    /// What links say that the walk came by; those are read that it has only looked at. One that
    /// does not hold a digest is reported and left alone.
    async fn records(&mut self, links: Vec<(Entry, LinkState)>) -> Result<Vec<Option<LinkRecord>>> {
        let mut unread = Vec::new();
        for (entry, state) in &links {
            match state {
                LinkState::Whole(_) | LinkState::Missing => {}
                LinkState::Stat(_) | LinkState::Broken(_) => unread.push(link_of(self.name, entry)),
            }
        }
        let mut read = match unread.is_empty() {
            true => Vec::new(),
            false => self.parts.storage.links().read_all(&unread).await?,
        }
        .into_iter();
        let mut records = Vec::with_capacity(links.len());
        for (entry, state) in links {
            records.push(match state {
                LinkState::Whole(record) => Some(record),
                LinkState::Missing => None,
                LinkState::Stat(_) | LinkState::Broken(_) => match read.next() {
                    Some(Ok(record)) => record,
                    Some(Err(error)) if error.kind() == ErrorKind::Corrupt => {
                        self.note(FindingKind::BrokenLink, entry, "it does not hold a digest");
                        None
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => None,
                },
            });
        }
        Ok(records)
    }

    /// Whether there is a link; a folder without one is counted.
    fn is_there(&self, entry: &Entry, state: &LinkState) -> bool {
        let is_there = !matches!(state, LinkState::Missing);
        if !is_there {
            self.note_half_written(entry);
        }
        is_there
    }

    fn note_half_written(&self, entry: &Entry) {
        self.note(FindingKind::HalfWritten, entry, "there is no link in its folder");
    }

    fn note(&self, kind: FindingKind, subject: impl std::fmt::Display, detail: impl std::fmt::Display) {
        self.pass.progress.findings.note(kind, self.name, subject, detail);
    }

    fn note_foreign(&self, places: &[String]) {
        for place in places {
            self.note(FindingKind::Foreign, place, "");
        }
    }

    async fn remove(&mut self, gone: impl Iterator<Item = Entry> + Send) -> Result<()> {
        for entry in gone {
            if self.pass.removes {
                self.push(Change::Gone(entry)).await?;
            }
        }
        Ok(())
    }

    async fn push(&mut self, change: Change) -> Result<()> {
        self.weight += change.weight();
        self.changes.push(change);
        if self.weight >= BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends the changes off, and waits only when there are too many under way.
    async fn flush(&mut self) -> Result<()> {
        self.weight = 0;
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        // what takes the careful way may be overtaken, and a tag needs its manifest's row
        let is_mixed = changes.iter().any(|change| matches!(change, Change::Tag(_)))
            && changes
                .iter()
                .any(|change| matches!(change, Change::Manifest(_) | Change::Known(_)));
        let mut writing = self.parts.apply(self.name, changes, self.pass).boxed();
        // the first poll hands the work over: the folder is read further while it is done
        match poll_fn(|context| Poll::Ready(writing.poll_unpin(context))).await {
            Poll::Ready(applied) => self.applied += applied?,
            Poll::Pending => self.in_flight.push_back(writing),
        }
        while self.in_flight.len() > if is_mixed { 0 } else { IN_FLIGHT } {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<()> {
        if let Some(writing) = self.in_flight.pop_front() {
            self.applied += writing.await?;
        }
        Ok(())
    }

    /// Waits for what is under way. What was never sent off stays with what follows: a small
    /// repository is one transaction.
    async fn settle(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn finish(mut self, times: &FolderTimes) -> Result<u64> {
        self.flush().await?;
        self.settle().await?;
        let (parts, applied) = (self.parts, self.applied);
        if applied > 0 {
            parts.queue_unneeded(self.name).await?;
        }
        parts.finish(self.name, self.pass, &self.known, times).await?;
        if applied > 0 && self.known.is_old() {
            parts.caches.forget_everything();
        }
        if applied > 0 {
            tracing::debug!(repository = %self.name, changes = applied, "repository follows its folder");
        }
        Ok(applied)
    }
}

impl Parts {
    /// The type that was kept for a manifest, if any.
    async fn kept_type(&self, stored: &Digest) -> Result<Option<String>> {
        let has_one = |types: &std::collections::HashSet<Digest>| types.contains(stored);
        if !has_one(self.types.get_or_try_init(|| content_type::all(&self.storage)).await?) {
            return Ok(None);
        }
        content_type::kept(&self.storage, stored).await
    }
}
