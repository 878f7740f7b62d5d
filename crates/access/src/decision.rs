//! The rules.

use wharf_oci::{RepositoryName, scope::Scope};

use crate::{Action, Identity, Principal, Resource, Visibility};

/// What the rules answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allowed,
    /// Nobody is signed in, or the token is cut too narrow: other credentials may help.
    NeedsCredentials,
    /// These credentials do not give the right, and no token of theirs would.
    Denied,
}

impl Decision {
    /// Whether to go ahead.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Decides whether `principal` may do `action` on `resource`.
///
/// A right must be given twice: by who the principal is, and by the scopes its token is cut to.
pub fn decide(principal: &Principal, action: Action, resource: Resource<'_>) -> Decision {
    let is_within_scopes = principal
        .scopes
        .as_ref()
        .is_none_or(|scopes| scopes.iter().any(|scope| covers(scope, action, resource)));
    match (identity_allows(&principal.identity, action, resource), is_within_scopes) {
        (true, true) => Decision::Allowed,
        (true, false) => Decision::NeedsCredentials,
        (false, _) if principal.is_anonymous() => Decision::NeedsCredentials,
        (false, _) => Decision::Denied,
    }
}

fn identity_allows(identity: &Identity, action: Action, resource: Resource<'_>) -> bool {
    match identity {
        Identity::Unguarded | Identity::Htpasswd(_) | Identity::External(_) => resource != Resource::System,
        Identity::Operator | Identity::User { is_admin: true, .. } => true,
        Identity::User { name, .. } => match resource {
            Resource::Repository(repository, visibility) => {
                owns(name, repository) || action == Action::Pull && visibility != Visibility::Private
            }
            Resource::Catalog => true,
            Resource::System => false,
        },
        Identity::Anonymous => {
            action == Action::Pull && matches!(resource, Resource::Repository(_, Visibility::Public))
        }
    }
}

/// A user's personal project is called like the login; it owns `login/…`, never `login` itself
/// (consistency rule 12).
fn owns(login: &str, repository: &RepositoryName) -> bool {
    repository
        .as_str()
        .split_once('/')
        .is_some_and(|(project, _)| project == login)
}

fn covers(scope: &Scope, action: Action, resource: Resource<'_>) -> bool {
    let names_it = match resource {
        Resource::Repository(name, _) => scope.kind == "repository" && scope.name == name.as_str(),
        Resource::Catalog => scope.kind == "registry" && scope.name == "catalog",
        Resource::System => false,
    };
    names_it
        && scope
            .actions
            .iter()
            .any(|given| given == "*" || given == action.as_str())
}

#[cfg(test)]
mod tests;
