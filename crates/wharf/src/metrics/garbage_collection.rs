//! What the garbage collector has done, and what waits for it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector as Metrics;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wharf_registry::garbage_collection::Collector;

/// Reads the collector when it is scraped; all is zero until there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected(Arc<OnceLock<Collector>>);

impl Collected {
    /// A second collector of the same process is not watched.
    pub(super) fn watch(&self, collector: Collector) {
        self.0.get_or_init(|| collector);
    }
}

impl Metrics for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.0.get().map(Collector::totals).unwrap_or_default();
        let counts = totals.counts;
        for (name, help, value) in [
            (
                "wharf_gc_manifests_removed",
                "Manifests that were collected.",
                counts.manifests,
            ),
            (
                "wharf_gc_links_removed",
                "Links of repositories that were collected.",
                counts.links,
            ),
            (
                "wharf_gc_blobs_condemned",
                "Blobs that were condemned.",
                counts.condemned,
            ),
            (
                "wharf_gc_blobs_deleted",
                "Blobs whose bytes were deleted.",
                counts.blobs,
            ),
            ("wharf_gc_freed_bytes", "Bytes that were deleted.", counts.bytes),
            ("wharf_gc_runs", "Collections that came to their end.", totals.runs),
            ("wharf_gc_failures", "Collections that failed.", totals.failures),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        for (name, help, value) in [
            (
                "wharf_gc_waiting",
                "Reviews that wait, also those that are not due.",
                totals.waiting,
            ),
            ("wharf_gc_condemned", "Blobs that are condemned.", totals.condemned),
            (
                "wharf_gc_last_end_timestamp_seconds",
                "When a collection last ended.",
                totals.last_end,
            ),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&value)?;
        }
        Ok(())
    }
}
