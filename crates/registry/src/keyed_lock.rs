//! One lock per key, made when it is needed and dropped when nobody holds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by key. Cloning shares them.
#[derive(Clone, Debug)]
pub struct KeyedLock<K> {
    locks: Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>,
}

/// A held lock.
#[derive(Debug)]
pub struct KeyedGuard<K: Eq + Hash> {
    locks: KeyedLock<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self { locks: Arc::default() }
    }
}

impl<K: Eq + Hash + Clone> KeyedLock<K> {
    /// Waits until nobody else holds the lock of `key`.
    pub async fn lock(&self, key: K) -> KeyedGuard<K> {
        let lock = self.map().entry(key.clone()).or_default().clone();
        let guard = lock.lock_owned().await;
        KeyedGuard {
            locks: self.clone(),
            key,
            guard: Some(guard),
        }
    }
}

impl<K: Eq + Hash> KeyedLock<K> {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<tokio::sync::Mutex<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedGuard<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.map();
        drop(self.guard.take());
        // a waiter holds a second reference; the last one to leave removes the entry
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_is_held_once_and_forgotten_afterwards() {
        let locks = KeyedLock::default();
        let first = locks.lock("a").await;
        let other = locks.lock("b").await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), locks.lock("a")).await;
        assert!(waiting.is_err());
        drop(other);
        drop(first);
        drop(locks.lock("a").await);
        assert!(locks.map().is_empty());
    }
}
