//! What it costs that other processes write as well.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wharf_registry::caches::Caches;

/// Reads what was counted when it is scraped; all is zero where one process writes.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<OnceLock<Caches>>);

impl Shared {
    /// Second memories of the same process are not watched.
    pub(super) fn watch(&self, caches: Caches) {
        self.0.get_or_init(|| caches);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (reads, requests) = self.0.get().map(Caches::version_reads).unwrap_or_default();
        for (name, help, value) in [
            (
                "wharf_cache_version_reads",
                "Questions to the index whether what is remembered is true.",
                reads,
            ),
            (
                "wharf_cache_version_requests",
                "Requests that shared their answers.",
                requests,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter);
            metric?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}
