//! Work that one process at a time may do, where several share an index.

use std::sync::Arc;
use std::time::Duration;

use wharf_metadata::{Metadata, Timestamp, leases};

use crate::garbage_collection::{LONGEST_REQUEST, micros};
use crate::{Clock, Error, Result};

/// How often a turn is prolonged.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long a turn lasts after it was prolonged: whatever its holder had begun in the storage has
/// ended by then, so that nothing of it arrives after somebody else has begun.
const LEASE: Duration = Duration::from_secs(LONGEST_REQUEST.as_secs() + 15);
/// The same for work that changes nothing in the storage, which others wait for.
const SHORT_LEASE: Duration = Duration::from_secs(15);
/// How often it is looked whether a turn is free.
const LOOKS: Duration = Duration::from_millis(100);

/// The turns of one process. Cloning shares them.
#[derive(Clone)]
pub struct Turns {
    metadata: Metadata,
    /// Names this process among all that ever were.
    holder: Arc<str>,
    clock: Clock,
    lease: Duration,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

impl Turns {
    /// Of a process that calls itself `holder`, which no other does or ever did.
    pub fn new(metadata: Metadata, holder: &str, clock: Clock) -> Self {
        Self {
            metadata,
            holder: holder.into(),
            clock,
            lease: LEASE,
        }
    }

    /// For work that changes nothing in the storage that could arrive late: who waits for a process
    /// that died waits less.
    #[must_use]
    pub fn short(mut self) -> Self {
        self.lease = SHORT_LEASE;
        self
    }

    /// Does `work` while no other process does work of the same name; waits for its turn. Where one
    /// process is alone, at once. Who may meet himself in the same process needs a lock of his own.
    ///
    /// # Errors
    ///
    /// What `work` returns; [`Error::Unavailable`] when the turn was lost, and failures of the index.
    pub async fn alone<T, E: From<Error>>(
        &self,
        name: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        if !self.metadata.is_shared() {
            return work.await;
        }
        while !self.take(name).await? {
            tokio::time::sleep(LOOKS).await;
        }
        self.keep(name, work).await
    }

    /// The same if it is nobody else's turn; `None` without having begun if it is.
    ///
    /// # Errors
    ///
    /// As [`Self::alone`].
    pub async fn alone_if_free<T, E: From<Error>>(
        &self,
        name: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<Option<T>, E> {
        if !self.metadata.is_shared() {
            return work.await.map(Some);
        }
        match self.take(name).await? {
            true => self.keep(name, work).await.map(Some),
            false => Ok(None),
        }
    }

    async fn keep<T, E: From<Error>>(
        &self,
        name: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let outcome = tokio::select! {
            outcome = work => outcome,
            lost = self.prolong(name) => Err(lost.into()),
        };
        let (lease, holder) = (name.to_owned(), Arc::clone(&self.holder));
        let released = self
            .metadata
            .write(move |tx| leases::release(tx, &lease, &holder))
            .await;
        if let Err(error) = released {
            let error: wharf_metadata::Error = error;
            tracing::warn!(%error, turn = name, "a turn could not be given back: others wait until it has lapsed");
        }
        outcome
    }

    /// Ends only when the turn is lost.
    async fn prolong(&self, name: &str) -> Error {
        let mut prolonged: Timestamp = self.now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            let asked = self.now();
            match self.take(name).await {
                Ok(true) => prolonged = asked,
                Ok(false) => return lost(name),
                Err(error) => {
                    tracing::warn!(%error, turn = name, "a turn could not be prolonged; it is tried again");
                    if self.now() > prolonged.plus(micros(SHORT_LEASE)) {
                        return lost(name);
                    }
                }
            }
        }
    }

    async fn take(&self, name: &str) -> Result<bool> {
        let (name, holder, now) = (name.to_owned(), Arc::clone(&self.holder), self.now());
        let until = now.plus(micros(self.lease));
        let taken = self
            .metadata
            .write(move |tx| leases::take(tx, &name, &holder, (now, until)));
        Ok(taken.await?)
    }

    fn now(&self) -> Timestamp {
        (self.clock)().into()
    }
}

fn lost(name: &str) -> Error {
    Error::unavailable(format!("the turn at {name} was lost to another process"), 5)
}
