//! How far the comparison of storage and index is, and what was found wrong.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wharf_registry::adoption::{Phase, Snapshot};
use wharf_registry::finding::FindingKind;
use wharf_registry::verification::{Totals, Verification};

/// Reads the verification when it is scraped; all is zero until there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Verified(Arc<OnceLock<Verification>>);

impl Verified {
    /// A second verification of the same process is not watched.
    pub(super) fn watch(&self, verification: Verification) {
        self.0.get_or_init(|| verification);
    }
}

impl Collector for Verified {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let adoption = self.0.get().map(Verification::adoption).unwrap_or_default();
        adopted(&mut encoder, &adoption)?;
        findings(&mut encoder, &adoption)?;
        let totals = self.0.get().map(Verification::totals).unwrap_or_default();
        verified(&mut encoder, totals)
    }
}

fn adopted(encoder: &mut DescriptorEncoder<'_>, adoption: &Snapshot) -> fmt::Result {
    let is_complete = matches!(adoption.phase, Phase::Blobs | Phase::Complete);
    for (name, help, value) in [
        (
            "wharf_adoption_complete",
            "1 when every repository was compared with its folder since the start.",
            u64::from(is_complete),
        ),
        (
            "wharf_adoption_repositories",
            "Repositories that were compared with their folders.",
            adoption.repositories,
        ),
        (
            "wharf_adoption_repositories_expected",
            "Repositories that are to be compared.",
            adoption.total,
        ),
        (
            "wharf_adoption_repositories_failed",
            "Repositories that could not be compared and are tried again.",
            adoption.failed,
        ),
        ("wharf_adoption_tags", "Tags that were compared.", adoption.tags),
        (
            "wharf_adoption_changes",
            "Entries of the index that followed the storage.",
            adoption.changes,
        ),
    ] {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)?;
    }
    Ok(())
}

fn findings(encoder: &mut DescriptorEncoder<'_>, adoption: &Snapshot) -> fmt::Result {
    let help = "What the comparison at the start found wrong in the storage.";
    let mut metric = encoder.encode_descriptor("wharf_findings", help, None, MetricType::Gauge)?;
    for kind in FindingKind::ALL {
        let count = adoption.findings.get(&kind).map_or(0, |tally| tally.count);
        if count > 0 {
            metric.encode_family(&[("kind", kind.as_str())])?.encode_gauge(&count)?;
        }
    }
    Ok(())
}

fn verified(encoder: &mut DescriptorEncoder<'_>, totals: Totals) -> fmt::Result {
    for (name, help, value) in [
        (
            "wharf_verified_blobs",
            "Blobs whose bytes were read again.",
            totals.blobs,
        ),
        ("wharf_verified_bytes", "Bytes that were read again.", totals.bytes),
    ] {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
    }
    let help = "Blobs whose bytes were found missing or damaged, and not whole since.";
    let mut metric = encoder.encode_descriptor("wharf_damaged_blobs", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&totals.damaged)
}
