//! Time and chance, decided by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use wharf_registry::{Clock, Random};

/// A clock that stands until it is moved.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }
}

impl ManualClock {
    /// Moves it.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("a sensible time");
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// As the registry reads it.
    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || jiff::Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap())
    }

    /// The time it shows.
    pub fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Bytes that look random and are the same for the same seed.
pub fn random(seed: u64) -> Random {
    let state = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    Arc::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            let step = |mut value: u64| {
                value ^= value << 13;
                value ^= value >> 7;
                value ^= value << 17;
                Some(value)
            };
            let before = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
            *byte = before.unwrap_or_default().to_le_bytes()[3];
        }
    })
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    waited.unwrap_or_else(|_| panic!("never happened: {what}"));
}
