//! Counters of a listener, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a listener has seen. All values only grow, except `open`.
#[derive(Debug, Default)]
pub struct Stats {
    accepted: AtomicU64,
    closed: AtomicU64,
    handshake_failures: AtomicU64,
    timeouts: AtomicU64,
    panics: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $add:ident;)*) => {
        impl Stats {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> u64 {
                    self.$name.load(Ordering::Relaxed)
                }

                pub(super) fn $add(&self, count: u64) {
                    self.$name.fetch_add(count, Ordering::Relaxed);
                }
            )*
        }
    };
}

counters! {
    /// Connections accepted.
    accepted, add_accepted;
    /// Connections ended.
    closed, add_closed;
    /// TLS handshakes that failed.
    handshake_failures, add_handshake_failures;
    /// Connections closed because a head or a handshake took too long.
    timeouts, add_timeouts;
    /// Handlers that panicked.
    panics, add_panics;
    /// Bytes received, with headers, without TLS framing where there is TLS.
    bytes_in, add_bytes_in;
    /// Bytes sent.
    bytes_out, add_bytes_out;
}

impl Stats {
    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.accepted().saturating_sub(self.closed())
    }
}
