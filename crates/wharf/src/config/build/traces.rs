//! Traces: `telemetry.traces` and the environment of OpenTelemetry
//! (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).

use super::super::error::{Severity, Source, Warning};
use super::super::snippet::Finding;
use super::super::types::{Secret, Traces};
use super::Builder;

const SECTION: &str = "telemetry.traces";

impl Builder<'_> {
    /// The file wins over `OTEL_*` where both say something; `OTEL_SDK_DISABLED` and
    /// `OTEL_TRACES_EXPORTER=none` turn off what only the environment turned on.
    pub(super) fn traces(&mut self) -> Option<Traces> {
        let settings = self.settings;
        let endpoint_path = format!("{SECTION}.endpoint");
        let wanted = settings.bool_if_set(&format!("{SECTION}.enabled"));
        let own = settings.text(&endpoint_path);
        let from_env = self.endpoint_of_env();
        let exporter = self.env("OTEL_TRACES_EXPORTER").map(str::to_owned);
        let by_env = match exporter.as_deref() {
            Some("otlp") => true,
            Some("none") => false,
            Some(other) => {
                self.warn_env(
                    "OTEL_TRACES_EXPORTER",
                    format!("{other:?} is not supported, only otlp and none: no traces are sent"),
                );
                false
            }
            None => from_env.is_some(),
        };
        let disabled = self
            .env("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if !wanted.unwrap_or(own.is_some() || (by_env && !disabled)) {
            return None;
        }
        self.check_protocol();
        let endpoint = match own {
            Some(url) => with_path(&url),
            None => from_env.unwrap_or_else(|| "http://localhost:4318/v1/traces".to_owned()),
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let source = settings.source(&endpoint_path);
            let message = "the endpoint of traces should begin with http:// or https://";
            self.findings.push(Finding::new(message, source).key_only());
        }
        let attributes = pairs(self.env("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let (sample_ratio, parent_based) = self.sampling();
        Some(Traces {
            endpoint,
            headers: self.trace_headers(),
            service_name: self.service_name(&attributes),
            attributes: attributes
                .into_iter()
                .filter(|(name, _)| name != "service.name")
                .collect(),
            sample_ratio,
            parent_based,
        })
    }

    fn endpoint_of_env(&self) -> Option<String> {
        let own = self.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        own.or_else(|| {
            let base = self.env("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/v1/traces", base.trim_end_matches('/')))
        })
    }

    fn check_protocol(&mut self) {
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            let Some(protocol) = self.env(name).map(str::to_owned) else {
                continue;
            };
            if protocol != "http/protobuf" {
                self.warn_env(
                    name,
                    format!("{protocol:?} is not supported: traces go out as http/protobuf"),
                );
            }
        }
    }

    fn trace_headers(&mut self) -> Vec<(String, Secret)> {
        let path = format!("{SECTION}.headers");
        self.check_headers(&path);
        let own = self.settings.headers(&path);
        if !own.is_empty() {
            let one_each = own
                .into_iter()
                .flat_map(|(name, values)| values.into_iter().map(move |v| (name.clone(), v)));
            return one_each.map(|(name, value)| (name, Secret::new(value))).collect();
        }
        let text = self
            .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS")
            .or_else(|| self.env("OTEL_EXPORTER_OTLP_HEADERS"));
        pairs(text.unwrap_or_default())
            .into_iter()
            .map(|(name, value)| (name, Secret::new(value)))
            .collect()
    }

    fn service_name(&self, attributes: &[(String, String)]) -> String {
        let path = format!("{SECTION}.service_name");
        let own = self.settings.text(&path).unwrap_or_default();
        if self.is_set(&path) {
            return own;
        }
        let attribute = attributes
            .iter()
            .find(|(name, _)| name == "service.name")
            .map(|(_, value)| value.clone());
        self.env("OTEL_SERVICE_NAME")
            .map(str::to_owned)
            .or(attribute)
            .unwrap_or(own)
    }

    /// Share and whether the caller's decision holds.
    fn sampling(&mut self) -> (f64, bool) {
        let path = format!("{SECTION}.sample_ratio");
        let own = self.settings.text(&path).unwrap_or_default();
        if self.is_set(&path) {
            return match ratio(&own) {
                Some(ratio) => (ratio, true),
                None => {
                    self.wrong(&path, format!("{own:?} is not a number from 0 to 1"), "");
                    (1.0, true)
                }
            };
        }
        let sampler = self
            .env("OTEL_TRACES_SAMPLER")
            .unwrap_or("parentbased_always_on")
            .to_owned();
        let argument = self.env("OTEL_TRACES_SAMPLER_ARG").and_then(ratio).unwrap_or(1.0);
        match sampler.as_str() {
            "always_on" => (1.0, false),
            "always_off" => (0.0, false),
            "traceidratio" => (argument, false),
            "parentbased_always_on" => (1.0, true),
            "parentbased_always_off" => (0.0, true),
            "parentbased_traceidratio" => (argument, true),
            other => {
                self.warn_env(
                    "OTEL_TRACES_SAMPLER",
                    format!("{other:?} is not supported: every trace is kept"),
                );
                (1.0, true)
            }
        }
    }

    fn warn_env(&mut self, name: &str, message: String) {
        self.warnings.push(Warning {
            severity: Severity::Warning,
            message,
            source: Source::Env(name.into()),
        });
    }
}

/// A URL without a path gets the one of OTLP.
fn with_path(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    match after_scheme.split_once('/') {
        None | Some((_, "")) => format!("{}/v1/traces", url.trim_end_matches('/')),
        Some(_) => url.to_owned(),
    }
}

fn ratio(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
}

/// `a=1,b=2` with percent escapes in the values, as in W3C baggage.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), unescaped(value.trim())))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let decoded = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
