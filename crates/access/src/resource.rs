//! What is asked for.

use wharf_oci::RepositoryName;

/// Who may see a project without being a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Members only.
    #[default]
    Private,
    /// Anyone who is signed in may pull.
    Internal,
    /// Anyone may pull.
    Public,
}

/// The thing that an action touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A repository, in a project of this visibility.
    Repository(&'a RepositoryName, Visibility),
    /// The list of repositories.
    Catalog,
    /// The registry itself: accounts, settings, jobs.
    System,
}
