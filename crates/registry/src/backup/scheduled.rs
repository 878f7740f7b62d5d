//! Backups that are made by themselves, into a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;
use wharf_jobs::{Failure, Outcome, Run};

use super::create::{UNFINISHED, blocking};
use super::{Backups, Error, Result, Sealing};

/// The kind of the job.
pub const KIND: &str = "backup";

/// After this long nobody writes a file any more that has no name yet.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// Where backups go, and how many stay.
#[derive(Clone, Debug)]
pub struct BackupFolder {
    /// Makes them.
    pub backups: Backups,
    /// The folder, which must be there: one that is not may be a disk that is not mounted.
    pub folder: PathBuf,
    /// How many stay.
    pub keep: usize,
}

impl BackupFolder {
    /// Makes a backup and removes those that are too many, the oldest first: a job.
    ///
    /// # Errors
    ///
    /// The folder is not there or full: worth another attempt.
    pub async fn work(&self, run: Run) -> Outcome {
        let made = self.make(run.now()).await;
        let (name, rows, removed) = made.map_err(|error| {
            let folder = self.folder.display();
            Failure::retry(format_args!("no backup was made in {folder}: {error}"))
        })?;
        run.log(format!("made {name}"));
        Ok(json!({ "file": name, "rows": rows, "removed": removed }))
    }

    async fn make(&self, now: jiff::Timestamp) -> Result<(String, u64, usize)> {
        let name = now.strftime("wharf-%Y%m%dT%H%M%SZ.backup").to_string();
        let path = self.folder.join(&name);
        let created = self.backups.create(&path, Sealing::WhereThereIsAKey).await?;
        let (folder, keep) = (self.folder.clone(), self.keep);
        let removed = blocking(move || prune(&folder, keep, now)).await?;
        Ok((name, created.totals.rows.values().sum(), removed))
    }
}

/// Removes the oldest backups that were made by themselves; others are left alone.
fn prune(folder: &Path, keep: usize, now: jiff::Timestamp) -> Result<usize> {
    let mut backups = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_ours(&name) {
            backups.push(name);
        } else if name.starts_with(UNFINISHED) && is_abandoned(entry.metadata()?.modified()?, now) {
            remove(&entry.path())?;
        }
    }
    // their names sort by time
    backups.sort_unstable();
    let surplus = backups.len().saturating_sub(keep.max(1));
    for name in &backups[..surplus] {
        remove(&folder.join(name))?;
    }
    Ok(surplus)
}

/// Left by a process that was killed.
fn is_abandoned(modified: SystemTime, now: jiff::Timestamp) -> bool {
    SystemTime::from(now)
        .duration_since(modified)
        .is_ok_and(|age| age > ABANDONED)
}

/// `wharf-20261121T153226Z.backup`
fn is_ours(name: &str) -> bool {
    let time = name
        .strip_prefix("wharf-")
        .and_then(|rest| rest.strip_suffix("Z.backup"));
    time.is_some_and(|time| {
        time.len() == 15
            && time.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                _ => byte.is_ascii_digit(),
            })
    })
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::Io(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
