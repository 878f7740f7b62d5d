//! Writing our tables as metrics.

use std::fmt;
use std::sync::PoisonError;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Inner;
use super::histogram::Histogram;
use super::http::HttpMetrics;
use crate::listen::Stats;

impl Collector for Inner {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.build(&mut encoder)?;
        self.requests(&mut encoder)?;
        self.sizes(&mut encoder)?;
        self.actions(&mut encoder)?;
        self.outcomes(&mut encoder)?;
        self.jobs(&mut encoder)?;
        self.connections(&mut encoder)
    }
}

impl Inner {
    fn build(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The version of this program.";
        let mut build = encoder.encode_descriptor("wharf_build_info", help, None, MetricType::Gauge)?;
        let labels = [("version", self.version)];
        build.encode_family(&labels)?.encode_gauge(&1_u64)
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The in-flight HTTP requests.";
        let name = "registry_http_in_flight_requests";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (handler, http) in self.http.iter() {
            let labels = [("handler", handler)];
            metric.encode_family(&labels)?.encode_gauge(&http.in_flight())?;
        }
        let help = "Total number of HTTP requests made.";
        let name = "registry_http_requests";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (handler, http) in self.http.iter() {
            codes(&mut metric, handler, http)?;
        }
        let help = "The HTTP request latencies in seconds.";
        let name = "registry_http_request_duration_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (handler, http) in self.http.iter() {
            for (method, metrics) in http.methods() {
                let labels = [("handler", handler), ("method", method)];
                histogram(metric.encode_family(&labels)?, metrics.duration())?;
            }
        }
        Ok(())
    }

    fn sizes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The HTTP request sizes in bytes.";
        let name = "registry_http_request_size_bytes";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (handler, http) in self.http.iter() {
            histogram(metric.encode_family(&[("handler", handler)])?, http.sizes().0)?;
        }
        let help = "The HTTP response sizes in bytes.";
        let name = "registry_http_response_size_bytes";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (handler, http) in self.http.iter() {
            histogram(metric.encode_family(&[("handler", handler)])?, http.sizes().1)?;
        }
        Ok(())
    }

    fn actions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The number of seconds that the storage action takes.";
        let name = "registry_storage_action_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (driver, actions) in self.storage.iter() {
            for (action, seconds) in actions.iter() {
                let labels = [("driver", driver), ("action", action)];
                histogram(metric.encode_family(&labels)?, seconds)?;
            }
        }
        Ok(())
    }

    fn outcomes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How credentials of requests were judged.";
        let name = "wharf_authentications";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (result, count) in self.authentications.read() {
            metric
                .encode_family(&[("result", result)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "What became of uploads.";
        let mut metric = encoder.encode_descriptor("wharf_uploads", help, None, MetricType::Counter)?;
        for (result, count) in self.uploads.read() {
            metric
                .encode_family(&[("result", result)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let help = "Connections that are open.";
        let name = "wharf_connections_open";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (listener, stats) in listeners.iter() {
            let labels = [("listener", *listener)];
            metric.encode_family(&labels)?.encode_gauge(&stats.open())?;
        }
        for (name, help, read) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (listener, stats) in listeners.iter() {
                let labels = [("listener", *listener)];
                let count = read(stats);
                metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

/// A counter of every listener: its name, its help, and how it is read.
type ListenerCounter = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: [ListenerCounter; 6] = [
    ("wharf_connections", "Connections accepted.", Stats::accepted),
    (
        "wharf_tls_handshake_failures",
        "TLS handshakes that failed.",
        Stats::handshake_failures,
    ),
    (
        "wharf_connection_timeouts",
        "Connections closed because a request head or handshake took too long.",
        Stats::timeouts,
    ),
    (
        "wharf_request_panics",
        "Requests that failed by a fault of this program.",
        Stats::panics,
    ),
    (
        "wharf_network_received_bytes",
        "Bytes received, headers included.",
        Stats::bytes_in,
    ),
    (
        "wharf_network_sent_bytes",
        "Bytes sent, headers included.",
        Stats::bytes_out,
    ),
];

fn codes(metric: &mut MetricEncoder<'_>, handler: &str, http: &HttpMetrics) -> fmt::Result {
    for (method, metrics) in http.methods() {
        for (code, count) in metrics.codes() {
            let code = code.to_string();
            let labels = [("code", code.as_str()), ("handler", handler), ("method", method)];
            let mut series = metric.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

pub(super) fn histogram(mut series: MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let (sum, count, buckets) = histogram.read();
    series.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
