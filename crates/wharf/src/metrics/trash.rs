//! How much lies in the trash.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use wharf_registry::trash::Trash;

/// Reads what was counted last when it is scraped; all is zero until there is a trash.
#[derive(Clone, Default)]
pub(super) struct Trashed(Arc<OnceLock<Trash>>);

impl Trashed {
    /// A second trash of the same process is not watched.
    pub(super) fn watch(&self, trash: Trash) {
        self.0.get_or_init(|| trash);
    }
}

impl fmt::Debug for Trashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trashed")
    }
}

impl Collector for Trashed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let usage = self.0.get().map(Trash::counted).unwrap_or_default();
        for (name, help, value) in [
            ("wharf_trash_manifests", "Manifests in the trash.", usage.manifests),
            (
                "wharf_trash_tags",
                "Tags in the trash that were deleted alone.",
                usage.tags,
            ),
            ("wharf_trash_bytes", "Bytes that the trash holds.", usage.bytes),
            (
                "wharf_trash_freeable_bytes",
                "Those that nothing else needs.",
                usage.only_here,
            ),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&value)?;
        }
        Ok(())
    }
}
