//! Projects and repositories: names, where a repository's folder is, and whether it is indexed.

use wharf_access::Visibility;
use wharf_oci::RepositoryName;

use crate::dialect::Upsert;
use crate::trash::Deletion;
use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx, cache_versions, trash};

/// A repository with what a decision about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its row; never used again for another.
    pub id: i64,
    /// What clients call it.
    pub name: RepositoryName,
    /// Its folder in storage: its first name (consistency rule 15).
    pub storage_name: RepositoryName,
    /// The project that owns it.
    pub project_id: i64,
    /// Who may see that project.
    pub visibility: Visibility,
    /// Whether the index knows all that is in its folder.
    pub state: State,
    /// When its row was made.
    pub created_at: Timestamp,
}

/// Whether the index knows all that is in a repository's folder (consistency rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was read yet.
    Unindexed,
    /// The pass with this epoch is reading it.
    Indexing(i64),
    /// The pass with this epoch has read it, or it was made after.
    Indexed(i64),
    /// It was deleted, and its folder is being removed. Only [`by_id`] and [`deletions`] still
    /// find it; nobody may make another of its name until it is gone.
    Deleting,
}

impl State {
    const fn columns(self) -> (i64, i64) {
        match self {
            Self::Unindexed => (0, 0),
            Self::Indexing(epoch) => (1, epoch),
            Self::Indexed(epoch) => (INDEXED, epoch),
            Self::Deleting => (DELETING, 0),
        }
    }
}

const INDEXED: i64 = 2;
const DELETING: i64 = 3;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select r.id, r.name, r.storage_name, r.project_id, p.visibility, r.state, r.epoch, r.created_at ",
            "from repositories r join projects p on p.id = r.project_id ",
            $rest
        )
    };
}

static CREATE_PROJECT: Upsert = Upsert::new("projects", "name", "name, visibility, created_at", &[]);

/// The repository that clients call `name`.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<Option<Repository>, Error> {
    tx.one(
        "find a repository",
        select!("where r.name = ? and r.state < 3"),
        args![name],
        repository,
    )
}

/// The repository with an id.
///
/// # Errors
///
/// Failures of the index.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<Repository>, Error> {
    tx.one(
        "find a repository by id",
        select!("where r.id = ?"),
        args![id],
        repository,
    )
}

/// The repository whose folder is `storage_name`.
///
/// # Errors
///
/// Failures of the index.
pub fn by_storage_name(tx: &mut Tx<'_>, storage_name: &RepositoryName) -> Result<Option<Repository>, Error> {
    tx.one(
        "find a repository by its folder",
        select!("where r.storage_name = ? and r.state < 3"),
        args![storage_name],
        repository,
    )
}

/// Whether clients know a repository as `name`.
///
/// # Errors
///
/// Failures of the index.
pub fn exists(tx: &mut Tx<'_>, name: &RepositoryName) -> Result<bool, Error> {
    tx.any(
        "find a repository",
        "select 1 from repositories where name = ? and state < 3",
        args![name],
    )
}

/// The repository `name`, made in `state` if there is none, with its project, which is private
/// (consistency rule 12). A new repository's folder is called as it is.
///
/// # Errors
///
/// [`Kind::Deleting`](crate::error::Kind::Deleting) while one of that name is being deleted;
/// [`Kind::Unique`](crate::error::Kind::Unique) if the folder belongs to a renamed repository.
pub fn find_or_create(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    state: State,
    now: Timestamp,
) -> Result<Repository, Error> {
    const OPERATION: &str = "create a repository";
    if let Some(found) = find(tx, name)? {
        return Ok(found);
    }
    if is_deleting(tx, name)? {
        return Err(Error::new(
            crate::error::Kind::Deleting,
            OPERATION,
            format!("the repository {name} is being deleted"),
        ));
    }
    tx.changes(cache_versions::NAMES);
    let project_id = project(tx, name.project(), now)?;
    let (state, epoch) = state.columns();
    let id = tx.insert(
        OPERATION,
        "insert into repositories (name, storage_name, project_id, state, epoch, created_at) values (?, ?, ?, ?, ?, ?)",
        args![name, name, project_id, state, epoch, now],
    )?;
    // what was deleted under this name holds its content from now on
    trash::belongs_to(tx, name, id)?;
    by_id(tx, id)?.ok_or_else(|| Error::corrupt(OPERATION, "the new repository is not there"))
}

