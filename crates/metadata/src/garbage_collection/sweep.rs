//! A look at every link, blob and manifest, page by page, for what no change has queued: an index
//! of a version without the queue, a tree that was taken over, a setting that has changed.

use super::queue::{self, Kind};
use crate::value::args;
use crate::{Error, Timestamp, Tx, settings};

/// Where a sweep stands. It is kept in the index, so that another process goes on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    stage: Stage,
    /// The repository, among links.
    repository_id: i64,
    /// The last row that was looked at.
    id: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Manifests,
    Links,
    Blobs,
}

/// What a step of a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were looked at.
    pub looked_at: usize,
    /// Reviews that were queued.
    pub queued: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// The setting that holds the cursor of a sweep that is not over.
const CURSOR: &str = "gc.sweep";

impl Cursor {
    /// The cursor of a sweep that was begun and is not over.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub fn load(tx: &mut Tx<'_>) -> Result<Option<Self>, Error> {
        Ok(settings::get_text(tx, CURSOR)?.and_then(|text| Self::parse(&text)))
    }

    /// Begins a sweep: [`Cursor::load`] finds it.
    ///
    /// # Errors
    ///
    /// Failures of the index.
    pub fn begin(tx: &mut Tx<'_>) -> Result<(), Error> {
        Self::default().save(tx)
    }

    fn save(self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let stage = match self.stage {
            Stage::Manifests => "manifests",
            Stage::Links => "links",
            Stage::Blobs => "blobs",
        };
        let text = format!("{stage} {} {}", self.repository_id, self.id);
        settings::set(tx, CURSOR, text.as_bytes())
    }

    /// One that a future version wrote means: begin anew.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let stage = match words.next()? {
            "manifests" => Stage::Manifests,
            "links" => Stage::Links,
            "blobs" => Stage::Blobs,
            _ => return None,
        };
        Some(Self {
            stage,
            repository_id: words.next()?.parse().ok()?,
            id: words.next()?.parse().ok()?,
        })
    }
}

/// Looks at the next rows, at most `limit`, and queues those that nothing seems to need, manifests
/// without a tag where `with_untagged` says so; their review decides. What is queued already keeps
/// its time.
///
/// # Errors
///
/// Failures of the index.
pub fn sweep(tx: &mut Tx<'_>, cursor: Cursor, with_untagged: bool, limit: usize) -> Result<Swept, Error> {
    let swept = match cursor.stage {
        Stage::Manifests => sweep_manifests(tx, cursor, with_untagged, limit)?,
        Stage::Links => sweep_links(tx, cursor, limit)?,
        Stage::Blobs => sweep_blobs(tx, cursor, limit)?,
    };
    match swept.next {
        Some(next) => next.save(tx)?,
        None => settings::remove(tx, CURSOR)?,
    }
    Ok(swept)
}

fn sweep_manifests(tx: &mut Tx<'_>, cursor: Cursor, with_untagged: bool, limit: usize) -> Result<Swept, Error> {
    let page = tx.all(
        "look for manifests that nothing needs",
        "select m.id, m.repository_id, m.pushed_at, m.tag_left_at, \
         case when m.subject is not null and m.subject_seen = 1 then 1 else 0 end, \
         case when exists (select 1 from tags t where t.manifest_id = m.id) then 1 else 0 end \
         from manifests m where m.id > ? order by m.id limit ?",
        args![cursor.id, limit],
        |row| {
            let since = row.time(2)?;
            let since = row.opt_time(3)?.map_or(since, |left_at| left_at.max(since));
            Ok((row.int(0)?, row.int(1)?, since, row.bool(4)?, row.bool(5)?))
        },
    )?;
    let mut queued = 0;
    for (id, repository_id, since, is_referrer, is_tagged) in &page {
        for kind in [
            (*is_referrer && !is_tagged).then_some(Kind::Referrer),
            (with_untagged && !is_tagged).then_some(Kind::Untagged),
        ]
        .into_iter()
        .flatten()
        {
            queued += usize::from(queue::enqueue_found(tx, (kind, *repository_id, *id), *since)?);
        }
    }
    let next = match page.last() {
        Some((id, ..)) => Cursor { id: *id, ..cursor },
        None => Cursor {
            stage: Stage::Links,
            ..Cursor::default()
        },
    };
    Ok(Swept {
        looked_at: page.len(),
        queued,
        next: Some(next),
    })
}

