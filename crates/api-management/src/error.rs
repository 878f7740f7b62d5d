//! The one place where a domain error becomes an answer of the management API.

use axum::response::IntoResponse;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use wharf_api_common::{Body, response};
use wharf_auth::{AccountsError, Failure as AuthFailure};
use wharf_registry::{Error, backup, jobs};

/// The codes of the API, as Harbor spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be read, or asks for something that cannot be.
    BadRequest,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The credentials do not give the right.
    Forbidden,
    /// It is not there.
    NotFound,
    /// The resource cannot do that.
    MethodNotAllowed,
    /// It exists already.
    Conflict,
    /// It cannot be done as things stand; the message says what would have to change.
    Precondition,
    /// The body is too large.
    PayloadTooLarge,
    /// Too many attempts.
    TooManyRequests,
    /// It cannot be done now, but later.
    Unavailable,
    /// The registry failed; its log says why.
    Internal,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Conflict => "CONFLICT",
            Self::Precondition => "PRECONDITION",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "UNKNOWN",
        }
    }
}

/// What went wrong, before it becomes HTTP.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: Code,
    message: String,
    retry_after: Option<u64>,
}

impl Failure {
    /// A failure with its status, code and message.
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    /// 401, with a challenge.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, message)
    }

    /// 409
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Conflict, message)
    }

    /// 412
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, Code::Precondition, message)
    }

    /// 503
    pub fn unavailable(message: impl Into<String>, retry_after: u64) -> Self {
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message);
        Self {
            retry_after: Some(retry_after),
            ..failure
        }
    }

    /// 500: logged with its cause, which the caller does not see.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "a management request failed");
        let message = "the registry failed to answer: its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let entry = json!({ "code": self.code.as_str(), "message": self.message });
        let mut answer = response::json(self.status, &json!({ "errors": [entry] }));
        let headers = answer.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"wharf\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

impl From<AuthFailure> for Failure {
    fn from(failure: AuthFailure) -> Self {
        let message = failure.to_string();
        let retry_after = failure.retry_after().map(|wait| wait.as_secs().max(1));
        let answer = match failure {
            AuthFailure::Header(_)
            | AuthFailure::OtherKind(_)
            | AuthFailure::WrongCredentials
            | AuthFailure::Token(_) => Self::unauthorized(message),
            AuthFailure::Throttled(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message),
            AuthFailure::Busy(_) => Self::unavailable(message, 1),
            AuthFailure::Accounts(error) => {
                tracing::error!(%error, "credentials cannot be checked");
                Self::unavailable("credentials cannot be checked now: try again", 5)
            }
        };
        Self {
            retry_after: retry_after.or(answer.retry_after),
            ..answer
        }
    }
}

impl From<AccountsError> for Failure {
    fn from(error: AccountsError) -> Self {
        let message = error.to_string();
        match error {
            AccountsError::Login(_) | AccountsError::TooShort | AccountsError::TooLong => Self::bad_request(message),
            AccountsError::Exists(_) => Self::conflict(message),
            AccountsError::Unknown(_) => Self::not_found(message),
            AccountsError::Metadata(error) => Error::from(error).into(),
            AccountsError::Password(_) | AccountsError::SigningKey(_) => Self::internal(message),
        }
    }
}

impl From<jobs::Error> for Failure {
    fn from(error: jobs::Error) -> Self {
        let message = error.to_string();
        match error {
            jobs::Error::UnknownKind { .. } | jobs::Error::UnknownJob(_) => Self::not_found(message),
            jobs::Error::NotStartable(_) | jobs::Error::Schedule(_) => Self::bad_request(message),
            jobs::Error::Index(error) => Error::from(error).into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NeedsCredentials { .. } | Error::NeedsSource { .. } => Self::unauthorized(message),
            Error::Denied { .. } => Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message),
            Error::NameUnknown(_)
            | Error::ManifestUnknown { .. }
            | Error::BlobUnknown { .. }
            | Error::NotInTrash { .. }
            | Error::UploadUnknown(_) => Self::not_found(message),
            Error::TagTaken { .. } => Self::conflict(message),
            Error::TrashIncomplete { .. } | Error::ManifestGone { .. } => Self::precondition(message),
            Error::Unsupported(_) => Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, message),
            Error::Unavailable { retry_after, .. } => Self::unavailable(message, retry_after.as_secs().max(1)),
            Error::NoSpace => Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable, message),
            Error::Storage(_) | Error::Metadata(_) => Self::internal(message),
            Error::ManifestInvalid(_)
            | Error::ManifestTooLarge { .. }
            | Error::ManifestBlobUnknown { .. }
            | Error::ManifestUrlRefused { .. }
            | Error::UploadSuperseded(_)
            | Error::BodyIncomplete(_)
            | Error::RangeInvalid { .. }
            | Error::DigestMismatch { .. }
            | Error::SizeMismatch { .. } => Self::bad_request(message),
        }
    }
}

impl From<backup::Error> for Failure {
    fn from(error: backup::Error) -> Self {
        let message = error.to_string();
        match error {
            backup::Error::Index(error) => Error::from(error).into(),
            backup::Error::Storage(error) => Error::from(error).into(),
            backup::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable, message)
            }
            backup::Error::Io(_) | backup::Error::Sealing(_) | backup::Error::Interrupted => Self::internal(message),
            backup::Error::NotEmpty | backup::Error::OtherStorage { .. } => Self::conflict(message),
            backup::Error::NotABackup
            | backup::Error::NewerFormat { .. }
            | backup::Error::Damaged(_)
            | backup::Error::NeedsKey { .. }
            | backup::Error::WrongKey { .. }
            | backup::Error::MalformedKey(_) => Self::bad_request(message),
        }
    }
}
