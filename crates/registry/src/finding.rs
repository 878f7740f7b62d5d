//! What is wrong with a storage, or between storage and index: counted, with some examples.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_oci::RepositoryName;

/// Examples of each kind that are kept.
const MOST_EXAMPLES: usize = 10;

/// What can be wrong. The order is that of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// The index has a blob whose bytes are not in the storage.
    MissingBlob,
    /// The bytes of a blob have another length than the index says.
    WrongSize,
    /// The bytes of a blob are others than its digest says.
    WrongBytes,
    /// A layer link points to bytes that are not there.
    DanglingLayer,
    /// A manifest link points to bytes that are not there.
    DanglingManifest,
    /// A tag points to a manifest that its repository does not have.
    DanglingTag,
    /// A manifest that cannot be served, such as one of schema 1.
    UnreadableManifest,
    /// A link file that does not hold a digest.
    BrokenLink,
    /// The folder of a tag, manifest or layer without its link: deleted by another registry, or
    /// interrupted.
    HalfWritten,
    /// A folder or file that could not be read.
    Unreadable,
    /// A file or folder that no registry writes.
    Foreign,
    /// A repository that the index does not know.
    UnindexedRepository,
    /// A tag that the index does not know.
    UnindexedTag,
    /// A manifest that the index does not know.
    UnindexedManifest,
    /// A layer link that the index does not know.
    UnindexedLayer,
    /// Bytes that the index does not know.
    UnindexedBlob,
    /// A tag of the index that the storage does not show.
    UnlinkedTag,
    /// A manifest of the index that the storage does not show.
    UnlinkedManifest,
    /// A layer of the index that the storage does not show.
    UnlinkedLayer,
    /// A tag that points to something else in the index than in the storage.
    DifferentTag,
    /// A manifest whose row or references differ from its bytes.
    DifferentManifest,
    /// The two names of an object belong to different bytes.
    DifferentAlias,
    /// Bytes that no repository and no manifest names. The garbage collector removes them.
    OrphanBlob,
}

impl FindingKind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 23] = [
        Self::MissingBlob,
        Self::WrongSize,
        Self::WrongBytes,
        Self::DanglingLayer,
        Self::DanglingManifest,
        Self::DanglingTag,
        Self::UnreadableManifest,
        Self::BrokenLink,
        Self::HalfWritten,
        Self::Unreadable,
        Self::Foreign,
        Self::UnindexedRepository,
        Self::UnindexedTag,
        Self::UnindexedManifest,
        Self::UnindexedLayer,
        Self::UnindexedBlob,
        Self::UnlinkedTag,
        Self::UnlinkedManifest,
        Self::UnlinkedLayer,
        Self::DifferentTag,
        Self::DifferentManifest,
        Self::DifferentAlias,
        Self::OrphanBlob,
    ];

    /// The name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingBlob => "missing-blob",
            Self::WrongSize => "wrong-size",
            Self::WrongBytes => "wrong-bytes",
            Self::DanglingLayer => "dangling-layer",
            Self::DanglingManifest => "dangling-manifest",
            Self::DanglingTag => "dangling-tag",
            Self::UnreadableManifest => "unreadable-manifest",
            Self::BrokenLink => "broken-link",
            Self::HalfWritten => "half-written",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
            Self::UnindexedRepository => "unindexed-repository",
            Self::UnindexedTag => "unindexed-tag",
            Self::UnindexedManifest => "unindexed-manifest",
            Self::UnindexedLayer => "unindexed-layer",
            Self::UnindexedBlob => "unindexed-blob",
            Self::UnlinkedTag => "unlinked-tag",
            Self::UnlinkedManifest => "unlinked-manifest",
            Self::UnlinkedLayer => "unlinked-layer",
            Self::DifferentTag => "different-tag",
            Self::DifferentManifest => "different-manifest",
            Self::DifferentAlias => "different-alias",
            Self::OrphanBlob => "orphan-blob",
        }
    }

    /// The kind that [`as_str`](Self::as_str) names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether something is lost, or index and storage disagree: what makes a verification fail. The
    /// rest is litter that hides nothing.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::HalfWritten | Self::Foreign | Self::OrphanBlob)
    }
}

/// Where an entry is that the other side does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The index has it, the storage does not.
    Index,
    /// The storage has it; it is not in the index, or of no use.
    Storage,
    /// Both have it, but not the same.
    Both,
}

impl Side {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Storage => "storage",
            Self::Both => "both",
        }
    }
}

impl FindingKind {
    /// Where it is.
    pub const fn side(self) -> Side {
        match self {
            Self::MissingBlob | Self::UnlinkedTag | Self::UnlinkedManifest | Self::UnlinkedLayer => Side::Index,
            Self::WrongSize
            | Self::WrongBytes
            | Self::DifferentTag
            | Self::DifferentManifest
            | Self::DifferentAlias => Side::Both,
            Self::DanglingLayer
            | Self::DanglingManifest
            | Self::DanglingTag
            | Self::UnreadableManifest
            | Self::BrokenLink
            | Self::HalfWritten
            | Self::Unreadable
            | Self::Foreign
            | Self::UnindexedRepository
            | Self::UnindexedTag
            | Self::UnindexedManifest
            | Self::UnindexedLayer
            | Self::UnindexedBlob
            | Self::OrphanBlob => Side::Storage,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// In which repository, by its folder; `None` for bytes and what lies outside.
    pub repository: Option<RepositoryName>,
    /// Which tag, digest or place.
    pub subject: String,
    /// More about it; may be empty.
    pub detail: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(repository) = &self.repository {
            write!(f, "{repository} ")?;
        }
        f.write_str(&self.subject)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// Findings of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

/// Counts findings while work goes on.
#[derive(Debug, Default)]
pub struct Findings(Mutex<BTreeMap<FindingKind, Tally>>);

impl Findings {
    /// Counts one. The first ones of a kind are kept as examples and are worth a line in the log.
    pub fn add(&self, finding: &Finding) {
        let is_example = {
            let mut tallies = self.tallies();
            let tally = tallies.entry(finding.kind).or_default();
            tally.count += 1;
            let is_example = tally.examples.len() < MOST_EXAMPLES;
            if is_example {
                tally.examples.push(finding.to_string());
            }
            is_example
        };
        let kind = finding.kind.as_str();
        if is_example && finding.kind.is_fault() {
            tracing::warn!(kind, "{finding}");
        } else {
            tracing::debug!(kind, "{finding}");
        }
    }

    /// Counts one of a repository.
    pub(crate) fn note(
        &self,
        kind: FindingKind,
        repository: &RepositoryName,
        subject: impl std::fmt::Display,
        detail: impl std::fmt::Display,
    ) {
        self.add(&Finding {
            kind,
            repository: Some(repository.clone()),
            subject: subject.to_string(),
            detail: detail.to_string(),
        });
    }

    /// Adds what others have counted.
    pub(crate) fn merge(&self, others: BTreeMap<FindingKind, Tally>) {
        let mut tallies = self.tallies();
        for (kind, other) in others {
            let tally = tallies.entry(kind).or_default();
            tally.count += other.count;
            let room = MOST_EXAMPLES.saturating_sub(tally.examples.len());
            tally.examples.extend(other.examples.into_iter().take(room));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.tallies().clear();
    }

    /// What there is, by kind.
    pub fn read(&self) -> BTreeMap<FindingKind, Tally> {
        self.tallies().clone()
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<FindingKind, Tally>> {
        // a tally is whole after each statement
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
