//! What is counted of jobs, by kind.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wharf_jobs::End;

use super::collect::histogram;
use super::histogram::{Histogram, JOB_SECONDS};
use super::{Inner, Outcomes};

/// Every end of an attempt.
const ENDS: [End; 6] = [
    End::Done,
    End::Failed,
    End::Retried,
    End::Cancelled,
    End::Interrupted,
    End::Lost,
];

/// What is counted of one kind of jobs.
#[derive(Debug)]
pub struct JobMetrics {
    ends: Outcomes<{ ENDS.len() }>,
    seconds: Histogram,
    waiting: AtomicU64,
    running: AtomicU64,
    /// In seconds since 1970; 0 for never.
    last_success: AtomicI64,
}

impl JobMetrics {
    pub(super) fn new() -> Self {
        Self {
            ends: Outcomes::new(ENDS.map(End::as_str)),
            seconds: Histogram::new(JOB_SECONDS),
            waiting: AtomicU64::new(0),
            running: AtomicU64::new(0),
            last_success: AtomicI64::new(0),
        }
    }

    /// Counts an attempt that has ended.
    pub fn ended(&self, end: End, took: Duration) {
        if let Some(index) = ENDS.iter().position(|known| *known == end) {
            self.ends.count(index);
        }
        self.seconds.observe(took);
    }

    /// Takes what the index says: how many wait and run, and when one was last done.
    pub(super) fn stand(&self, waiting: u64, running: u64, last_success: Option<i64>) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.running.store(running, Ordering::Relaxed);
        self.last_success
            .store(last_success.unwrap_or_default(), Ordering::Relaxed);
    }
}

impl Inner {
    pub(super) fn jobs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Jobs that wait and run.";
        let mut metric = encoder.encode_descriptor("wharf_jobs", help, None, MetricType::Gauge)?;
        for (kind, job) in self.jobs.iter() {
            for (state, count) in [("waiting", &job.waiting), ("running", &job.running)] {
                let labels = [("kind", kind), ("state", state)];
                metric
                    .encode_family(&labels)?
                    .encode_gauge(&count.load(Ordering::Relaxed))?;
            }
        }
        let help = "Attempts at jobs, by how they ended.";
        let mut metric = encoder.encode_descriptor("wharf_job_attempts", help, None, MetricType::Counter)?;
        for (kind, job) in self.jobs.iter() {
            for (result, count) in job.ends.read() {
                let labels = [("kind", kind), ("result", result)];
                metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        self.job_times(encoder)
    }

    fn job_times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("wharf_job_duration_seconds", "How long attempts at jobs took.");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (kind, job) in self.jobs.iter() {
            histogram(metric.encode_family(&[("kind", kind)])?, &job.seconds)?;
        }
        let help = "When a job was last done, in seconds since 1970.";
        let name = "wharf_job_last_success_timestamp_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (kind, job) in self.jobs.iter() {
            let last = job.last_success.load(Ordering::Relaxed);
            if last != 0 {
                metric.encode_family(&[("kind", kind)])?.encode_gauge(&last)?;
            }
        }
        Ok(())
    }
}
