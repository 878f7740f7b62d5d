//! How fast garbage is collected, so that requests hardly notice.

use std::time::Duration;

use super::{BATCH, Policy};

/// The longest rest between two questions whether to go on.
const NAP: Duration = Duration::from_millis(500);

/// Keeps a run below the rates of its policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    objects_per_second: Option<u64>,
    bytes_per_second: Option<u64>,
}

impl Pace {
    pub(super) const fn new(policy: &Policy) -> Self {
        Self {
            objects_per_second: policy.objects_per_second,
            bytes_per_second: policy.bytes_per_second,
        }
    }

    /// How many objects one batch may take: not more than those of a second.
    pub(super) fn batch(&self) -> usize {
        let limit = self.objects_per_second.unwrap_or(BATCH as u64).max(1);
        usize::try_from(limit).unwrap_or(BATCH).min(BATCH)
    }

    /// How long a batch like this one must last.
    fn owed(&self, objects: u64, bytes: u64) -> Duration {
        let seconds = |amount: u64, rate: Option<u64>| match rate {
            None | Some(0) => Duration::ZERO,
            Some(rate) => Duration::from_micros(amount.saturating_mul(1_000_000) / rate),
        };
        seconds(objects, self.objects_per_second).max(seconds(bytes, self.bytes_per_second))
    }

    /// Waits until the next batch may begin, or `go_on` says no.
    pub(super) async fn rest(&self, objects: u64, bytes: u64, mut go_on: impl FnMut() -> bool) {
        let mut owed = self.owed(objects, bytes);
        while !owed.is_zero() && go_on() {
            let nap = owed.min(NAP);
            tokio::time::sleep(nap).await;
            owed -= nap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(objects: Option<u64>, bytes: Option<u64>) -> Pace {
        Pace {
            objects_per_second: objects,
            bytes_per_second: bytes,
        }
    }

    #[test]
    fn the_slower_of_both_rates_counts() {
        assert_eq!(pace(None, None).owed(1_000, 1 << 40), Duration::ZERO);
        assert_eq!(pace(Some(100), None).owed(50, 1 << 40), Duration::from_millis(500));
        assert_eq!(pace(Some(100), Some(1_000)).owed(50, 2_000), Duration::from_secs(2));
    }

    #[test]
    fn a_batch_is_never_more_than_a_second_allows_and_never_nothing() {
        assert_eq!(pace(None, None).batch(), BATCH);
        assert_eq!(pace(Some(10), None).batch(), 10);
        assert_eq!(pace(Some(0), None).batch(), 1);
        assert_eq!(pace(Some(1_000_000), None).batch(), BATCH);
    }
}