macro_rules! links_where {
    ($condition:literal) => {
        concat!(
            "select l.repository_id, l.blob_id, l.linked_at, \
             case when exists (select 1 from manifest_references r \
                 where r.repository_id = l.repository_id and r.digest = b.sha256) then 1 else 0 end \
             from repository_blobs l join blobs b on b.id = l.blob_id ",
            $condition,
            " order by l.repository_id, l.blob_id limit ?"
        )
    };
}

fn sweep_links(tx: &mut Tx<'_>, cursor: Cursor, limit: usize) -> Result<Swept, Error> {
    let mut page = links_after(
        tx,
        links_where!("where l.repository_id = ? and l.blob_id > ?"),
        (cursor.repository_id, cursor.id),
        limit,
    )?;
    if page.len() < limit {
        // a condition that joins both would read a large repository from its beginning for each page
        let next = links_where!("where l.repository_id > ? and l.blob_id > ?");
        page.extend(links_after(tx, next, (cursor.repository_id, 0), limit - page.len())?);
    }
    let unneeded = page.iter().filter(|(.., is_needed)| !is_needed);
    let queued = queue_links(
        tx,
        unneeded.map(|(repository_id, id, since, _)| (*repository_id, *id, *since)),
    )?;
    let next = match page.last() {
        Some((repository_id, id, ..)) => Cursor {
            repository_id: *repository_id,
            id: *id,
            ..cursor
        },
        None => Cursor {
            stage: Stage::Blobs,
            ..Cursor::default()
        },
    };
    Ok(Swept {
        looked_at: page.len(),
        queued,
        next: Some(next),
    })
}

/// Links by repository and row: both, when each was made, and whether a manifest needs it.
fn links_after(
    tx: &mut Tx<'_>,
    sql: &str,
    (repository_id, blob_id): (i64, i64),
    limit: usize,
) -> Result<Vec<(i64, i64, Timestamp, bool)>, Error> {
    tx.all(
        "look for links that nothing needs",
        sql,
        args![repository_id, blob_id, limit],
        |row| Ok((row.int(0)?, row.int(1)?, row.time(2)?, row.bool(3)?)),
    )
}

fn queue_links(tx: &mut Tx<'_>, links: impl Iterator<Item = (i64, i64, Timestamp)>) -> Result<usize, Error> {
    let mut queued = 0;
    for (repository_id, blob_id, linked_at) in links {
        queued += usize::from(queue::enqueue_found(
            tx,
            (Kind::Link, repository_id, blob_id),
            linked_at,
        )?);
    }
    Ok(queued)
}

/// Queues the links of one repository that no manifest of it needs, after the blob row `after`: for
/// who has taken its folder over with [`links::adopt`](crate::links::adopt). Answers where to go on,
/// `None` at the end.
///
/// # Errors
///
/// Failures of the index.
pub fn queue_unneeded_links(
    tx: &mut Tx<'_>,
    repository_id: i64,
    after: i64,
    limit: usize,
) -> Result<Option<i64>, Error> {
    let page = tx.all(
        "look for links that nothing needs",
        "select l.blob_id, l.linked_at, case when exists (select 1 from manifest_references r \
             where r.repository_id = l.repository_id and r.digest = b.sha256) then 1 else 0 end \
         from repository_blobs l join blobs b on b.id = l.blob_id \
         where l.repository_id = ? and l.blob_id > ? order by l.blob_id limit ?",
        args![repository_id, after, limit],
        |row| Ok((row.int(0)?, row.time(1)?, row.bool(2)?)),
    )?;
    let unneeded = page.iter().filter(|(.., is_needed)| !is_needed);
    queue_links(tx, unneeded.map(|(id, since, _)| (repository_id, *id, *since)))?;
    Ok(page.last().map(|(id, ..)| *id))
}

fn sweep_blobs(tx: &mut Tx<'_>, cursor: Cursor, limit: usize) -> Result<Swept, Error> {
    let page = tx.all(
        "look for blobs that nothing holds",
        "select b.id, b.touched_at, \
         case when exists (select 1 from repository_blobs l where l.blob_id = b.id) then 1 \
         when exists (select 1 from manifests m where m.sha256 = b.sha256) then 1 else 0 end \
         from blobs b where b.id > ? order by b.id limit ?",
        args![cursor.id, limit],
        |row| Ok((row.int(0)?, row.time(1)?, row.bool(2)?)),
    )?;
    let mut queued = 0;
    for (id, touched_at, is_held) in &page {
        if !is_held {
            queued += usize::from(queue::enqueue_found(tx, (Kind::Blob, 0, *id), *touched_at)?);
        }
    }
    let next = page.last().map(|(id, ..)| Cursor { id: *id, ..cursor });
    Ok(Swept {
        looked_at: page.len(),
        queued,
        next,
    })
}
