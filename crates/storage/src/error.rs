//! What can go wrong with bytes.

use std::{fmt, io};

/// The kinds of failure that callers treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing at that place.
    NotFound,
    /// There is already something at that place.
    AlreadyExists,
    /// The disk, the quota or the largest allowed file is full.
    NoSpace,
    /// The volume is mounted read-only.
    ReadOnly,
    /// The process may not read or write there.
    PermissionDenied,
    /// What is stored is not what must be there: cut short, no digest, another length.
    Corrupt,
    /// The stored object is larger than the caller allows.
    TooLarge,
    /// A later request has taken over the same upload.
    Superseded,
    /// The caller asked for something that cannot be stored.
    Invalid,
    /// This kind of storage cannot do it.
    Unsupported,
    /// The storage does not answer as it should (I/O error, stale handle, timeout): try later.
    Unavailable,
    /// Anything else; the source says what.
    Other,
}

impl ErrorKind {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::UnexpectedEof => Self::Corrupt,
            io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::TimedOut => Self::Unavailable,
            _ => match error.raw_os_error() {
                Some(code) if code == rustix::io::Errno::IO.raw_os_error() => Self::Unavailable,
                _ => Self::Other,
            },
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::NoSpace => "no space left",
            Self::ReadOnly => "the volume is read-only",
            Self::PermissionDenied => "permission denied",
            Self::Corrupt => "stored content is damaged",
            Self::TooLarge => "larger than allowed",
            Self::Superseded => "a later request took over",
            Self::Invalid => "not a valid request",
            Self::Unsupported => "not possible with this kind of storage",
            Self::Unavailable => "the storage does not answer as it should",
            Self::Other => "unexpected failure",
        })
    }
}

/// A failed storage operation: what was tried, where (relative to the storage root) and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {kind}{}", Reason(.source.as_deref()))]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    path: Box<str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, operation: &'static str, path: impl fmt::Display) -> Self {
        Self {
            kind,
            operation,
            path: path.to_string().into(),
            source: None,
        }
    }

    pub(crate) fn because(
        kind: ErrorKind,
        operation: &'static str,
        path: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(kind, operation, path)
        }
    }

    pub(crate) fn io(operation: &'static str, path: impl fmt::Display, source: io::Error) -> Self {
        Self::because(ErrorKind::of(&source), operation, path, source)
    }

    /// The kind, for decisions.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried: a verb such as `read` or `write`.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Where, relative to the storage root.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// The cause in brackets, where the kind alone does not tell it.
struct Reason<'a>(Option<&'a (dyn std::error::Error + Send + Sync)>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}
