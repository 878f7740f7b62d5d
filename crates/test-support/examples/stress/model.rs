//! What was acknowledged.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::content::Dice;

/// A blob that a manifest names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blob {
    pub digest: String,
    /// The sha256 under which its bytes are stored, when it is named by another digest.
    pub stored: String,
    pub size: usize,
    pub media_type: String,
}

/// One manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    pub digest: String,
    pub media_type: String,
    pub bytes: String,
    pub blobs: Vec<Blob>,
    pub subject: Option<String>,
}

/// Manifests that were pushed together: an image, or an index after its children, and what refers to it.
pub struct Family {
    pub repository: String,
    /// Where in `members` the image or index is.
    pub head: usize,
    pub members: Vec<Member>,
    /// Held for reading while somebody relies on it, for writing while it goes.
    pub life: RwLock<Life>,
}

/// Whether a family is there.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub is_alive: bool,
    /// A tag that points to its head until the family's owner says otherwise.
    pub tag: Option<String>,
}

impl Family {
    pub fn head(&self) -> Option<&Member> {
        self.members.get(self.head)
    }

    pub fn referrers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.subject.is_some())
    }
}

/// What one client pushed and may delete.
#[derive(Default)]
pub struct Holdings {
    pub families: Vec<Arc<Family>>,
    /// (repository, tag) -> digest
    pub tags: BTreeMap<(String, String), String>,
    /// (repository, digest) of what must not come back.
    pub gone: Vec<(String, String)>,
    /// (repository, digest) of referrers whose subject was deleted: the collector takes them.
    pub doomed: Vec<(String, String)>,
}

/// The images of the tag that everybody moves.
#[derive(Default)]
pub struct Hot {
    /// Acknowledged, or under way.
    pub pushed: Mutex<Vec<Arc<Family>>>,
}

/// What all clients know.
pub struct Model {
    pub seed: u64,
    pub holdings: Vec<Mutex<Holdings>>,
    /// Read while the tag is moved and pulled, written while old images of it are deleted.
    pub hot: RwLock<Hot>,
    /// Whether a push to the hot tag was acknowledged.
    pub hot_is_there: AtomicBool,
}

impl Model {
    pub fn new(seed: u64, clients: usize) -> Self {
        Self {
            seed,
            holdings: (0..clients).map(|_| Mutex::default()).collect(),
            hot: RwLock::default(),
            hot_is_there: AtomicBool::new(false),
        }
    }

    pub fn of(&self, client: usize) -> MutexGuard<'_, Holdings> {
        locked(&self.holdings[client])
    }

    /// A family of anybody.
    pub fn any(&self, dice: &mut Dice) -> Option<Arc<Family>> {
        let holdings = locked(dice.pick(&self.holdings)?);
        dice.pick(&holdings.families).cloned()
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for holdings in &self.holdings {
            let holdings = locked(holdings);
            snapshot
                .live
                .extend(holdings.families.iter().map(|family| Kept::of(family)));
            let tags = holdings.tags.iter();
            snapshot.tags.extend(tags.map(|((repository, tag), digest)| Tagged {
                repository: repository.clone(),
                tag: tag.clone(),
                digest: digest.clone(),
            }));
            snapshot.gone.extend(holdings.gone.iter().cloned());
            snapshot.doomed.extend(holdings.doomed.iter().cloned());
        }
        let hot = self.hot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot
            .live
            .extend(locked(&hot.pushed).iter().map(|family| Kept::of(family)));
        // a push that went unanswered may have been repeated under the same digest
        let live: HashSet<(String, String)> = snapshot.live.iter().flat_map(Kept::names).collect();
        snapshot.gone.retain(|name| !live.contains(name));
        snapshot.doomed.retain(|name| !live.contains(name));
        snapshot
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The model in a file, for checks after the clients have ended.
#[derive(Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub live: Vec<Kept>,
    pub tags: Vec<Tagged>,
    pub gone: Vec<(String, String)>,
    pub doomed: Vec<(String, String)>,
}

/// A family in a file.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    pub repository: String,
    pub members: Vec<Member>,
}

/// A tag in a file.
#[derive(Serialize, Deserialize)]
pub struct Tagged {
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

impl Kept {
    fn of(family: &Family) -> Self {
        Self {
            repository: family.repository.clone(),
            members: family.members.clone(),
        }
    }

    fn names(&self) -> impl Iterator<Item = (String, String)> {
        self.members
            .iter()
            .map(|member| (self.repository.clone(), member.digest.clone()))
    }
}

impl Snapshot {
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?).with_context(|| format!("write {}", path.display()))
    }

    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}
