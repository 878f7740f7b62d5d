//! Whose turn it is, where several processes write to the same storage (consistency rule 3).
//!
//! A claim lapses after [`LEASE`]. Whoever has one begins no request to the storage after that, and
//! a request that was begun before has ended [`LONGEST_REQUEST`] later: then an entry that was taken
//! over is written once more, by whoever looks for what nobody mirrors.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_metadata::mirror::{self, Claim, Pending};
use wharf_metadata::{Entry, Metadata, Timestamp, Tx, leases};

use super::Key;
use crate::garbage_collection::{LONGEST_REQUEST, micros};
use crate::keyed_lock::KeyedGuard;
use crate::{Clock, Error, Result};

/// How long a claim lasts. As long may a push wait that meets the claim of a process that died.
const LEASE: Duration = Duration::from_secs(10);
/// How long a request waits for the claims of others.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often it looks whether they are gone, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// Entries that are looked at in one go.
const BATCH: usize = 1_000;

/// The claims of one process. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Claims {
    metadata: Metadata,
    /// Names this process among all that ever were.
    holder: Arc<str>,
    clock: Clock,
    /// What nobody was mirroring at the last look.
    left: Arc<Mutex<HashSet<(Key, i64)>>>,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

/// Entries of a repository that this process may write for a while.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Those that are pending, in order.
    pub(super) entries: Vec<Entry>,
    until: Timestamp,
}

/// Entries that are held still.
#[derive(Debug)]
pub(crate) struct Held {
    _guards: Vec<KeyedGuard<Key>>,
    claims: Option<(Claims, i64, Vec<Entry>)>,
}

impl Held {
    pub(super) const fn new(guards: Vec<KeyedGuard<Key>>, claims: Option<(Claims, i64, Vec<Entry>)>) -> Self {
        Self {
            _guards: guards,
            claims,
        }
    }

    /// Lets the entries go. Without this other processes wait until the claims have lapsed.
    pub(crate) async fn end(self) -> Result<()> {
        let Some((claims, repository_id, entries)) = &self.claims else {
            return Ok(());
        };
        claims.release(*repository_id, entries.clone()).await
    }
}

impl Claims {
    pub(super) const fn new(
        metadata: Metadata,
        holder: Arc<str>,
        clock: Clock,
        left: Arc<Mutex<HashSet<(Key, i64)>>>,
    ) -> Self {
        Self {
            metadata,
            holder,
            clock,
            left,
        }
    }

    /// Claims those of `entries`, which are in order, that are pending; waits while others have one.
    pub(super) async fn claim(&self, repository_id: i64, entries: &[Entry]) -> Result<Claimed> {
        let entries: Arc<[Entry]> = entries.into();
        let claimed = self.until_free(|times| {
            let (entries, holder) = (Arc::clone(&entries), Arc::clone(&self.holder));
            move |tx: &mut Tx<'_>| mirror::claim(tx, repository_id, &entries, times.claim(&holder))
        });
        let (entries, times) = claimed.await?;
        Ok(Claimed {
            entries,
            until: times.until,
        })
    }

    /// Claims all of `entries`, which are in order, so that nobody writes them.
    pub(super) async fn hold(&self, repository_id: i64, entries: &[Entry]) -> Result<()> {
        let entries: Arc<[Entry]> = entries.into();
        let held = self.until_free(|times| {
            let (entries, holder) = (Arc::clone(&entries), Arc::clone(&self.holder));
            move |tx: &mut Tx<'_>| {
                let is_held = mirror::hold(tx, repository_id, &entries, times.claim(&holder))?;
                Ok(is_held.then_some(()))
            }
        });
        held.await.map(drop)
    }

    /// Takes a turn at something that is no entry.
    pub(crate) async fn take(&self, name: &str) -> Result<()> {
        let name: Arc<str> = name.into();
        let taken = self.until_free(|times| {
            let (name, holder) = (Arc::clone(&name), Arc::clone(&self.holder));
            move |tx: &mut Tx<'_>| {
                let is_taken = leases::take(tx, &name, &holder, (times.now, times.until))?;
                Ok(is_taken.then_some(()))
            }
        });
        taken.await.map(drop)
    }

    /// Tries again and again until an attempt finds nobody in its way.
    async fn until_free<T, F, J>(&self, attempt: F) -> Result<(T, Times)>
    where
        T: Send + 'static,
        F: Fn(Times) -> J,
        J: FnMut(&mut Tx<'_>) -> std::result::Result<Option<T>, wharf_metadata::Error> + Send + 'static,
    {
        let began = self.now();
        let mut pause = LOOKS.0;
        loop {
            let times = Times::from(self.now());
            if let Some(done) = self.metadata.write(attempt(times)).await? {
                return Ok((done, times));
            }
            if times.now > began.plus(micros(PATIENCE)) {
                return Err(Error::unavailable(
                    "another process is changing the same in the storage, or has died over it: repeat the request",
                    5,
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// Whether a request to the storage may still be begun.
    pub(super) fn check(&self, claimed: &Claimed) -> Result<()> {
        match self.now() < claimed.until {
            true => Ok(()),
            false => Err(Error::unavailable(
                "the storage is too slow: the turn to write it is over",
                5,
            )),
        }
    }

    pub(super) async fn release(&self, repository_id: i64, entries: Vec<Entry>) -> Result<()> {
        let holder = Arc::clone(&self.holder);
        let released = self
            .metadata
            .write(move |tx| mirror::release(tx, repository_id, &entries, &holder));
        Ok(released.await?)
    }

    pub(crate) fn holder(&self) -> Arc<str> {
        Arc::clone(&self.holder)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)().into()
    }

    /// What nobody has been mirroring since the last look: a process that died has left it, or it is
    /// to be written once more.
    pub(super) async fn left(&self) -> Result<Vec<Key>> {
        let (now, mut found) = (self.now(), HashSet::new());
        let mut after: Option<(i64, Entry)> = None;
        loop {
            let from = after.clone();
            let page = self.metadata.read(move |tx| {
                let from = from.as_ref().map(|(id, entry)| (*id, entry));
                mirror::claimable(tx, from, now, BATCH)
            });
            let page: Vec<Pending> = page.await?;
            after = page.last().map(|row| (row.repository_id, row.entry.clone()));
            let is_last = page.len() < BATCH;
            found.extend(
                page.into_iter()
                    .map(|row| ((row.repository_id, row.entry), row.version)),
            );
            if is_last {
                break;
            }
        }
        let mut before = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = found.intersection(&before).map(|(key, _)| key.clone()).collect();
        *before = found;
        Ok(left)
    }
}

/// The moments of one attempt.
#[derive(Clone, Copy, Debug)]
struct Times {
    now: Timestamp,
    until: Timestamp,
    again_at: Timestamp,
}

impl Times {
    fn from(now: Timestamp) -> Self {
        Self {
            now,
            until: now.plus(micros(LEASE)),
            again_at: now.plus(micros(LONGEST_REQUEST)),
        }
    }

    fn claim(self, holder: &str) -> Claim<'_> {
        Claim {
            holder,
            now: self.now,
            until: self.until,
            again_at: self.again_at,
        }
    }
}
