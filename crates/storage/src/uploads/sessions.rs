//! Sessions that nobody may know of any more.

use super::Uploads;
use crate::{
    Result,
    driver::{ByteStore, Stat},
    objects::{Keys, Objects, Unfinished},
    paths::{self, Location},
};
use std::collections::HashMap;
use uuid::Uuid;
use wharf_oci::RepositoryName;

/// The longest `startedat` file that is looked at.
const MOST_CONTENT: u64 = 4096;

/// A session found in a repository's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The name of its folder.
    pub id: Uuid,
    /// The text of its `startedat` file, RFC 3339; `None` when there is no such file.
    pub started_at: Option<String>,
    /// Bytes in its data file, acknowledged or not, or in its objects; `None` when there are none. What
    /// lies in parts is not counted.
    pub size: Option<u64>,
    /// When an entry of its folder last came or went, or its newest object was written: nanoseconds
    /// since 1970.
    pub modified: i64,
}

/// Parts in a bucket that were never put together. They are in no listing of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The session that they are of; `None` for those of a copy.
    pub session: Option<(RepositoryName, Uuid)>,
    /// When the first of them was announced, RFC 3339.
    pub started_at: String,
    location: Location,
    id: String,
}

impl Uploads {
    /// The sessions of a repository, those of other registries included, for purging. Entries that
    /// are no sessions are left out.
    pub async fn list(&self, repository: &RepositoryName) -> Result<Vec<Session>> {
        if let Some(objects) = self.driver.objects() {
            return self.in_bucket(objects, repository).await;
        }
        let mut sessions = Vec::new();
        let mut lister = self.driver.list(&paths::uploads(repository));
        while let Some(entries) = lister.next().await? {
            for entry in entries.into_iter().filter(|entry| entry.is_folder) {
                if let Some(id) = session_id(&entry.name) {
                    sessions.extend(self.session(repository, id).await?);
                }
            }
        }
        Ok(sessions)
    }

    async fn session(&self, repository: &RepositoryName, id: Uuid) -> Result<Option<Session>> {
        let folder = paths::upload(repository, id);
        let data = paths::upload_data(repository, id);
        let [folder, data] = self.driver.stat_all(vec![folder, data]).await?[..] else {
            return Ok(None);
        };
        // It may have ended meanwhile.
        let Some(Stat::Folder { modified }) = folder else {
            return Ok(None);
        };
        let size = match data {
            Some(Stat::File(found)) => Some(found.size),
            _ => None,
        };
        Ok(Some(Session {
            id,
            started_at: self.started_at(repository, id).await?,
            size,
            modified,
        }))
    }

    async fn started_at(&self, repository: &RepositoryName, id: Uuid) -> Result<Option<String>> {
        let started = paths::upload_started(repository, id);
        let started = self.driver.get(&started, MOST_CONTENT).await?;
        Ok(started.map(|object| String::from_utf8_lossy(&object.bytes).trim().to_owned()))
    }

    /// What one listing tells of all of them.
    async fn in_bucket(&self, objects: &Objects, repository: &RepositoryName) -> Result<Vec<Session>> {
        let mut sessions: HashMap<Uuid, (Session, bool)> = HashMap::new();
        let mut keys = Keys::new(objects.clone(), &paths::uploads(repository));
        while let Some(found) = keys.next().await? {
            for (location, size, modified) in found {
                let Some((_, id)) = paths::parse_upload(&location) else {
                    continue;
                };
                let empty = Session {
                    id,
                    started_at: None,
                    size: None,
                    modified,
                };
                let (session, has_start) = sessions.entry(id).or_insert((empty, false));
                session.modified = session.modified.max(modified);
                if location == paths::upload_started(repository, id) {
                    *has_start = true;
                } else {
                    session.size = Some(session.size.unwrap_or(0) + size);
                }
            }
        }
        let mut all = Vec::with_capacity(sessions.len());
        for (mut session, has_start) in sessions.into_values() {
            if has_start {
                session.started_at = self.started_at(repository, session.id).await?;
            }
            all.push(session);
        }
        Ok(all)
    }

    /// Parts that were never put together, of all repositories; none where there is no bucket.
    pub async fn abandoned(&self) -> Result<Vec<Abandoned>> {
        let Some(objects) = self.driver.objects() else {
            return Ok(Vec::new());
        };
        let abandoned = |found: Unfinished| Abandoned {
            session: paths::parse_upload(&found.location),
            started_at: found.initiated,
            location: found.location,
            id: found.id,
        };
        let found = objects.unfinished(&paths::registry()).await?;
        Ok(found.into_iter().map(abandoned).collect())
    }

    /// Removes such parts; those that are gone already are no error.
    pub async fn abort(&self, abandoned: &Abandoned) -> Result<()> {
        match self.driver.objects() {
            Some(objects) => objects.abort_parts((&abandoned.location, &abandoned.id)).await,
            None => Ok(()),
        }
    }
}

/// The session whose folder has a name.
fn session_id(name: &str) -> Option<Uuid> {
    Uuid::try_parse(name).ok().filter(|id| id.to_string() == name)
}
