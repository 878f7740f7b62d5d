//! What the tests of this crate share.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use wharf_metadata::{Metadata, sqlite::Config};
use zeroize::Zeroizing;

use crate::{Accounts, Clock, PasswordQueue, Random};

/// Bytes that never repeat and are the same in every run.
pub(crate) fn random() -> Random {
    let state = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    Arc::new(move |bytes| {
        for byte in bytes {
            let mut value = state.load(Ordering::Relaxed);
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
            state.store(value, Ordering::Relaxed);
            *byte = value.to_le_bytes()[3];
        }
    })
}

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }

    pub(crate) fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || jiff::Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap())
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst) / 1000
    }
}

/// An index in a folder of its own.
pub(crate) struct Index {
    folder: tempfile::TempDir,
    pub(crate) clock: ManualClock,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: ManualClock::new(),
        }
    }

    /// As a process that starts sees it.
    pub(crate) fn open(&self) -> Metadata {
        Metadata::open_sqlite(Config::new(self.folder.path().join("index.db"))).unwrap()
    }

    /// Accounts of a process that starts; a second call is a second process.
    pub(crate) fn accounts(&self) -> Accounts {
        Accounts::new(self.open(), PasswordQueue::new(2, 100), self.clock.clock(), random())
    }
}

pub(crate) fn password(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}