/// The id of a project, made private if there is none.
fn project(tx: &mut Tx<'_>, name: &str, now: Timestamp) -> Result<i64, Error> {
    const OPERATION: &str = "find or create a project";
    const FIND: &str = "select id from projects where name = ?";
    if let Some(id) = tx.one(OPERATION, FIND, args![name], |row| row.int(0))? {
        return Ok(id);
    }
    let private = visibility_column(Visibility::Private);
    tx.upsert(OPERATION, &CREATE_PROJECT, args![name, private, now])?;
    tx.one(OPERATION, FIND, args![name], |row| row.int(0))?
        .ok_or_else(|| Error::corrupt(OPERATION, "the new project is not there"))
}

/// Who may see a project; `None` if there is no such project.
///
/// # Errors
///
/// Failures of the index.
pub fn project_visibility(tx: &mut Tx<'_>, project: &str) -> Result<Option<Visibility>, Error> {
    tx.one(
        "read the visibility of a project",
        "select visibility from projects where name = ?",
        args![project],
        |row| visibility(row, 0),
    )
}

/// Changes who may see a project; `false` if there is no such project.
///
/// # Errors
///
/// Failures of the index.
pub fn set_visibility(tx: &mut Tx<'_>, project: &str, visibility: Visibility) -> Result<bool, Error> {
    tx.changes(cache_versions::NAMES);
    let changed = tx.execute(
        "set the visibility of a project",
        "update projects set visibility = ? where name = ?",
        args![visibility_column(visibility), project],
    )?;
    Ok(changed == 1)
}

/// Names, in byte order, of repositories that hold a manifest, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page_names(tx: &mut Tx<'_>, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, Error> {
    tx.all(
        "list repositories",
        "select r.name from repositories r where r.name > ? and r.state < 3 \
         and exists (select 1 from manifests m where m.repository_id = r.id) order by r.name limit ?",
        args![after.unwrap_or_default(), limit],
        |row| row.name(0),
    )
}

/// All repositories, empty ones too, by id, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Vec<Repository>, Error> {
    tx.all(
        "list repositories by id",
        select!("where r.id > ? and r.state < 3 order by r.id limit ?"),
        args![after, limit],
        repository,
    )
}

