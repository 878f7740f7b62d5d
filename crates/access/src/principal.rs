//! Who asks.

use wharf_oci::scope::Scope;

/// The one who asks, whatever kind of credential they came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub identity: Identity,
    /// What the credential itself is cut to: a bearer token gives no more than its scopes.
    pub scopes: Option<Vec<Scope>>,
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody signed in, on a registry that asks for it.
    Anonymous,
    /// Nobody has to sign in: no `auth` in the configuration, as registry:2 without one.
    Unguarded,
    /// A name in the htpasswd file: every right, as in distribution.
    Htpasswd(String),
    /// A local account.
    User {
        /// Its row.
        id: i64,
        /// Its login.
        name: String,
        /// Whether it is a system administrator.
        is_admin: bool,
    },
    /// Whoever may open the registry's own socket or files on its machine.
    Operator,
    /// The subject of a token that an external issuer made: its scopes are its rights.
    External(String),
}

impl Principal {
    /// Nobody signed in.
    pub const fn anonymous() -> Self {
        Self {
            identity: Identity::Anonymous,
            scopes: None,
        }
    }

    /// A principal whose credential is not cut to scopes.
    pub const fn whole(identity: Identity) -> Self {
        Self { identity, scopes: None }
    }

    /// The name for logs and history; empty for nobody.
    pub fn name(&self) -> &str {
        match &self.identity {
            Identity::Anonymous | Identity::Unguarded | Identity::Operator => "",
            Identity::Htpasswd(name) | Identity::User { name, .. } | Identity::External(name) => name,
        }
    }

    /// Whether nobody signed in although signing in is possible.
    pub fn is_anonymous(&self) -> bool {
        self.identity == Identity::Anonymous
    }
}
