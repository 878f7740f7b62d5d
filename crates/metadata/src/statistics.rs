//! Pulls and pushes, counted in batches off the hot path.

use wharf_oci::{Digest, Tag};

use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Error, Timestamp, Tx, manifests};

/// Pulls of one manifest since the last batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulls {
    /// The repository.
    pub repository_id: i64,
    /// The manifest, by either of its names.
    pub manifest: Digest,
    /// The tag it was asked for by, if it was.
    pub tag: Option<Tag>,
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// Pushes to one repository since the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushes {
    /// The repository.
    pub repository_id: i64,
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// How often something was pulled, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// How often.
    pub count: u64,
    /// When last; `None` for never.
    pub last: Option<Timestamp>,
}

static MANIFEST: Upsert = Upsert::new(
    "manifest_statistics",
    "manifest_id",
    "manifest_id, pulls, pulled_at",
    &[Set::Add("pulls"), Set::Max("pulled_at")],
);
static TAG: Upsert = Upsert::new(
    "tag_statistics",
    "repository_id, name",
    "repository_id, name, pulls, pulled_at",
    &[Set::Add("pulls"), Set::Max("pulled_at")],
);
static REPOSITORY: Upsert = Upsert::new(
    "repository_statistics",
    "repository_id",
    "repository_id, pulls, pulled_at, pushes, pushed_at",
    &[
        Set::Add("pulls"),
        Set::Max("pulled_at"),
        Set::Add("pushes"),
        Set::Max("pushed_at"),
    ],
);

/// Adds a batch of pulls; those of manifests and tags that are gone are dropped.
///
/// # Errors
///
/// Failures of the index.
pub fn add_pulls(tx: &mut Tx<'_>, batch: &[Pulls]) -> Result<(), Error> {
    const OPERATION: &str = "count pulls";
    for pulls in batch {
        let Some(manifest) = manifests::head(tx, pulls.repository_id, &pulls.manifest)? else {
            continue;
        };
        tx.upsert(OPERATION, &MANIFEST, args![manifest.id, pulls.count, pulls.last])?;
        tx.upsert(
            OPERATION,
            &REPOSITORY,
            args![pulls.repository_id, pulls.count, pulls.last, 0_i64, 0_i64],
        )?;
        let Some(tag) = &pulls.tag else {
            continue;
        };
        let exists = tx.any(
            OPERATION,
            "select 1 from tags where repository_id = ? and name = ?",
            args![pulls.repository_id, tag],
        )?;
        if exists {
            tx.upsert(
                OPERATION,
                &TAG,
                args![pulls.repository_id, tag, pulls.count, pulls.last],
            )?;
        }
    }
    Ok(())
}

/// Adds a batch of pushes; those to repositories that are gone are dropped.
///
/// # Errors
///
/// Failures of the index.
pub fn add_pushes(tx: &mut Tx<'_>, batch: &[Pushes]) -> Result<(), Error> {
    const OPERATION: &str = "count pushes";
    for pushes in batch {
        let id = pushes.repository_id;
        if tx.any(OPERATION, "select 1 from repositories where id = ?", args![id])? {
            tx.upsert(
                OPERATION,
                &REPOSITORY,
                args![id, 0_i64, 0_i64, pushes.count, pushes.last],
            )?;
        }
    }
    Ok(())
}

/// The pulls of a manifest.
///
/// # Errors
///
/// Failures of the index.
pub fn of_manifest(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Pulled, Error> {
    let found = tx.one(
        "read the pulls of a manifest",
        "select pulls, pulled_at from manifest_statistics where manifest_id = ?",
        args![manifest_id],
        pulled,
    )?;
    Ok(found.unwrap_or_default())
}

/// The pulls of a tag.
///
/// # Errors
///
/// Failures of the index.
pub fn of_tag(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag) -> Result<Pulled, Error> {
    let found = tx.one(
        "read the pulls of a tag",
        "select pulls, pulled_at from tag_statistics where repository_id = ? and name = ?",
        args![repository_id, tag],
        pulled,
    )?;
    Ok(found.unwrap_or_default())
}

/// The pulls of a repository, and how often it was pushed to.
///
/// # Errors
///
/// Failures of the index.
pub fn of_repository(tx: &mut Tx<'_>, repository_id: i64) -> Result<(Pulled, u64), Error> {
    let found = tx.one(
        "read the pulls of a repository",
        "select pulls, pulled_at, pushes from repository_statistics where repository_id = ?",
        args![repository_id],
        |row| Ok((pulled(row)?, row.size(2)?)),
    )?;
    Ok(found.unwrap_or_default())
}

fn pulled(row: &crate::value::Row<'_>) -> Result<Pulled, Error> {
    let count = row.size(0)?;
    let last = row.time(1)?;
    Ok(Pulled {
        count,
        last: (count > 0).then_some(last),
    })
}
