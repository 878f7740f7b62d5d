//! Whether the process can serve, and why not.

mod checks;
mod debug;
mod responses;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use checks::{Check, CheckError, HttpTarget};
pub use debug::{Debug, DebugConfig};
pub use responses::{live, ready};

/// The state of all checks and conditions. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many gates fail, so that a request asks with one load.
    failing_gates: AtomicUsize,
    failures: Mutex<BTreeMap<(Scope, String), String>>,
}

/// What a failure stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every route answers 503 UNAVAILABLE, as distribution does while a configured check fails.
    Gate,
    /// Only `/readyz` says no: what is served stays served (starting, standing by, stopping).
    Ready,
}

/// Whether requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// They are.
    Serving,
    /// A configured check fails: answer 503 UNAVAILABLE.
    Failing,
}

impl Health {
    /// Everything well so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether requests are served: one atomic load.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.0.failing_gates.load(Ordering::Acquire) == 0 {
            Status::Serving
        } else {
            Status::Failing
        }
    }

    /// Says that something fails, and why.
    pub fn fail(&self, scope: Scope, name: &str, reason: impl Into<String>) {
        let reason = reason.into();
        let mut failures = self.lock();
        let before = failures.insert((scope, name.to_owned()), reason.clone());
        self.count(&failures);
        drop(failures);
        if before.is_none() {
            match scope {
                Scope::Gate => tracing::error!(check = name, reason, "health check fails, answering 503 to everything"),
                Scope::Ready => tracing::info!(condition = name, reason, "not ready"),
            }
        }
    }

    /// Says that something is well, or well again.
    pub fn recover(&self, scope: Scope, name: &str) {
        let mut failures = self.lock();
        let before = failures.remove(&(scope, name.to_owned()));
        self.count(&failures);
        drop(failures);
        if before.is_some() {
            match scope {
                Scope::Gate => tracing::info!(check = name, "health check passes again"),
                Scope::Ready => tracing::info!(condition = name, "condition cleared"),
            }
        }
    }

    /// The failing checks with their reasons: the body of `/debug/health`.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<String, String> {
        let failures = self.lock();
        let gates = failures.iter().filter(|((scope, _), _)| *scope == Scope::Gate);
        gates
            .map(|((_, name), reason)| (name.clone(), reason.clone()))
            .collect()
    }

    /// Why the process is not ready: failing checks and conditions. Empty when it is.
    #[must_use]
    pub fn not_ready(&self) -> BTreeMap<String, String> {
        let failures = self.lock();
        let all = failures.iter();
        all.map(|((_, name), reason)| (name.clone(), reason.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Scope, String), String>> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, failures: &BTreeMap<(Scope, String), String>) {
        let gates = failures.keys().filter(|(scope, _)| *scope == Scope::Gate);
        self.0.failing_gates.store(gates.count(), Ordering::Release);
    }
}
