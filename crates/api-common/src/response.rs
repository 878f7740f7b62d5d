//! Small answers.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::body::Body;

/// The media type of JSON answers: exactly this, without a charset (moby and Jib compare it).
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer without a body that says so (`Content-Length: 0`; docker waits for it).
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// A plain text answer.
#[must_use]
pub fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    with_body(status, PLAIN, text.into())
}

/// A JSON answer. A value that cannot be serialized becomes a 500 with an empty body, which no
/// type of ours should cause.
#[must_use]
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_body(status, JSON, bytes),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// An answer with a body in memory.
#[must_use]
pub fn with_body(status: StatusCode, content_type: HeaderValue, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let body: bytes::Bytes = body.into();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body);
    response
}

/// Sets a header from a text that we made; leaves it out when it cannot stand in a header.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
