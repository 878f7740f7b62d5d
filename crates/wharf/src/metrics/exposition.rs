//! The two text formats that scrapers read.

use std::fmt::Write as _;

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
            // writing into a String cannot fail
            if let Some((_, help)) = help.take().filter(|(named, _)| *named == name) {
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# ") {
            push_sample(&mut text, line);
        }
    }
    text
}

/// Bounds of buckets are spelled as Go's client does in this format, so that the series of a
/// registry that was replaced go on: `1` for `1.0`, `1.048576e+06` for `1048576.0`.
fn push_sample(text: &mut String, line: &str) {
    const LE: &str = "{le=\"";
    let bound = line.split_once(LE).and_then(|(name, rest)| {
        let (bound, rest) = rest.split_once('"')?;
        Some((name, bound.parse::<f64>().ok()?, rest))
    });
    match bound {
        Some((name, bound, rest)) if bound.is_finite() => {
            text.push_str(name);
            text.push_str(LE);
            text.push_str(&go_number(bound));
            text.push('"');
            text.push_str(rest);
        }
        _ => text.push_str(line),
    }
    text.push('\n');
}

/// The shortest form, with an exponent of two digits or more from a million on.
fn go_number(number: f64) -> String {
    if number < 1e6 {
        return number.to_string();
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) => format!("{digits}e+{exponent:0>2}"),
        None => scientific,
    }
}
