//! The one place where a domain error becomes an answer of `/v2/`.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use wharf_access::Action;
use wharf_api_common::{Body, response};
use wharf_oci::{ErrorCode, RepositoryName, scope::Scope};
use wharf_registry::Error;

use crate::endpoint::EndpointError;

/// An answer that says what went wrong, before it becomes HTTP.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: StatusCode,
    /// One or more entries of `errors`.
    pub entries: Vec<Entry>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
    /// What credentials would help: the answer carries a challenge for it.
    pub challenge: Option<Wanted>,
    /// Further headers.
    pub headers: Vec<(HeaderName, String)>,
}

/// What a challenge asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The scopes that a token would need.
    pub scopes: Vec<Scope>,
    /// `insufficient_scope` or `invalid_token`.
    pub error: Option<&'static str>,
}

/// One entry of `errors`.
#[derive(Debug, Serialize)]
pub struct Entry {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    detail: Value,
}

impl Failure {
    /// A failure with one entry and no detail.
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            entries: vec![Entry {
                code: code.as_str(),
                message: message.into(),
                detail: Value::Null,
            }],
            retry_after: None,
            challenge: None,
            headers: Vec::new(),
        }
    }

    /// The same with a detail for programs.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        for entry in &mut self.entries {
            entry.detail = detail.clone();
        }
        self
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 401: other credentials may help.
    pub fn unauthorized(message: impl Into<String>, wanted: Wanted) -> Self {
        let detail: Vec<Value> = wanted.scopes.iter().flat_map(scope_details).collect();
        let mut failure = Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message);
        if !detail.is_empty() {
            failure = failure.with_detail(Value::Array(detail));
        }
        failure.challenge = Some(wanted);
        failure
    }

    /// 400 with one code.
    pub fn bad_request(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404 with one code.
    pub fn not_found(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The answer, without its challenge: that is the caller's, who knows how to sign in here.
    pub fn into_response(self) -> Response<Body> {
        let mut answer = response::json(self.status, &json!({ "errors": self.entries }));
        let headers = answer.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in self.headers {
            response::set(headers, name, &value);
        }
        answer
    }
}

/// As distribution writes them into the detail of UNAUTHORIZED.
fn scope_details(scope: &Scope) -> Vec<Value> {
    let entry =
        |action: &String| json!({"Type": scope.kind, "Class": scope.class, "Name": scope.name, "Action": action});
    scope.actions.iter().map(entry).collect()
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        let message = error.to_string();
        match error {
            EndpointError::Unknown => Self::not_found(ErrorCode::Unsupported, message),
            EndpointError::Name { name, .. } => {
                Self::bad_request(ErrorCode::NameInvalid, message).with_detail(json!({ "name": name }))
            }
            EndpointError::Reference {
                reference,
                reason: wharf_oci::reference::ReferenceError::Tag(_),
            } => Self::bad_request(ErrorCode::TagInvalid, message).with_detail(json!({ "tag": reference })),
            EndpointError::Reference { reference: digest, .. } | EndpointError::Digest { digest, .. } => {
                Self::bad_request(ErrorCode::DigestInvalid, message).with_detail(json!({ "digest": digest }))
            }
        }
    }
}

