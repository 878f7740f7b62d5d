//! The answers of `/livez` and `/readyz`.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use wharf_api_common::response;

use super::Health;

/// `/livez`: 200 as long as the process answers at all. Never depends on storage or database, or a
/// broken disk would restart every replica.
#[must_use]
pub fn live() -> Response<Body> {
    uncached(response::json(StatusCode::OK, &json!({"status": "alive"})))
}

/// `/readyz`: 200, or 503 with the reasons.
#[must_use]
pub fn ready(health: &Health) -> Response<Body> {
    let reasons = health.not_ready();
    uncached(if reasons.is_empty() {
        response::json(StatusCode::OK, &json!({"status": "ready"}))
    } else {
        let body = json!({"status": "not ready", "reasons": reasons});
        response::json(StatusCode::SERVICE_UNAVAILABLE, &body)
    })
}

pub(super) fn uncached(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
