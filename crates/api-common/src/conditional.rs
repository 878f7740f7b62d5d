//! Entity tags and conditional requests (RFC 9110 section 13).

use http::{HeaderMap, HeaderValue, Method, header};

/// A strong entity tag; for content-addressed things the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// Makes a tag of a text without quotes, such as a digest.
    #[must_use]
    pub fn new(opaque: impl Into<String>) -> Self {
        Self(opaque.into())
    }

    /// The tag without its quotes.
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.0
    }

    /// The value of an `ETag` header. `None` when the text cannot stand in a header.
    #[must_use]
    pub fn header_value(&self) -> Option<HeaderValue> {
        let quoted = format!("\"{}\"", self.0);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(quoted)).ok()
    }

    /// Whether one member of a list is this tag; `W/` counts only in weak comparison.
    /// Unquoted tags match too: distribution accepts them, so clients send them.
    fn matches(&self, member: &[u8], weakly: bool) -> bool {
        let member = member.trim_ascii();
        let member = match member.strip_prefix(b"W/") {
            Some(rest) if weakly => rest,
            Some(_) => return false,
            None => member,
        };
        let inner = member
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .unwrap_or(member);
        inner == self.0.as_bytes()
    }

    /// Strong comparison with a single entity tag (`If-Range`).
    #[must_use]
    pub fn matches_strongly(&self, value: &[u8]) -> bool {
        self.matches(value, false)
    }
}

/// What the conditions of a request mean for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Go on.
    Proceed,
    /// The client has it already: 304 without a body.
    NotModified,
    /// The client's condition does not hold: 412.
    Failed,
}

impl Precondition {
    /// Evaluates `If-Match` and `If-None-Match` against the current representation, `None` when
    /// there is none. Dates are not compared: what we serve has no `Last-Modified`, and
    /// RFC 9110 sections 13.1.3 and 13.1.4 say to ignore the header then.
    #[must_use]
    pub fn of(headers: &HeaderMap, method: &Method, current: Option<&EntityTag>) -> Self {
        if headers.contains_key(header::IF_MATCH) && !any(headers, &header::IF_MATCH, current, false) {
            return Self::Failed;
        }
        if any(headers, &header::IF_NONE_MATCH, current, true) {
            return if method == Method::GET || method == Method::HEAD {
                Self::NotModified
            } else {
                Self::Failed
            };
        }
        Self::Proceed
    }
}

/// Whether any member of a list header is the current tag, or is `*` and there is a current one.
fn any(headers: &HeaderMap, name: &header::HeaderName, current: Option<&EntityTag>, weakly: bool) -> bool {
    let Some(current) = current else {
        return false;
    };
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|member| member.trim_ascii() == b"*" || current.matches(member, weakly))
}

#[cfg(test)]
mod tests;
