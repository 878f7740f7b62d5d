//! Many rows of one repository at once, for adoption and rebuild: few statements of a bounded size
//! instead of several per row.
//!
//! These functions only add what is not there. An entry that is there already, a sha512 name, or
//! bytes that are being deleted need the careful way, row by row: the caller sorts them out, or
//! takes that way when one of these functions fails.

use std::collections::{HashMap, HashSet};

use wharf_oci::{Digest, Tag};

use crate::dialect::Upsert;
use crate::error::Kind;
use crate::manifests::{self, NewManifest};
use crate::tags::{self, Fingerprint};
use crate::value::{Row, Value, args};
use crate::{Error, Timestamp, Tx, blobs, garbage_collection};

/// Rows of one statement, largest first: few sizes, so that few statements are prepared.
const ROWS: [usize; 3] = [64, 8, 1];
/// Digests of one look-up.
const LOOK_UP: usize = 64;

/// A blob that a repository has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// The name of its bytes in storage, a sha256.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its row, where it is known.
    pub blob_id: Option<i64>,
}

/// A tag that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTag {
    /// The tag.
    pub tag: Tag,
    /// The manifest it points to, a sha256.
    pub sha256: Digest,
    /// How its link looks.
    pub link: Fingerprint,
}

static BLOBS: Upsert = Upsert::new(
    "blobs",
    "sha256",
    "sha256, size, state, generation, owner, state_at, touched_at, created_at",
    &[],
);
static LINKS: Upsert = Upsert::new(
    "repository_blobs",
    "repository_id, blob_id",
    "repository_id, blob_id, is_alias, linked_at",
    &[],
);
static MANIFESTS: Upsert = Upsert::new(
    "manifests",
    "repository_id, sha256",
    "repository_id, sha256, is_sha512, media_type, size, artifact_type, config_media_type, subject, subject_seen, \
     pushed_at, pushed_by, annotations",
    &[],
);
static REFERENCES: Upsert = Upsert::new(
    "manifest_references",
    "manifest_id, position",
    "manifest_id, position, kind, repository_id, digest, size",
    &[],
);
static TAGS: Upsert = Upsert::new(
    "tags",
    "repository_id, name",
    "repository_id, name, manifest_id, is_sha512, updated_at, updated_by, link_size, link_mtime, link_ctime, link_inode",
    &[],
);
const HISTORY: &str =
    "insert into tag_history (repository_id, name, action, digest, at, actor) values (?, ?, ?, ?, ?, ?)";

/// The rows of blobs that have one and are not on their way out, by sha256.
///
/// # Errors
///
/// Failures of the index.
pub fn blob_ids(tx: &mut Tx<'_>, digests: &[Digest]) -> Result<HashMap<Digest, i64>, Error> {
    // the state is looked at here: in the statement SQLite would go by the index of states
    look_up(
        tx,
        "find blobs",
        ("select id, sha256, state from blobs where sha256 in ", &[]),
        digests,
        |row| Ok(matches!(row.int(2)?, blobs::WRITING | blobs::PRESENT)),
    )
}

/// The rows of manifests of a repository that have one, by sha256.
///
/// # Errors
///
/// Failures of the index.
pub fn manifest_ids(tx: &mut Tx<'_>, repository_id: i64, digests: &[Digest]) -> Result<HashMap<Digest, i64>, Error> {
    let sql = "select id, sha256 from manifests where repository_id = ? and sha256 in ";
    look_up(tx, "find manifests", (sql, &[repository_id]), digests, |_| Ok(true))
}

