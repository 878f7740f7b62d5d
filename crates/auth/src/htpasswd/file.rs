//! The file on disk: provisioned when missing, read again when it changes.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::{Entries, LineError, parse};
use crate::{Clock, Random, password};

/// How often the file is looked at, at most.
const LOOK_EVERY_MILLISECONDS: i64 = 1000;
/// More than anyone's user list; a wrong path must not fill the memory.
const LARGEST_FILE: u64 = 16 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// It cannot be opened or read.
    #[error("cannot read htpasswd file {path}: {source}")]
    Read {
        /// The path of the configuration.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was missing and cannot be made.
    #[error("htpasswd file {path} does not exist and cannot be created: {source}")]
    Create {
        /// The path of the configuration.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is broken.
    #[error("cannot use htpasswd file {path}: {source}")]
    Line {
        /// The path of the configuration.
        path: PathBuf,
        /// Which line.
        source: LineError,
    },
    /// The password of the first user cannot be hashed.
    #[error("cannot make the first user of htpasswd file {path}: {source}")]
    Hash {
        /// The path of the configuration.
        path: PathBuf,
        /// Why.
        source: password::PasswordError,
    },
}

/// The user that was made because there was no file. Show it once, store it nowhere.
pub struct Provisioned {
    /// `docker`, as distribution calls it.
    pub user: &'static str,
    /// A random password.
    pub password: Zeroizing<String>,
}

/// An htpasswd file that is read again when it changes.
pub struct HtpasswdFile {
    path: PathBuf,
    clock: Clock,
    entries: ArcSwap<Entries>,
    generation: AtomicU64,
    looked: AtomicI64,
    seen: Mutex<Seen>,
}

/// What the file looked like when it was last read.
struct Seen {
    stamp: Option<Stamp>,
    /// Of the content that is in use.
    content: [u8; 32],
    problem: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl HtpasswdFile {
    /// Reads the file; when there is none, makes it (0600) with a user `docker`.
    ///
    /// Blocks for one bcrypt hash in that case. A broken file is an error here, and only a problem
    /// to report later on.
    pub fn open(path: &Path, clock: Clock, random: &Random) -> Result<(Self, Option<Provisioned>), HtpasswdError> {
        let provisioned = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(provision(path, random)?),
            _ => None,
        };
        let (content, stamp) = read(path).map_err(|source| HtpasswdError::Read {
            path: path.to_owned(),
            source,
        })?;
        let entries = parse(&content).map_err(|source| HtpasswdError::Line {
            path: path.to_owned(),
            source,
        })?;
        warn_of(path, &entries);
        let file = Self {
            path: path.to_owned(),
            looked: AtomicI64::new(clock().as_millisecond()),
            clock,
            entries: ArcSwap::from_pointee(entries),
            generation: AtomicU64::new(0),
            seen: Mutex::new(Seen {
                stamp: Some(stamp),
                content: hash(&content),
                problem: None,
            }),
        };
        Ok((file, provisioned))
    }

    /// The users now, and the number of this state of the file: it rises when the content changes.
    pub fn current(&self) -> (Arc<Entries>, u64) {
        self.look();
        // In this order: what is remembered under an old number is never taken for new.
        let generation = self.generation.load(Ordering::Acquire);
        (self.entries.load_full(), generation)
    }

    /// The number of the state of the file now. Costs one system call a second.
    pub fn generation(&self) -> u64 {
        self.look();
        self.generation.load(Ordering::Acquire)
    }

    /// Why the file on disk is not the one in use, if so.
    pub fn problem(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    fn look(&self) {
        let now = (self.clock)().as_millisecond();
        let looked = self.looked.load(Ordering::Relaxed);
        if (0..LOOK_EVERY_MILLISECONDS).contains(&(now - looked)) {
            return;
        }
        let is_mine = self
            .looked
            .compare_exchange(looked, now, Ordering::AcqRel, Ordering::Relaxed);
        if is_mine.is_ok() {
            self.reload();
        }
    }

    fn reload(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if stamp.is_some() && stamp == seen.stamp {
            return;
        }
        let problem = match read(&self.path) {
            Ok((content, stamp)) => {
                seen.stamp = Some(stamp);
                self.take(&content, &mut seen).err().map(|error| error.to_string())
            }
            Err(error) => {
                seen.stamp = None;
                Some(error.to_string())
            }
        };
        if let Some(problem) = problem
            .as_ref()
            .filter(|&problem| seen.problem.as_ref() != Some(problem))
        {
            tracing::warn!(path = %self.path.display(), %problem, "htpasswd file cannot be used, the users read before stay");
        }
        seen.problem = problem;
    }

    fn take(&self, content: &[u8], seen: &mut Seen) -> Result<(), LineError> {
        let entries = parse(content)?;
        let hash = hash(content);
        if hash == seen.content {
            return Ok(());
        }
        warn_of(&self.path, &entries);
        tracing::info!(path = %self.path.display(), users = entries.len(), "htpasswd file read again");
        seen.content = hash;
        self.entries.store(Arc::new(entries));
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl std::fmt::Debug for HtpasswdFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HtpasswdFile")
            .field("path", &self.path)
            .field("entries", &self.entries.load())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Provisioned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisioned")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

fn hash(content: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
    hash
}

/// The stamp is taken from the opened file before reading: a write in between is seen next time.
fn read(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, Stamp)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > LARGEST_FILE {
        return Err(io::Error::other("the file is larger than 16 MiB"));
    }
    let mut content = Zeroizing::new(Vec::new());
    file.take(LARGEST_FILE).read_to_end(&mut content)?;
    Ok((content, Stamp::of(&metadata)))
}

fn provision(path: &Path, random: &Random) -> Result<Provisioned, HtpasswdError> {
    let password = password::random_secret(random);
    let user = "docker";
    let line = super::line(user, password.as_bytes(), password::BCRYPT_COST, random).map_err(|source| {
        HtpasswdError::Hash {
            path: path.to_owned(),
            source,
        }
    })?;
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{line}")?;
        file.sync_all()
    };
    write().map_err(|source| HtpasswdError::Create {
        path: path.to_owned(),
        source,
    })?;
    Ok(Provisioned { user, password })
}

fn warn_of(path: &Path, entries: &Entries) {
    for warning in entries.warnings() {
        tracing::warn!(path = %path.display(), line = warning.line, "htpasswd {warning}");
    }
}

#[cfg(test)]
mod tests;
