//! The two text formats that scrapers read.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode};
use wharf_api_common::response;

/// Metrics as text with its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposition {
    /// The media type.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Exposition {
    /// Keeps OpenMetrics for scrapers that ask for it; else turns it into Prometheus' older text,
    /// which every tool reads.
    pub(super) fn negotiate(openmetrics: String, accept: Option<&str>) -> Self {
        let asked = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if asked {
            Self {
                content_type: OPENMETRICS,
                text: openmetrics,
            }
        } else {
            Self {
                content_type: CLASSIC,
                text: classic(&openmetrics),
            }
        }
    }

    /// The answer to a scrape.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let content_type = HeaderValue::from_static(self.content_type);
        response::with_body(StatusCode::OK, content_type, self.text)
    }
}

/// In the older format a counter's family is named like its samples, with `_total`; types that it
/// does not know are gauges; there is no end mark.
fn classic(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(named, _)| *named == name) {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
