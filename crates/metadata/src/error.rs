//! What can go wrong with the index.

use std::{error::Error as StdError, fmt};

/// What kind of failure it is: what a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The index cannot be reached or is busy; trying again may help.
    Unavailable,
    /// The disk under the index is full.
    NoSpace,
    /// This process may only read: it stands by, or the file system is read-only.
    ReadOnly,
    /// A unique name or key is taken.
    Unique,
    /// A repository of that name is being deleted; it can be made again in a moment.
    Deleting,
    /// The index, or a value in it, is damaged.
    Corrupt,
    /// A newer version of Wharf wrote this index.
    NewerSchema,
    /// Another process took the index over; this one must stop writing.
    Fenced,
    /// The database server refuses this user, or the user lacks rights, or the server is not one
    /// that can be used: a person must change something.
    Denied,
    /// Anything else: a mistake in this program.
    Other,
}

/// A failed operation on the index. Holds no secrets: values are never part of it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    operation: &'static str,
    source: Source,
}

type Source = Box<dyn StdError + Send + Sync>;

impl Error {
    /// A failure of `operation` with its cause.
    pub(crate) fn new(kind: Kind, operation: &'static str, source: impl Into<Source>) -> Self {
        Self {
            kind,
            operation,
            source: source.into(),
        }
    }

    /// A value that does not mean what its column must mean.
    pub(crate) fn corrupt(operation: &'static str, source: impl Into<Source>) -> Self {
        Self::new(Kind::Corrupt, operation, source)
    }

    /// Nobody may write through this handle.
    pub(crate) fn stands_by() -> Self {
        let what = "this process stands by: another one owns the index";
        Self::new(Kind::ReadOnly, "write", what)
    }

    /// What went wrong, without the operation.
    pub(crate) fn cause(&self) -> String {
        self.source.to_string()
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was being done, such as `find repository`.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The same failure once more, for every job of a group that failed together.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.kind, self.operation, self.source.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index: {}: {}", self.operation, self.source)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}
