//! Bytes under their sha256.

use crate::{
    Error, ErrorKind, Pace, Result, blocking,
    driver::{ByteStore, Driver, Durability, Fingerprint, Hold, Object, Reader, Removal},
    paths::{self, Location},
};
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256, Sha512};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use wharf_oci::{Algorithm, Digest};

/// How many locks there are for all digests.
const LOCKS: usize = 256;

/// The blobs of a storage. Manifests are blobs too. Every operation takes a sha256 digest; a
/// sha512 is [`ErrorKind::Invalid`], for bytes are stored under their sha256 only.
#[derive(Clone, Debug)]
pub struct Blobs {
    driver: Driver,
    /// Held while the bytes of a digest come or go; a digest uses the one of its first byte.
    locks: Arc<[Arc<Mutex<()>>]>,
}

/// What [`Blobs::verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are those of the digest.
    Whole {
        /// How many.
        size: u64,
    },
    /// There are none.
    Missing,
    /// They are other bytes.
    Differs {
        /// How many.
        size: u64,
        /// Their digest.
        found: Digest,
    },
}

/// What [`Blobs::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether the bytes are those of the digest.
    pub verdict: Verdict,
    /// Their sha512, where it was asked for.
    pub sha512: Option<Digest>,
    /// The file that was read, as it was before; `None` when there was none.
    pub fingerprint: Option<Fingerprint>,
}

impl Blobs {
    pub(crate) fn new(driver: Driver) -> Self {
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        Self { driver, locks }
    }

    /// The size in bytes, or `None` when the blob is not there.
    pub async fn stat(&self, digest: &Digest) -> Result<Option<u64>> {
        let found = self.driver.stat_file(&place(digest)?).await?;
        Ok(found.map(|found| found.size))
    }

    /// The sizes of many blobs in their order, each as [`stat`](Self::stat) answers it.
    pub async fn stat_all(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        let locations = digests.iter().map(place).collect::<Result<_>>()?;
        let found = self.driver.stat_files(locations).await?;
        Ok(found.into_iter().map(|found| found.map(|found| found.size)).collect())
    }

    /// All bytes of many small blobs in their order, each as [`read`](Self::read) answers it. The
    /// caller sees to it that they fit into memory together.
    pub async fn read_all(&self, digests: &[Digest], limit: u64) -> Result<Vec<Result<Option<Bytes>>>> {
        let locations = digests.iter().map(place).collect::<Result<_>>()?;
        let objects = self.driver.get_all(locations, limit).await?;
        let bytes = |found: Result<Option<Object>>| found.map(|object| object.map(|object| object.bytes));
        Ok(objects.into_iter().map(bytes).collect())
    }

    /// All bytes of a small blob, such as a manifest, or `None` when it is not there. More than
    /// `limit` bytes are [`ErrorKind::TooLarge`].
    pub async fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>> {
        let object = self.driver.get(&place(digest)?, limit).await?;
        Ok(object.map(|object| object.bytes))
    }

    /// Opens a blob for reading, or `None` when it is not there.
    pub async fn open(&self, digest: &Digest) -> Result<Option<Reader>> {
        self.driver.open(&place(digest)?).await
    }

    /// The same of a blob that has `size` bytes, as the index knows: in a bucket it is not looked for
    /// before it is read.
    pub async fn open_known(&self, digest: &Digest, size: u64) -> Result<Option<Reader>> {
        self.driver.open_known(&place(digest)?, size).await
    }

