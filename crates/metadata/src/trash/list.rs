//! What is in the trash, and how much.

use wharf_oci::RepositoryName;

use super::{Key, Trashed, TrashedTag, select, trashed};
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// Which entries are meant; the default means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this repository only.
    pub repository: Option<RepositoryName>,
    /// Deleted before this time only.
    pub trashed_before: Option<Timestamp>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Manifests.
    pub manifests: u64,
    /// Tags that were deleted alone.
    pub tags: u64,
    /// Bytes that the manifests and what they point to have, each counted once.
    pub bytes: u64,
    /// Those of them that no manifest outside of the trash needs: what emptying it makes free.
    pub only_here: u64,
}

/// Entries by row, the newest first, before the row `before`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, filter: &Filter, before: Option<i64>, limit: usize) -> Result<Vec<Trashed>, Error> {
    const OPERATION: &str = "list the trash";
    let before = before.unwrap_or(i64::MAX);
    let until = filter.trashed_before.unwrap_or(Timestamp(i64::MAX));
    let entries = match &filter.repository {
        None => tx.all(
            OPERATION,
            select!("where t.id < ? and t.trashed_at < ? order by t.id desc limit ?"),
            args![before, until, limit],
            trashed,
        )?,
        Some(repository) => tx.all(
            OPERATION,
            select!("where t.repository = ? and t.id < ? and t.trashed_at < ? order by t.id desc limit ?"),
            args![repository, before, until, limit],
            trashed,
        )?,
    };
    with_tags(tx, entries)
}

/// Entries that have expired, the oldest first.
///
/// # Errors
///
/// Failures of the index.
pub fn expired(tx: &mut Tx<'_>, now: Timestamp, limit: usize) -> Result<Vec<Trashed>, Error> {
    let entries = tx.all(
        "list expired trash",
        select!("where t.expires_at <= ? order by t.expires_at, t.id limit ?"),
        args![now, limit],
        trashed,
    )?;
    with_tags(tx, entries)
}

/// Everything that the trash holds of one manifest in one repository, by row.
///
/// # Errors
///
/// Failures of the index.
pub fn by_key(tx: &mut Tx<'_>, key: &Key) -> Result<Vec<Trashed>, Error> {
    let entries = tx.all(
        "find what the trash holds",
        select!("where t.mirror_key = ? order by t.id"),
        args![key.as_str()],
        trashed,
    )?;
    with_tags(tx, entries)
}

fn with_tags(tx: &mut Tx<'_>, mut entries: Vec<Trashed>) -> Result<Vec<Trashed>, Error> {
    for entry in &mut entries {
        entry.tags = tags_of(tx, entry.id)?;
    }
    Ok(entries)
}

pub(super) fn tags_of(tx: &mut Tx<'_>, id: i64) -> Result<Vec<TrashedTag>, Error> {
    tx.all(
        "list the tags of an entry of the trash",
        "select name, is_sha512 from trash_tags where trash_id = ? order by name",
        args![id],
        |row| {
            Ok(TrashedTag {
                tag: row.tag(0)?,
                is_sha512: row.bool(1)?,
            })
        },
    )
}

/// A statement over the whole trash, and the same over one repository.
macro_rules! both {
    ($start:literal, $end:literal) => {
        (concat!($start, $end), concat!($start, "and t.repository = ? ", $end))
    };
}

/// How much of a repository is in the trash, or of all. Costs what is there: for `read_long`.
///
/// # Errors
///
/// Failures of the index.
pub fn usage(tx: &mut Tx<'_>, repository: Option<&RepositoryName>) -> Result<Usage, Error> {
    let mut usage = Usage::default();
    let entries = both!(
        "select t.kind, count(*) from trash t where t.kind < 2 ",
        "group by t.kind"
    );
    each(tx, entries, repository, |row| {
        match row.int(0)? {
            super::MANIFEST => usage.manifests = row.size(1)?,
            _ => usage.tags = row.size(1)?,
        }
        Ok(())
    })?;
    // sums are made here: the engines do not agree on the type of a sum
    let manifests = both!("select max(t.size) from trash t where t.kind = 0 ", "group by t.sha256");
    let blobs = both!(
        "select max(r.size) from trash_references r join trash t on t.id = r.trash_id where r.kind < 2 ",
        "group by r.digest"
    );
    for sql in [manifests, blobs] {
        each(tx, sql, repository, |row| {
            usage.bytes += row.size(0)?;
            Ok(())
        })?;
    }
    let only_manifests = both!(
        "select max(t.size) from trash t where t.kind = 0 \
         and not exists (select 1 from manifests m where m.sha256 = t.sha256) ",
        "group by t.sha256"
    );
    let only_blobs = both!(
        "select max(r.size) from trash_references r join trash t on t.id = r.trash_id where r.kind < 2 \
         and not exists (select 1 from blobs b join repository_blobs l on l.blob_id = b.id \
             join manifest_references m on m.repository_id = l.repository_id and m.digest = r.digest \
             where b.sha256 = r.digest) \
         and not exists (select 1 from blobs b join repository_blobs l on l.blob_id = b.id \
             join manifest_references m on m.repository_id = l.repository_id and m.digest = r.digest \
             where b.sha512 = r.digest) ",
        "group by r.digest"
    );
    for sql in [only_manifests, only_blobs] {
        each(tx, sql, repository, |row| {
            usage.only_here += row.size(0)?;
            Ok(())
        })?;
    }
    Ok(usage)
}

fn each(
    tx: &mut Tx<'_>,
    (all, one): (&str, &str),
    repository: Option<&RepositoryName>,
    read: impl FnMut(&Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    const OPERATION: &str = "measure the trash";
    match repository {
        None => tx.all(OPERATION, all, args![], read)?,
        Some(repository) => tx.all(OPERATION, one, args![repository], read)?,
    };
    Ok(())
}

/// How much of each repository is in the trash, by name. Costs what is there: for `read_long`.
/// What repositories share is counted for each of them.
///
/// # Errors
///
/// Failures of the index.
pub fn usage_by_repository(tx: &mut Tx<'_>) -> Result<Vec<(RepositoryName, Usage)>, Error> {
    let names = tx.all(
        "list repositories in the trash",
        "select distinct repository from trash order by repository",
        args![],
        |row| row.name(0),
    )?;
    let mut usages = Vec::with_capacity(names.len());
    for name in names {
        let used = usage(tx, Some(&name))?;
        usages.push((name, used));
    }
    Ok(usages)
}
