//! What the failures of an object store mean.

use crate::{Error, ErrorKind};
use object_store::client::HttpError;
use std::fmt;

/// What a server answered instead of doing what it was asked to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Such as `AccessDenied`; an answer to HEAD has none.
    pub(super) code: Option<String>,
    message: Option<String>,
}

/// How the library begins to tell of an answer, before status and body.
const STATUS: &str = "non-2xx status code: ";
/// How it begins to tell of a failure that came with the status of a success, before the body.
const LATE: &str = "Server returned error response: ";
/// What it says once it has tried again for long enough.
const EXHAUSTED: &str = "max_retries: ";

impl Refusal {
    /// What the library says about the answer, which it keeps as text only.
    fn of(error: &object_store::Error) -> Option<Self> {
        Self::parse(&error.to_string())
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some((_, rest)) = text.split_once(STATUS) {
            let status = rest.get(..3)?.parse().ok()?;
            return Some(Self::with_body(status, rest));
        }
        let (_, body) = text.split_once(LATE)?;
        Some(Self::with_body(500, body))
    }

    /// Of an answer's status and its body.
    pub(super) fn with_body(status: u16, body: &str) -> Self {
        Self {
            status,
            code: element(body, "Code"),
            message: element(body, "Message"),
        }
    }

    /// Whether the same request may be answered otherwise in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..=599)
            || self.code.as_deref().is_some_and(|code| {
                [
                    "InternalError",
                    "OperationAborted",
                    "RequestTimeout",
                    "ServiceUnavailable",
                    "SlowDown",
                ]
                .contains(&code)
            })
    }

    pub(super) fn kind(&self) -> ErrorKind {
        let code = self.code.as_deref().unwrap_or_default();
        match (self.status, code) {
            (_, "NoSuchBucket") => ErrorKind::Unavailable,
            (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => ErrorKind::NoSpace,
            (404, _) => ErrorKind::NotFound,
            (401 | 403, _) => ErrorKind::PermissionDenied,
            (412, _) => ErrorKind::Corrupt,
            (_, "EntityTooLarge" | "EntityTooSmall" | "InvalidPart" | "InvalidPartOrder" | "KeyTooLongError") => {
                ErrorKind::Invalid
            }
            _ if self.is_passing() => ErrorKind::Unavailable,
            (409, _) => ErrorKind::AlreadyExists,
            _ => ErrorKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// The text of the first element `name` of a small XML document.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), Into::into);
    (!text.is_empty()).then_some(text)
}

/// What the failure of an operation means to its caller.
pub(super) fn failed(operation: &'static str, place: impl fmt::Display, error: &object_store::Error) -> Error {
    match Refusal::of(error) {
        Some(refusal) => Error::because(refusal.kind(), operation, place, refusal.to_string()),
        None => Error::because(kind(error), operation, place, cause(error)),
    }
}

fn kind(error: &object_store::Error) -> ErrorKind {
    match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        object_store::Error::Precondition { .. } | object_store::Error::NotModified { .. } => ErrorKind::Corrupt,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            ErrorKind::PermissionDenied
        }
        object_store::Error::InvalidPath { .. } => ErrorKind::Invalid,
        object_store::Error::Generic { .. } => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

/// The reason at the end of the chain, which tells most: `Connection refused` rather than `HTTP error`.
fn cause(error: &object_store::Error) -> String {
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether the same operation may succeed in a moment, and has not been tried again by the library:
/// an answer that broke off, above all.
pub(super) fn is_passing(error: &object_store::Error) -> bool {
    let object_store::Error::Generic { .. } = error else {
        return false;
    };
    let text = error.to_string();
    if text.contains(EXHAUSTED) {
        return false;
    }
    match Refusal::parse(&text) {
        Some(refusal) => refusal.is_passing(),
        None => is_transport(error) || text.contains("Got invalid"),
    }
}

fn is_transport(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<HttpError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
