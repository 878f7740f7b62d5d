//! What the index knows of a repository before it is compared with its folder.

use std::collections::{HashMap, HashSet};

use wharf_metadata::directories::Directory;
use wharf_metadata::{Tx, directories, links, manifests, repositories, tags};
use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_storage::FolderTimes;

/// Rows that are read in one go.
const PAGE: usize = 5_000;
/// A folder that changed less than this before it was read may have changed once more in the same
/// tick of the file system's clock: in nanoseconds.
const TICK: i64 = 2_000_000_000;

/// What the index knows of a repository.
#[derive(Default)]
pub(crate) struct Known {
    /// The repository's row; `None` when the index does not know it.
    pub id: Option<i64>,
    /// Its manifests, under all their names.
    pub manifests: HashSet<Digest>,
    /// Its layers, under all their names; `None` when their folders have not changed since they were
    /// last read.
    pub layers: Option<HashSet<Digest>>,
    /// Its tags, and how their links looked.
    pub tags: HashMap<Tag, (Digest, Option<tags::Fingerprint>)>,
    /// The folders of the layers as they were when they were last read.
    pub directories: Vec<Directory>,
}

impl Known {
    /// Whether the index knew it before this comparison.
    pub const fn is_old(&self) -> bool {
        self.id.is_some()
    }
}

/// Reads it. With `may_skip` the layers are left out when nothing came or went in their folders.
pub(super) fn read(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    times: &FolderTimes,
    may_skip: bool,
) -> Result<Known, wharf_metadata::Error> {
    let mut known = Known::default();
    let Some(repository) = repositories::by_storage_name(tx, name)? else {
        known.layers = Some(HashSet::new());
        return Ok(known);
    };
    known.id = Some(repository.id);
    known.directories = directories::of(tx, repository.id)?;
    if !(may_skip && known.directories == seen(repository.id, times, None)) {
        known.layers = Some(layers(tx, repository.id)?);
    }
    let mut after = None;
    loop {
        let page = manifests::page_names_of(tx, repository.id, after.as_ref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (sha256, sha512) in page {
            known.manifests.insert(sha256);
            known.manifests.extend(sha512);
        }
    }
    let mut after: Option<Tag> = None;
    loop {
        let page = tags::links(tx, repository.id, after.as_ref().map(Tag::as_str), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.tag.clone());
        let row = |linked: tags::Linked| (linked.tag, (linked.digest, linked.link));
        known.tags.extend(page.into_iter().map(row));
    }
    Ok(known)
}

fn layers(tx: &mut Tx<'_>, repository_id: i64) -> Result<HashSet<Digest>, wharf_metadata::Error> {
    let (mut layers, mut after) = (HashSet::new(), 0);
    loop {
        let page = links::page(tx, repository_id, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(layers) };
        after = last.blob_id;
        for link in page {
            layers.insert(link.sha256);
            layers.extend(link.sha512.filter(|_| link.is_alias));
        }
    }
}

/// The folders of the layers as they will be remembered, in the order of their paths. With a time
/// (nanoseconds since 1970), those are left out that changed too shortly before it.
pub(super) fn seen(repository_id: i64, times: &FolderTimes, now: Option<i64>) -> Vec<Directory> {
    let folders = [
        ("layers/sha256", times.layers_sha256),
        ("layers/sha512", times.layers_sha512),
    ];
    let is_settled = |mtime: &i64| now.is_none_or(|now| now.saturating_sub(*mtime) > TICK);
    let directory = |(path, mtime): (&str, Option<i64>)| {
        Some(Directory {
            repository_id,
            path: path.to_owned(),
            mtime: mtime.filter(is_settled)?,
        })
    };
    folders.into_iter().filter_map(directory).collect()
}