    /// Stores `bytes`, whose digest the caller has checked; durable on return. Bytes that are there
    /// already are made durable and kept; in a bucket they are replaced by the same, which takes one
    /// request less than to look for them.
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let location = place(digest)?;
        let _lock = self.lock(digest).await;
        let is_kept = self.driver.objects().is_none() && self.keep(&location, bytes.len() as u64).await?;
        if !is_kept {
            self.driver.put(&location, bytes, Durability::Now).await?;
        }
        Ok(())
    }

    /// Whether `size` bytes are at `location` already; if so they are made durable. Bytes of
    /// another size are left over from a crash of a registry that does not sync: not kept.
    async fn keep(&self, location: &Location, size: u64) -> Result<bool> {
        let found = self.driver.stat_file(location).await?;
        let is_kept = found.is_some_and(|found| found.size == size);
        if is_kept {
            self.driver.sync(location).await?;
        }
        Ok(is_kept)
    }

    /// Moves `size` bytes at `from`, whose digest the caller has checked, to their place; durable
    /// on return. Bytes that are there already are kept, and those at `from` stay where they are.
    pub(crate) async fn adopt(&self, digest: &Digest, from: &Location, size: u64, hold: Hold) -> Result<()> {
        let location = place(digest)?;
        // The long part is outside of the lock.
        self.driver.sync_content(from).await?;
        let _lock = self.lock(digest).await;
        if !self.keep(&location, size).await? {
            self.driver.rename(from, &location, hold).await?;
        }
        Ok(())
    }

    /// The place of a blob, which nothing of this process changes while the lock is held.
    pub(crate) async fn locked(&self, digest: &Digest) -> Result<(Location, OwnedMutexGuard<()>)> {
        Ok((place(digest)?, self.lock(digest).await))
    }

    /// Removes a blob; one that is gone already is no error. Durable on return.
    ///
    /// Once begun it runs to its end under the digest's lock, even when the caller stops waiting: it
    /// cannot remove what was put after it.
    pub async fn delete(&self, digest: &Digest) -> Result<()> {
        self.delete_all(vec![*digest]).await
    }

    /// Removes many blobs at less cost than one by one.
    pub async fn delete_all(&self, digests: Vec<Digest>) -> Result<()> {
        let removal = |digest| {
            Ok(Removal {
                file: place(digest)?,
                prune: 1,
            })
        };
        let files = digests.iter().map(removal).collect::<Result<_>>()?;
        // In one order, each once: two deletions must not wait for each other.
        let mut locks: Vec<u8> = digests.iter().map(|digest| digest.bytes()[0]).collect();
        locks.sort_unstable();
        locks.dedup();
        let mut held = Vec::with_capacity(locks.len());
        for lock in locks {
            held.push(Arc::clone(&self.locks[usize::from(lock)]).lock_owned().await);
        }
        self.driver.delete(files, Durability::Now, Some(Arc::new(held))).await?;
        Ok(())
    }

    /// Reads the bytes again and compares their digest.
    pub async fn verify(&self, digest: &Digest) -> Result<Verdict> {
        Ok(self.check(digest, false, &Pace::new(None)).await?.verdict)
    }

    /// The same at a pace; on request with the sha512 of the bytes.
    pub async fn check(&self, digest: &Digest, wants_sha512: bool, pace: &Pace) -> Result<Checked> {
        // of what is opened afterwards, or of what was replaced: never of what comes later
        let gone = Checked {
            verdict: Verdict::Missing,
            sha512: None,
            fingerprint: None,
        };
        let Some(fingerprint) = self.driver.stat_file(&place(digest)?).await? else {
            return Ok(gone);
        };
        let Some(reader) = self.open_known(digest, fingerprint.size).await? else {
            return Ok(gone);
        };
        let mut stream = reader.stream(0..reader.size());
        let mut hashes = (Sha256::new(), wants_sha512.then(Sha512::new));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            pace.wait(chunk.len()).await;
            hashes = blocking::start(move || {
                let (sha256, sha512) = hashes;
                (
                    sha256.chain_update(&chunk),
                    sha512.map(|hash| hash.chain_update(&chunk)),
                )
            })
            .await?;
        }
        let size = reader.size();
        let found = Digest::Sha256(hashes.0.finalize().into());
        let verdict = if found == *digest {
            Verdict::Whole { size }
        } else {
            Verdict::Differs { size, found }
        };
        let sha512 = hashes.1.map(|hash| Digest::Sha512(hash.finalize().into()));
        Ok(Checked {
            verdict,
            sha512,
            fingerprint: Some(fingerprint),
        })
    }

    /// Moves the bytes of a blob aside, into `wharf/quarantine/` under their hexadecimal digest, where
    /// they replace what was put there before. `false` when the file is not the one that was found
    /// damaged, as [`check`](Self::check) answered it: others may have come meanwhile.
    pub async fn quarantine(&self, digest: &Digest, damaged: &Fingerprint) -> Result<bool> {
        let location = place(digest)?;
        let lock = self.lock(digest).await;
        let now = self.driver.stat_file(&location).await?;
        if now.as_ref() != Some(damaged) {
            return Ok(false);
        }
        self.driver
            .rename(&location, &paths::quarantined(digest), Some(Arc::new(lock)))
            .await?;
        Ok(true)
    }

    async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        Arc::clone(&self.locks[usize::from(digest.bytes()[0])])
            .lock_owned()
            .await
    }
}

fn place(digest: &Digest) -> Result<Location> {
    debug_assert_eq!(LOCKS, 1 << 8, "one lock per first byte");
    paths::blob(digest).ok_or_else(|| {
        let reason = format!("bytes are stored under {} only", Algorithm::Sha256.as_str());
        Error::because(ErrorKind::Invalid, "find", digest, reason)
    })
}