fn look_up(
    tx: &mut Tx<'_>,
    operation: &'static str,
    (select, first): (&str, &[i64]),
    digests: &[Digest],
    counts: impl Fn(&Row<'_>) -> Result<bool, Error>,
) -> Result<HashMap<Digest, i64>, Error> {
    let mut found = HashMap::with_capacity(digests.len());
    let sql = format!("{select}{}", tuple(LOOK_UP));
    for chunk in digests.chunks(LOOK_UP) {
        // the last one again until the list is full: the statement stays the same
        let padded = chunk.iter().chain(std::iter::repeat(&chunk[chunk.len() - 1]));
        let arguments: Vec<Value<'_>> = first
            .iter()
            .map(|value| Value::from(*value))
            .chain(padded.take(LOOK_UP).map(Value::from))
            .collect();
        let rows = tx.all(operation, &sql, &arguments, |row| {
            Ok((row.digest(1)?, row.int(0)?, counts(row)?))
        })?;
        let counted = rows.into_iter().filter(|(.., counts)| *counts);
        found.extend(counted.map(|(digest, id, _)| (digest, id)));
    }
    Ok(found)
}

/// Records bytes that were found in storage, sha256 digest and size each, where there is no row.
/// Answers how many there were.
///
/// # Errors
///
/// Failures of the index.
pub fn add_blobs(tx: &mut Tx<'_>, found: &[(Digest, u64)], now: Timestamp) -> Result<u64, Error> {
    add_blobs_as(tx, found, blobs::PRESENT, now)
}

/// Announces bytes that were found without a row, as a push does before it writes them: whether
/// they are still there is looked at after this, for [`end_orphans`].
///
/// # Errors
///
/// Failures of the index.
pub fn begin_orphans(tx: &mut Tx<'_>, found: &[(Digest, u64)], now: Timestamp) -> Result<(), Error> {
    add_blobs_as(tx, found, blobs::WRITING, now).map(drop)
}

/// Makes those of [`begin_orphans`] present that are there and leaves them to the collector, and
/// removes the others.
///
/// # Errors
///
/// Failures of the index.
pub fn end_orphans(tx: &mut Tx<'_>, there: &[Digest], gone: &[Digest], now: Timestamp) -> Result<(), Error> {
    for digest in there {
        tx.execute(
            "record orphans",
            "update blobs set state = 1, state_at = ?, touched_at = ? where sha256 = ? and state = 0 and owner = ''",
            args![now, now, digest],
        )?;
        if let Some(blob) = blobs::find(tx, digest)? {
            garbage_collection::queue_blob(tx, blob.id, now)?;
        }
    }
    for digest in gone {
        tx.execute(
            "forget orphans",
            "delete from blobs where sha256 = ? and state = 0 and owner = ''",
            args![digest],
        )?;
    }
    Ok(())
}

fn add_blobs_as(tx: &mut Tx<'_>, found: &[(Digest, u64)], state: i64, now: Timestamp) -> Result<u64, Error> {
    let mut values = Vec::with_capacity(found.len() * 8);
    for (sha256, size) in found {
        values.extend([
            sha256.into(),
            (*size).into(),
            Value::from(state),
            Value::from(0_i64),
            "".into(),
            now.into(),
            now.into(),
            now.into(),
        ]);
    }
    insert(tx, "record blobs", &BLOBS, 8, &values)
}

/// Links blobs to a repository, making the rows of those that have none. Answers how many links
/// are new.
///
/// # Errors
///
/// Failures of the index; also when one of the blobs' rows has gone.
pub fn add_layers(tx: &mut Tx<'_>, repository_id: i64, layers: &[NewLayer], now: Timestamp) -> Result<u64, Error> {
    let mut unknown: Vec<(Digest, u64)> = layers
        .iter()
        .filter(|layer| layer.blob_id.is_none())
        .map(|layer| (layer.sha256, layer.size))
        .collect();
    // one order for all writers
    unknown.sort_unstable();
    add_blobs(tx, &unknown, now)?;
    let digests: Vec<Digest> = unknown.iter().map(|(digest, _)| *digest).collect();
    let made = blob_ids(tx, &digests)?;
    let mut ids: Vec<i64> = layers
        .iter()
        .filter_map(|layer| layer.blob_id.or_else(|| made.get(&layer.sha256).copied()))
        .collect();
    if ids.len() < layers.len() {
        return Err(Error::new(Kind::Other, "link blobs", "a blob is on its way out"));
    }
    ids.sort_unstable();
    let mut values = Vec::with_capacity(ids.len() * 4);
    for id in ids {
        values.extend([repository_id.into(), id.into(), false.into(), Value::from(now)]);
    }
    tx.changes_repository(repository_id);
    insert(tx, "link blobs", &LINKS, 4, &values)
}

/// Records manifests, which have no sha512 name, with what they point to and the rows of their
/// bytes. Those that are there already stay as they are. Answers how many are new.
///
/// # Errors
///
/// Failures of the index.
pub fn add_manifests(
    tx: &mut Tx<'_>,
    repository_id: i64,
    found: &[NewManifest<'_>],
    now: Timestamp,
) -> Result<u64, Error> {
    let digests: Vec<Digest> = found.iter().map(|manifest| manifest.sha256).collect();
    let before = manifest_ids(tx, repository_id, &digests)?;
    let mut seen = HashSet::new();
    let mut new: Vec<&NewManifest<'_>> = found
        .iter()
        .filter(|manifest| !before.contains_key(&manifest.sha256) && seen.insert(manifest.sha256))
        .collect();
    new.sort_unstable_by_key(|manifest| manifest.sha256);
    let bytes: Vec<(Digest, u64)> = new.iter().map(|manifest| (manifest.sha256, manifest.size)).collect();
    add_blobs(tx, &bytes, now)?;
    let annotations = new
        .iter()
        .map(|manifest| manifests::annotations_text(manifest.annotations))
        .collect::<Result<Vec<_>, _>>()?;
    let mut values = Vec::with_capacity(new.len() * 12);
    for (manifest, annotations) in new.iter().zip(&annotations) {
        values.extend([
            Value::from(repository_id),
            (&manifest.sha256).into(),
            false.into(),
            manifest.media_type.into(),
            manifest.size.into(),
            manifest.artifact_type.into(),
            manifest.config_media_type.into(),
            manifest.subject.as_ref().into(),
            false.into(),
            manifest.pushed_at.into(),
            manifest.pushed_by.into(),
            annotations.into(),
        ]);
    }
    tx.changes_repository(repository_id);
    let added = insert(tx, "record manifests", &MANIFESTS, 12, &values)?;
    let made: Vec<Digest> = new.iter().map(|manifest| manifest.sha256).collect();
    let ids = manifest_ids(tx, repository_id, &made)?;
    add_references(tx, repository_id, &new, &ids)?;
    Ok(added)
}

fn add_references(
    tx: &mut Tx<'_>,
    repository_id: i64,
    new: &[&NewManifest<'_>],
    ids: &HashMap<Digest, i64>,
) -> Result<(), Error> {
    let mut values = Vec::new();
    for manifest in new {
        let Some(id) = ids.get(&manifest.sha256) else { continue };
        for (position, reference) in manifest.references.iter().enumerate() {
            values.extend([
                Value::from(*id),
                position.into(),
                reference.kind.column().into(),
                repository_id.into(),
                (&reference.digest).into(),
                reference.size.into(),
            ]);
        }
    }
    insert(tx, "record references", &REFERENCES, 6, &values)?;
    Ok(())
}

/// Lets the referrers of a repository know which of their subjects are there (consistency rule 2):
/// after [`add_manifests`], which does not look.
///
/// # Errors
///
/// Failures of the index.
pub fn mark_subjects_seen(tx: &mut Tx<'_>, repository_id: i64) -> Result<(), Error> {
    const OPERATION: &str = "mark subjects seen";
    for select in [
        "select distinct m.subject from manifests m join manifests s on s.repository_id = m.repository_id \
         and s.sha256 = m.subject where m.repository_id = ? and m.subject is not null and m.subject_seen = 0",
        "select distinct m.subject from manifests m join manifests s on s.repository_id = m.repository_id \
         and s.sha512 = m.subject where m.repository_id = ? and m.subject is not null and m.subject_seen = 0",
    ] {
        let subjects = tx.all(OPERATION, select, args![repository_id], |row| row.digest(0))?;
        tx.changes_nothing_remembered();
        for subject in subjects {
            tx.execute(
                OPERATION,
                "update manifests set subject_seen = 1 where repository_id = ? and subject = ? and subject_seen = 0",
                args![repository_id, &subject],
            )?;
        }
    }
    Ok(())
}

/// Records tags that are not there yet, with a line in their history. Answers those whose manifest
/// the index does not have: they were left out.
///
/// # Errors
///
/// Failures of the index.
pub fn add_tags(tx: &mut Tx<'_>, repository_id: i64, found: &[NewTag], now: Timestamp) -> Result<Vec<NewTag>, Error> {
    let mut digests: Vec<Digest> = found.iter().map(|tag| tag.sha256).collect();
    digests.sort_unstable();
    digests.dedup();
    let ids = manifest_ids(tx, repository_id, &digests)?;
    let (mut new, mut dangling): (Vec<&NewTag>, Vec<NewTag>) = (Vec::new(), Vec::new());
    for tag in found {
        if ids.contains_key(&tag.sha256) {
            new.push(tag);
        } else {
            dangling.push(tag.clone());
        }
    }
    new.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
    let new_to_history = tags::new_to_history(tx, repository_id, new.iter().map(|tag| (&tag.tag, &tag.sha256)))?;
    let (mut rows, mut history) = (Vec::with_capacity(new.len() * 10), Vec::with_capacity(new.len() * 6));
    for tag in &new {
        rows.extend([
            Value::from(repository_id),
            (&tag.tag).into(),
            ids.get(&tag.sha256).copied().into(),
            false.into(),
            now.into(),
            "".into(),
            tag.link.size.into(),
            tag.link.mtime.into(),
            tag.link.ctime.into(),
            tag.link.inode.cast_signed().into(),
        ]);
    }
    for (tag, digest) in new_to_history {
        history.extend([
            Value::from(repository_id),
            tag.into(),
            tags::Action::Found.column().into(),
            digest.into(),
            now.into(),
            "".into(),
        ]);
    }
    tx.changes_repository(repository_id);
    insert(tx, "record tags", &TAGS, 10, &rows)?;
    insert_with(tx, "note the history of tags", HISTORY, 6, &history)?;
    Ok(dangling)
}

fn insert(
    tx: &mut Tx<'_>,
    operation: &'static str,
    upsert: &Upsert,
    width: usize,
    values: &[Value<'_>],
) -> Result<u64, Error> {
    let single = tx.upsert_sql(upsert).to_owned();
    insert_with(tx, operation, &single, width, values)
}

/// Runs an insert of one row of `width` values for many rows.
fn insert_with(
    tx: &mut Tx<'_>,
    operation: &'static str,
    single: &str,
    width: usize,
    values: &[Value<'_>],
) -> Result<u64, Error> {
    let one = tuple(width);
    let (mut rest, mut inserted) = (values, 0);
    for rows in ROWS {
        if rest.len() < rows * width {
            continue;
        }
        let many = vec![one.as_str(); rows].join(", ");
        let sql = single.replacen(&one, &many, 1);
        while rest.len() >= rows * width {
            let (now, later) = rest.split_at(rows * width);
            inserted += tx.execute(operation, &sql, now)?;
            rest = later;
        }
    }
    Ok(inserted)
}

/// `(?, ?, ?)`
fn tuple(width: usize) -> String {
    format!("({})", vec!["?"; width].join(", "))
}
