//! Why a wish about jobs is refused.

use crate::schedule::ScheduleError;

/// A refused or failed operation on jobs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody registered this kind.
    #[error("there is no kind of jobs called {kind:?}; known are: {known}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is, separated by commas.
        known: String,
    },
    /// Jobs of this kind need more than their name to be started.
    #[error("jobs of kind {0} cannot be started by hand")]
    NotStartable(String),
    /// No such job, or it was forgotten.
    #[error("there is no job {0}")]
    UnknownJob(i64),
    /// A schedule that means nothing.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The index fails.
    #[error(transparent)]
    Index(#[from] wharf_metadata::Error),
}
