//! OpenTelemetry traces over OTLP/HTTP. Off unless configured; then one span per request, which
//! continues the trace of its caller.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request};
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::filter::Targets;

/// Where traces go, and which.
#[derive(Clone)]
pub struct Config {
    /// The whole URL, such as `http://collector:4318/v1/traces`.
    pub endpoint: String,
    /// Headers of each export; they may hold secrets and are never printed.
    pub headers: Vec<(String, String)>,
    /// `service.name`
    pub service_name: String,
    /// Further attributes of the resource.
    pub attributes: Vec<(String, String)>,
    /// Which share of the traces that begin here is kept, 0 to 1.
    pub sample_ratio: f64,
    /// Whether a caller's decision is followed.
    pub parent_based: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint)
            .field("service_name", &self.service_name)
            .field("sample_ratio", &self.sample_ratio)
            .finish_non_exhaustive()
    }
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The exporter refuses its settings.
    #[error("cannot send traces to {endpoint}: {reason}")]
    Exporter {
        /// The endpoint as it was given.
        endpoint: String,
        /// What the exporter says.
        reason: String,
    },
    /// The thread that sets it up did not end well.
    #[error("setting up traces failed")]
    Setup,
}

/// Whether spans are made at all.
static ENABLED: AtomicBool = AtomicBool::new(false);
const TARGET: &str = "wharf::trace";

pub(super) fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Only our request spans, and spans below them, are exported.
pub(super) fn filter() -> Targets {
    Targets::new().with_target("wharf", LevelFilter::INFO)
}

#[derive(Debug)]
pub(super) struct Provider(SdkTracerProvider);

impl Provider {
    pub(super) fn finish(self) {
        let limit = Duration::from_secs(5);
        let waiting = std::thread::spawn(move || self.0.shutdown_with_timeout(limit));
        match waiting.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(_) => tracing::warn!("sending the last traces failed"),
        }
    }
}

/// Builds exporter and layer. The exporter's client blocks, so it is made on a thread that belongs
/// to no runtime.
pub(super) fn start<S>(config: &Config) -> Result<(Provider, OpenTelemetryLayer<S, SdkTracer>), TracesError>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let config = config.clone();
    let building = std::thread::spawn(move || provider(&config));
    let provider = building.join().map_err(|_| TracesError::Setup)??;
    let tracer = provider.tracer("wharf");
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_threads(false)
        .with_location(false);
    Ok((Provider(provider), layer))
}

fn provider(config: &Config) -> Result<SdkTracerProvider, TracesError> {
    let headers: HashMap<_, _> = config.headers.iter().cloned().collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(&config.endpoint)
        .with_headers(headers)
        .build()
        .map_err(|error| TracesError::Exporter {
            endpoint: config.endpoint.clone(),
            reason: error.to_string(),
        })?;
    let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
    let sampler = if config.parent_based {
        Sampler::ParentBased(Box::new(ratio))
    } else {
        ratio
    };
    let attributes = config.attributes.iter();
    let attributes = attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder()
        .with_attributes(attributes)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(config.service_name.clone())
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build())
}

/// The span of a request, a child of the caller's if it sent a `traceparent`. Costs one atomic
/// load while traces are off; `handler` names the kind of endpoint only when they are on. Record
/// `http.response.status_code` on it at the end.
#[must_use]
pub fn request_span<B>(request: &Request<B>, handler: impl FnOnce() -> &'static str) -> Span {
    if !ENABLED.load(Ordering::Relaxed) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format_args!("{} {}", request.method(), handler()),
        otel.kind = "server",
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = tracing::field::Empty,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
    // fails only without the layer, when there is nothing to be a child of
    let _ = span.set_parent(parent);
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
