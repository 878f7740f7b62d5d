//! What Go's and most other clients tell about the process, under the same names.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Reads `/proc/self` at each scrape. Where there is none, the metrics are absent.
#[derive(Debug)]
pub(super) struct Process {
    page: u64,
    ticks: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            page: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
            ticks: f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some((cpu, resident)) = self.stat() {
            let help = "Total user and system CPU time spent in seconds.";
            let name = "process_cpu_seconds";
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&cpu, None)?;
            let help = "Resident memory size in bytes.";
            let name = "process_resident_memory_bytes";
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&resident)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            let open = u64::try_from(files.count()).unwrap_or(u64::MAX);
            let help = "Number of open file descriptors.";
            let mut metric = encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            metric.encode_gauge(&open)?;
        }
        Ok(())
    }
}

impl Process {
    /// CPU seconds and resident bytes.
    fn stat(&self) -> Option<(f64, u64)> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // the second field is the name in parentheses and may hold anything
        let (_, after_name) = stat.rsplit_once(") ")?;
        let mut fields = after_name.split(' ');
        // proc(5): utime and stime are fields 14 and 15, rss is field 24; we begin at 3
        let user: u32 = fields.nth(11)?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        let resident: u64 = fields.nth(8)?.parse().ok()?;
        let cpu = (f64::from(user) + f64::from(system)) / self.ticks;
        Some((cpu, resident.saturating_mul(self.page)))
    }
}