/// The scopes that a token needs for `action`: a push needs to pull as well, as clients expect.
pub fn wanted_scopes(action: Action, repository: Option<&RepositoryName>) -> Vec<Scope> {
    let Some(name) = repository else {
        return vec![Scope::catalog()];
    };
    let actions: &[&str] = match action {
        Action::Push => &["pull", "push"],
        Action::Delete => &["delete"],
        Action::Pull | Action::List | Action::Administer => &["pull"],
    };
    vec![Scope::repository(name.as_str(), actions)]
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NeedsCredentials { .. } | Error::NeedsSource { .. } | Error::Denied { .. } => {
                from_access(error, message)
            }
            Error::ManifestInvalid(_)
            | Error::ManifestTooLarge { .. }
            | Error::ManifestBlobUnknown { .. }
            | Error::ManifestUrlRefused { .. } => from_manifest(error, message),
            Error::NameUnknown(name) => {
                Self::not_found(ErrorCode::NameUnknown, message).with_detail(json!({ "name": name.as_str() }))
            }
            // nothing of the trash is asked for on this door
            Error::NotInTrash { .. } | Error::ManifestGone { .. } => {
                Self::not_found(ErrorCode::ManifestUnknown, message)
            }
            Error::TrashIncomplete { .. } => Self::not_found(ErrorCode::ManifestBlobUnknown, message),
            Error::TagTaken { .. } => Self::new(StatusCode::CONFLICT, ErrorCode::Denied, message),
            Error::ManifestUnknown { repository, reference } => Self::not_found(ErrorCode::ManifestUnknown, message)
                .with_detail(json!({ "name": repository.as_str(), "reference": reference.to_string() })),
            Error::BlobUnknown { digest, .. } => {
                Self::not_found(ErrorCode::BlobUnknown, message).with_detail(json!({ "digest": digest.to_string() }))
            }
            Error::UploadUnknown(_)
            | Error::UploadSuperseded(_)
            | Error::BodyIncomplete(_)
            | Error::RangeInvalid { .. }
            | Error::DigestMismatch { .. }
            | Error::SizeMismatch { .. } => from_upload(&error, message),
            Error::Unsupported(_) => Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message),
            Error::Unavailable { .. } | Error::NoSpace | Error::Storage(_) | Error::Metadata(_) => {
                from_fault(&error, message)
            }
        }
    }
}

fn from_access(error: Error, message: String) -> Failure {
    match error {
        Error::NeedsCredentials { action, repository } => {
            let scopes = wanted_scopes(action, repository.as_ref());
            Failure::unauthorized("authentication required", Wanted { scopes, error: None })
        }
        Error::NeedsSource {
            target,
            source_repository,
        } => {
            let mut scopes = wanted_scopes(Action::Push, Some(&target));
            scopes.extend(wanted_scopes(Action::Pull, Some(&source_repository)));
            Failure::unauthorized(message, Wanted { scopes, error: None })
        }
        _ => Failure::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message),
    }
}

fn from_manifest(error: Error, message: String) -> Failure {
    match error {
        Error::ManifestTooLarge { .. } => {
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid, message)
        }
        Error::ManifestBlobUnknown { missing, .. } => {
            let mut failure = Failure::bad_request(ErrorCode::ManifestBlobUnknown, message);
            let entry = |digest: &wharf_oci::Digest| Entry {
                code: ErrorCode::ManifestBlobUnknown.as_str(),
                message: "blob unknown to repository: push it first".to_owned(),
                detail: json!({ "digest": digest.to_string() }),
            };
            failure.entries = missing.iter().map(entry).collect();
            failure
        }
        _ => Failure::bad_request(ErrorCode::ManifestInvalid, message),
    }
}

fn from_upload(error: &Error, message: String) -> Failure {
    match error {
        Error::UploadUnknown(_) => Failure::not_found(ErrorCode::BlobUploadUnknown, message),
        Error::RangeInvalid { .. } => Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, message),
        Error::DigestMismatch { given, computed } => Failure::bad_request(ErrorCode::DigestInvalid, message)
            .with_detail(json!({ "digest": given.to_string(), "computed": computed.to_string() })),
        Error::SizeMismatch { .. } => Failure::bad_request(ErrorCode::SizeInvalid, message),
        _ => Failure::bad_request(ErrorCode::BlobUploadInvalid, message),
    }
}

/// Faults of the registry itself: what happened is in the log, not in the answer.
fn from_fault(error: &Error, message: String) -> Failure {
    match error {
        Error::Unavailable { retry_after, .. } => {
            let mut failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message);
            failure.retry_after = Some(retry_after.as_secs().max(1));
            failure
        }
        Error::NoSpace => Failure::new(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable, message),
        _ => Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            "the registry failed to do this: its log says why, under this answer's X-Request-Id",
        ),
    }
}

#[cfg(test)]
mod tests;
