//! How work ends when it does not succeed.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;
use wharf_metadata::error::Kind;

/// What work answers: a summary of what it did (a JSON object, shown to people), or why not.
pub type Outcome = Result<Value, Failure>;

/// Why an attempt failed. The message must not hold secrets: people read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another attempt may succeed.
    #[error("{cause}")]
    Retry {
        /// What went wrong.
        cause: String,
        /// How long to wait; `None` for the kind's own backoff.
        after: Option<Duration>,
    },
    /// No attempt will succeed.
    #[error("{cause}")]
    Fatal {
        /// What is wrong.
        cause: String,
    },
    /// It stopped because it was told to.
    #[error("it was told to stop")]
    Cancelled,
}

impl Failure {
    /// Another attempt may succeed, after the kind's backoff.
    pub fn retry(cause: impl Display) -> Self {
        Self::Retry {
            cause: cause.to_string(),
            after: None,
        }
    }

    /// Another attempt may succeed, not before this time has passed.
    pub fn retry_after(after: Duration, cause: impl Display) -> Self {
        Self::Retry {
            cause: cause.to_string(),
            after: Some(after),
        }
    }

    /// No attempt will succeed.
    pub fn fatal(cause: impl Display) -> Self {
        Self::Fatal {
            cause: cause.to_string(),
        }
    }
}

impl From<wharf_metadata::Error> for Failure {
    fn from(error: wharf_metadata::Error) -> Self {
        match error.kind() {
            Kind::Corrupt | Kind::NewerSchema => Self::fatal(error),
            _ => Self::retry(error),
        }
    }
}