/// Repositories that are not indexed, by id.
///
/// # Errors
///
/// Failures of the index.
pub fn unindexed(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Repository>, Error> {
    tx.all(
        "list repositories to index",
        select!("where r.state < 2 order by r.state, r.id limit ?"),
        args![limit],
        repository,
    )
}

/// How many repositories are not indexed, of how many.
///
/// # Errors
///
/// Failures of the index.
pub fn progress(tx: &mut Tx<'_>) -> Result<(u64, u64), Error> {
    const OPERATION: &str = "count repositories to index";
    let waiting = tx.count(OPERATION, "select count(*) from repositories where state < 2", args![])?;
    let all = tx.count(OPERATION, "select count(*) from repositories", args![])?;
    Ok((waiting, all))
}

/// Sets whether a repository is indexed.
///
/// # Errors
///
/// Failures of the index.
pub fn set_state(tx: &mut Tx<'_>, id: i64, state: State) -> Result<(), Error> {
    let (state, epoch) = state.columns();
    tx.changes_nothing_remembered();
    tx.execute(
        "set the state of a repository",
        "update repositories set state = ?, epoch = ? where id = ? and state < 3",
        args![state, epoch, id],
    )?;
    Ok(())
}

/// Ends the pass `epoch` over a repository; `false` if another pass has begun meanwhile.
///
/// # Errors
///
/// Failures of the index.
pub fn mark_indexed(tx: &mut Tx<'_>, id: i64, epoch: i64) -> Result<bool, Error> {
    tx.changes_nothing_remembered();
    let changed = tx.execute(
        "mark a repository indexed",
        "update repositories set state = 2 where id = ? and state = 1 and epoch = ?",
        args![id, epoch],
    )?;
    Ok(changed == 1)
}

/// Makes every repository unindexed, for a rebuild.
///
/// # Errors
///
/// Failures of the index.
pub fn mark_all_unindexed(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.changes_nothing_remembered();
    tx.execute(
        "mark all repositories unindexed",
        "update repositories set state = 0, epoch = 0 where state < 3",
        args![],
    )?;
    Ok(())
}

/// Whether the repository stored as `storage_name` is being deleted.
///
/// # Errors
///
/// Failures of the index.
pub fn is_deleting(tx: &mut Tx<'_>, storage_name: &RepositoryName) -> Result<bool, Error> {
    tx.any(
        "find a repository that is being deleted",
        "select 1 from repositories where storage_name = ? and state = 3",
        args![storage_name],
    )
}

/// Begins to delete a repository: from now on nobody finds it, and its uploads are ended. `false`
/// if it is not there or another deletion has begun.
///
/// # Errors
///
/// Failures of the index.
pub fn begin_deleting(tx: &mut Tx<'_>, id: i64, deletion: &Deletion) -> Result<bool, Error> {
    const OPERATION: &str = "begin to delete a repository";
    tx.changes(cache_versions::NAMES);
    let marked = tx.execute(
        OPERATION,
        "update repositories set state = 3, epoch = 0 where id = ? and state < 3",
        args![id],
    )?;
    if marked == 0 {
        return Ok(false);
    }
    tx.execute(
        OPERATION,
        "insert into repository_deletions (repository_id, deleted_at, deleted_by, reason, expires_at) \
         values (?, ?, ?, ?, ?)",
        args![
            id,
            deletion.at,
            deletion.by.as_str(),
            deletion.reason.as_str(),
            deletion.expires_at
        ],
    )?;
    tx.execute(OPERATION, "delete from uploads where repository_id = ?", args![id])?;
    Ok(true)
}

/// Repositories that are being deleted, by id, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn deletions(tx: &mut Tx<'_>, after: i64, limit: usize) -> Result<Vec<(Repository, Deletion)>, Error> {
    tx.all(
        "list repositories that are being deleted",
        "select r.id, r.name, r.storage_name, r.project_id, p.visibility, r.state, r.epoch, r.created_at, \
         d.deleted_at, d.deleted_by, d.reason, d.expires_at from repositories r \
         join projects p on p.id = r.project_id join repository_deletions d on d.repository_id = r.id \
         where r.id > ? order by r.id limit ?",
        args![after, limit],
        |row| {
            let deletion = Deletion {
                at: row.time(8)?,
                by: row.text(9)?,
                reason: row.text(10)?,
                expires_at: row.opt_time(11)?,
            };
            Ok((repository(row)?, deletion))
        },
    )
}

/// Forgets deletions that had begun when the index was saved: since then they have ended, and what
/// the storage holds now may be a new repository.
pub(crate) fn forget_saved_deletions(tx: &mut Tx<'_>) -> Result<(), Error> {
    const OPERATION: &str = "forget saved deletions of repositories";
    tx.execute(OPERATION, "update repositories set state = 0 where state = 3", args![])?;
    tx.execute(OPERATION, "delete from repository_deletions", args![])?;
    Ok(())
}

/// Forgets up to `limit` rows of the history, and of the statistics, of the tags of a repository
/// that is being deleted. `false` when there were no more.
///
/// # Errors
///
/// Failures of the index.
pub fn forget_history(tx: &mut Tx<'_>, id: i64, limit: usize) -> Result<bool, Error> {
    const OPERATION: &str = "forget the history of a deleted repository";
    let events = tx.all(
        OPERATION,
        "select h.id from tag_history h join repositories r on r.id = h.repository_id \
         where h.repository_id = ? and r.state = 3 order by h.name, h.id limit ?",
        args![id, limit],
        |row| row.int(0),
    )?;
    for event in &events {
        tx.execute(OPERATION, "delete from tag_history where id = ?", args![*event])?;
    }
    let counted = tx.all(
        OPERATION,
        "select s.name from tag_statistics s join repositories r on r.id = s.repository_id \
         where s.repository_id = ? and r.state = 3 order by s.name limit ?",
        args![id, limit],
        |row| row.text(0),
    )?;
    for name in &counted {
        tx.execute(
            OPERATION,
            "delete from tag_statistics where repository_id = ? and name = ?",
            args![id, name.as_str()],
        )?;
    }
    Ok(!events.is_empty() || !counted.is_empty())
}

