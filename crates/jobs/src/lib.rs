//! The jobs engine: long and scheduled work that survives restarts and runs once, however many
//! processes share the index. It knows no job.
//!
//! A capability describes its [`Kind`], implements [`Work`] and registers both with the
//! [`Runner`]; whoever wants the work done enqueues a [`NewJob`] through [`Jobs`], in the
//! transaction of the change that asks for it. A job is run at least once: work must be able to
//! begin again, from its checkpoint or from the start.
//!
//! ```no_run
//! # use wharf_jobs::{Jobs, Kind, NewJob, Outcome, Run, Runner, RunnerConfig};
//! # async fn example(metadata: wharf_metadata::Metadata, clock: wharf_jobs::Clock) -> Result<(), wharf_jobs::Error> {
//! async fn sweep(run: Run) -> Outcome {
//!     let mut done = run.checkpoint::<u64>()?.unwrap_or_default();
//!     while done < 100 {
//!         run.go_on()?;
//!         done += 1;
//!         run.progress(done, Some(100), "rooms");
//!         run.save(&done).await?;
//!     }
//!     run.log("swept");
//!     Ok(serde_json::json!({ "rooms": done }))
//! }
//!
//! let jobs = Jobs::new(metadata, clock);
//! let mut runner = Runner::new(jobs.clone(), RunnerConfig::new("host-1"));
//! runner.register(Kind::new("sweep", "Sweeps the rooms"), sweep);
//! let job = jobs.enqueue(NewJob::new("sweep").by("alice")).await?;
//! # drop(job);
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod failure;
pub mod handle;
pub mod kind;
pub mod run;
pub mod runner;
pub mod schedule;

use std::sync::Arc;

pub use error::Error;
pub use failure::{Failure, Outcome};
pub use handle::{Actor, Jobs, NewJob};
pub use kind::{Kind, KindStatus, Work};
pub use run::Run;
pub use runner::{End, Ended, Observer, Runner, RunnerConfig};
pub use schedule::Schedule;
pub use wharf_metadata::jobs::{Cancelled, Enqueued, Job, LogLine, Progress, State};

/// The time, handed down from the composition root.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;
