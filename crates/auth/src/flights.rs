//! One check at a time per credential: the others wait and find the result remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Turn, MutexGuard};

use crate::remembered::Fingerprint;

/// The credentials that are being checked now.
#[derive(Default)]
pub(crate) struct Flights {
    now: Mutex<HashMap<Fingerprint, Arc<Turn<()>>>>,
}

/// One who waits for, or does, a check. Leaves when dropped, however its request ends.
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    fingerprint: Fingerprint,
    turn: Arc<Turn<()>>,
}

impl Flights {
    /// Joins those who want the same credential checked.
    pub(crate) fn board(&self, fingerprint: Fingerprint) -> Flight<'_> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Flight {
            flights: self,
            turn: Arc::clone(now.entry(fingerprint).or_default()),
            fingerprint,
        }
    }
}

impl Flight<'_> {
    /// Waits for its turn.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut now = self.flights.now.lock().unwrap_or_else(PoisonError::into_inner);
        // Two: the table's and this one. New ones are only made under the lock that is held here.
        if Arc::strong_count(&self.turn) == 2 {
            now.remove(&self.fingerprint);
        }
    }
}
