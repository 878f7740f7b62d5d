//! What can be done.

/// An operation on a resource, in the words of token scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write blobs, manifests and tags; also cancel one's own uploads.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
    /// List repositories.
    List,
    /// Manage accounts and the system.
    Administer,
}

impl Action {
    /// The word that token scopes use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::List | Self::Administer => "*",
        }
    }
}
