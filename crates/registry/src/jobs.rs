//! The jobs engine as front doors see it: they manage jobs, and let capabilities make them.

pub use wharf_jobs::{Actor, Cancelled, Error, Job, Jobs, KindStatus, LogLine, State};
