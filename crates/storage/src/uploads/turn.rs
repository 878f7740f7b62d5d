//! Who may write to a session now.

use crate::{Error, ErrorKind, Result};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// The sessions that somebody has opened in this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Uuid, Weak<Holder>>>>);

#[derive(Debug, Default)]
struct Holder {
    /// The number of the latest turn.
    latest: AtomicU64,
    /// Held while bytes change.
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// The right to write to one session until somebody else takes it.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    id: Uuid,
    number: u64,
    holder: Arc<Holder>,
}

impl Turns {
    /// Takes the session from whoever has it.
    pub(super) fn take(&self, id: Uuid) -> Turn {
        let holder = self.holder(id);
        let number = holder.latest.fetch_add(1, Ordering::SeqCst) + 1;
        Turn { id, number, holder }
    }

    fn holder(&self, id: Uuid) -> Arc<Holder> {
        let mut holders = lock(&self.0);
        if let Some(holder) = holders.get(&id).and_then(Weak::upgrade) {
            return holder;
        }
        // Forgets the ended ones whenever the table would grow.
        if holders.len() == holders.capacity() {
            holders.retain(|_, holder| holder.strong_count() > 0);
        }
        let holder = Arc::new(Holder::default());
        holders.insert(id, Arc::downgrade(&holder));
        holder
    }
}

impl Turn {
    /// Waits until nobody else changes the session, and keeps it so while the answer lives. An
    /// error when somebody has taken the session meanwhile.
    pub(super) async fn hold(&self) -> Result<OwnedMutexGuard<()>> {
        let writing = Arc::clone(&self.holder.writing).lock_owned().await;
        if self.holder.latest.load(Ordering::SeqCst) == self.number {
            Ok(writing)
        } else {
            Err(Error::new(ErrorKind::Superseded, "continue upload", self.id))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data are whole after each statement, also when a thread panicked while it held the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
