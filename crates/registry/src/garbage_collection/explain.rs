//! Who holds a blob or manifest, since when, and when it goes.

use wharf_metadata::blobs::{self, Blob, State};
use wharf_metadata::garbage_collection::{self as queue, HeldManifest, Holder, Kind};
use wharf_metadata::trash::{self, Trashed};
use wharf_metadata::{Timestamp, Tx, manifests, tags};
use wharf_oci::{Digest, RepositoryName, Tag};

use super::{Collector, micros};
use crate::Result;

/// Holders, and manifests of each, that are told.
const MOST_TOLD: usize = 100;

type Answer<T> = std::result::Result<T, wharf_metadata::Error>;

/// What is to be said about a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The digest that was asked for.
    pub digest: Digest,
    /// The blob; `None` when the registry has none.
    pub blob: Option<Blob>,
    /// What holds it, by repository.
    pub holds: Vec<Hold>,
    /// What holds it in the trash, and until when.
    pub trashed: Vec<Trashed>,
    /// Whether there are more holders than are told.
    pub is_cut: bool,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Whether anything may be collected now at all.
    pub is_allowed: bool,
}

/// What holds a blob in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The repository.
    pub repository: RepositoryName,
    /// When the blob was linked there, if it is.
    pub linked_at: Option<Timestamp>,
    /// When the link goes, where no manifest needs it.
    pub link_goes_at: Option<Timestamp>,
    /// The manifests that point to the blob, with their tags.
    pub referenced_by: Vec<(Digest, Vec<Tag>)>,
    /// The blob as a manifest of the repository.
    pub manifest: Option<Kept>,
}

/// Why a manifest stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was last pushed.
    pub pushed_at: Timestamp,
    /// The tags that point to it.
    pub tags: Vec<Tag>,
    /// When a tag last left it.
    pub tag_left_at: Option<Timestamp>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// When it is looked at again, if it waits for that.
    pub goes_at: Option<Timestamp>,
}

/// What becomes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    Unknown,
    /// Something needs it.
    Held,
    /// Only links hold it that no manifest needs: its bytes go at this time.
    Unneeded(Timestamp),
    /// Nothing holds it: its bytes go at this time.
    Unheld(Timestamp),
    /// It is condemned: its bytes go at this time.
    Condemned(Timestamp),
    /// Its bytes are being deleted, until this time at the latest.
    Deleting(Timestamp),
    /// Its bytes are on their way since this time.
    Writing(Timestamp),
}

impl Collector {
    /// Says who holds a digest, and when it goes if nobody does.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub async fn explain(&self, digest: &Digest) -> Result<Explanation> {
        let is_allowed = self.epoch().await?.is_some();
        let (digest, grace, untagged) = (*digest, micros(self.policy.grace), self.untagged_after());
        let explained = self.parts.metadata.read_long(move |tx| {
            let Some(blob) = blobs::find(tx, &digest)? else {
                return Ok(Explanation {
                    digest,
                    blob: None,
                    holds: Vec::new(),
                    trashed: Vec::new(),
                    is_cut: false,
                    verdict: Verdict::Unknown,
                    is_allowed,
                });
            };
            let found = queue::holders(tx, &blob, MOST_TOLD)?;
            let mut holds = Vec::with_capacity(found.repositories.len());
            for holder in found.repositories {
                holds.push(hold(tx, &blob, holder, (grace, untagged))?);
            }
            let trashed = trash::holders(tx, &blob.sha256, blob.sha512.as_ref(), MOST_TOLD)?;
            let verdict = match trashed.is_empty() {
                true => verdict(&blob, &holds, grace),
                false => Verdict::Held,
            };
            Ok::<_, wharf_metadata::Error>(Explanation {
                digest,
                verdict,
                trashed,
                blob: Some(blob),
                holds,
                is_cut: found.is_cut,
                is_allowed,
            })
        });
        Ok(explained.await?)
    }
}

fn hold(tx: &mut Tx<'_>, blob: &Blob, holder: Holder, (grace, untagged): (i64, Option<i64>)) -> Answer<Hold> {
    let mut referenced_by = Vec::with_capacity(holder.referenced_by.len());
    for digest in &holder.referenced_by {
        let tags = match manifests::head(tx, holder.repository_id, digest)? {
            Some(manifest) => tags::of_manifest(tx, manifest.id)?,
            None => Vec::new(),
        };
        referenced_by.push((*digest, tags));
    }
    let link_goes_at = holder
        .linked_at
        .filter(|_| referenced_by.is_empty())
        .map(|linked_at| linked_at.max(blob.touched_at).plus(grace));
    let manifest = match holder.manifest {
        Some(manifest) => Some(kept(tx, holder.repository_id, manifest, (grace, untagged))?),
        None => None,
    };
    Ok(Hold {
        repository: holder.repository,
        linked_at: holder.linked_at,
        link_goes_at,
        referenced_by,
        manifest,
    })
}

fn kept(
    tx: &mut Tx<'_>,
    repository_id: i64,
    manifest: HeldManifest,
    (grace, untagged): (i64, Option<i64>),
) -> Answer<Kept> {
    let referrer = queue::queued(tx, (Kind::Referrer, repository_id, manifest.id))?;
    let waiting = queue::queued(tx, (Kind::Untagged, repository_id, manifest.id))?;
    let goes_at = [
        referrer.map(|since| since.plus(grace)),
        waiting.and_then(|since| untagged.map(|after| since.plus(after.max(grace)))),
    ];
    let is_tagged = !manifest.tags.is_empty();
    Ok(Kept {
        pushed_at: manifest.pushed_at,
        tag_left_at: manifest.tag_left_at,
        subject: manifest.subject,
        goes_at: goes_at.into_iter().flatten().min().filter(|_| !is_tagged),
        tags: manifest.tags,
    })
}

fn verdict(blob: &Blob, holds: &[Hold], grace: i64) -> Verdict {
    let is_needed = |hold: &Hold| hold.manifest.is_some() || !hold.referenced_by.is_empty();
    if holds.iter().any(is_needed) {
        return Verdict::Held;
    }
    match blob.state {
        State::Writing => Verdict::Writing(blob.state_at),
        State::Deleting { deadline } => Verdict::Deleting(deadline),
        State::Condemned => Verdict::Condemned(blob.state_at.plus(grace)),
        State::Present => match holds.iter().filter_map(|hold| hold.link_goes_at).max() {
            Some(at) => Verdict::Unneeded(at.plus(grace)),
            None => Verdict::Unheld(blob.touched_at.plus(2 * grace)),
        },
    }
}