/// Ends the deletion of a repository whose folder is gone for good: forgets it with its history.
/// `false` if it is not being deleted, or still holds a manifest, blob or pending mirror row. The
/// history is short if [`forget_history`] has taken most of it.
///
/// # Errors
///
/// Failures of the index.
pub fn finish_deleting(tx: &mut Tx<'_>, id: i64) -> Result<bool, Error> {
    const OPERATION: &str = "finish deleting a repository";
    let is_deleting = tx.any(
        OPERATION,
        "select 1 from repositories r where r.id = ? and r.state = 3 \
         and not exists (select 1 from manifests m where m.repository_id = r.id) \
         and not exists (select 1 from repository_blobs l where l.repository_id = r.id) \
         and not exists (select 1 from mirror p where p.repository_id = r.id)",
        args![id],
    )?;
    if !is_deleting {
        return Ok(false);
    }
    for sql in [
        "delete from uploads where repository_id = ?",
        "delete from repository_deletions where repository_id = ?",
    ] {
        tx.execute(OPERATION, sql, args![id])?;
    }
    delete_empty(tx, id)
}

/// Removes a repository that holds nothing: no manifest, blob link, upload or pending mirror row.
/// Its tag history goes with it. `false` if it holds something or is not there. The caller makes
/// sure that its folder is gone (consistency rule 15).
///
/// # Errors
///
/// Failures of the index.
pub fn delete_empty(tx: &mut Tx<'_>, id: i64) -> Result<bool, Error> {
    const OPERATION: &str = "delete a repository";
    for sql in [
        "select 1 from manifests where repository_id = ?",
        "select 1 from repository_blobs where repository_id = ?",
        "select 1 from uploads where repository_id = ?",
        "select 1 from mirror where repository_id = ?",
    ] {
        if tx.any(OPERATION, sql, args![id])? {
            return Ok(false);
        }
    }
    for sql in [
        "delete from tag_history where repository_id = ?",
        "delete from tag_statistics where repository_id = ?",
        "delete from repository_statistics where repository_id = ?",
        "delete from directories where repository_id = ?",
        "delete from tombstones where repository_id = ?",
    ] {
        tx.execute(OPERATION, sql, args![id])?;
    }
    tx.changes(cache_versions::NAMES);
    Ok(tx.execute(OPERATION, "delete from repositories where id = ?", args![id])? == 1)
}

fn repository(row: &Row<'_>) -> Result<Repository, Error> {
    let name = row.name(1)?;
    let storage_name = if row.str(2)? == name.as_str() {
        name.clone()
    } else {
        row.name(2)?
    };
    let epoch = row.int(6)?;
    Ok(Repository {
        id: row.int(0)?,
        name,
        storage_name,
        project_id: row.int(3)?,
        visibility: visibility(row, 4)?,
        state: match row.int(5)? {
            0 => State::Unindexed,
            1 => State::Indexing(epoch),
            INDEXED => State::Indexed(epoch),
            DELETING => State::Deleting,
            _ => return Err(row.corrupt("a repository state is unknown")),
        },
        created_at: row.time(7)?,
    })
}

pub(crate) fn visibility(row: &Row<'_>, column: usize) -> Result<Visibility, Error> {
    match row.int(column)? {
        0 => Ok(Visibility::Private),
        1 => Ok(Visibility::Internal),
        2 => Ok(Visibility::Public),
        _ => Err(row.corrupt("a visibility is unknown")),
    }
}

const fn visibility_column(visibility: Visibility) -> i64 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 1,
        Visibility::Public => 2,
    }
}
