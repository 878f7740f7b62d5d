//! The built-in token service: who asks, what they may have, and the answer
//! (distribution "Token Authentication" and "OAuth2 token authentication").

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use wharf_access::{Action, Identity, Principal, Resource, Visibility, decide};
use wharf_oci::{RepositoryName, scope::Scope};
use zeroize::{Zeroize, Zeroizing};

use super::{
    own::OwnTokens,
    request::{Grant, TokenRequest},
};
use crate::{
    Account, Accounts, AccountsError, Authorization, Failure,
    authenticator::Authenticator,
    authorization::{Credentials, Login},
    remembered::Depends,
};

/// Answers requests for tokens.
#[derive(Clone, Copy)]
pub struct TokenService<'a> {
    authenticator: &'a Authenticator,
    accounts: &'a Accounts,
    tokens: &'a OwnTokens,
}

/// Who asks for a token. The answer must be made with this very version of the account: a password
/// that is remembered here although it was just changed elsewhere buys nothing that lasts.
#[derive(Clone, Debug)]
pub struct Asker {
    principal: Arc<Principal>,
    version: Option<i64>,
}

impl Asker {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    fn of((principal, depends): (Arc<Principal>, Depends)) -> Self {
        let version = match depends {
            Depends::Account { version, .. } => Some(version),
            Depends::Time | Depends::Htpasswd(_) => None,
        };
        Self { principal, version }
    }
}

/// The body of an answer. `Debug` shows no token.
#[derive(Serialize)]
pub struct TokenAnswer {
    /// The token, for docker.
    pub token: String,
    /// The same, for OAuth2 clients.
    pub access_token: String,
    /// How long it lives, in seconds.
    pub expires_in: i64,
    /// RFC 3339, in UTC.
    pub issued_at: String,
    /// OAuth2's word for how to send it.
    pub token_type: &'static str,
    /// The scopes that were given, space-joined (RFC 6749 section 5.1).
    pub scope: String,
    /// For coming back without a password, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl<'a> TokenService<'a> {
    pub(crate) const fn new(authenticator: &'a Authenticator, accounts: &'a Accounts, tokens: &'a OwnTokens) -> Self {
        Self {
            authenticator,
            accounts,
            tokens,
        }
    }

    /// Who asks: by the credentials in the request, or in the header, or nobody. Wrong credentials
    /// are a failure and never a smaller token.
    pub async fn authenticate(
        &self,
        request: &TokenRequest,
        authorization: Option<Authorization<'_>>,
        address: IpAddr,
    ) -> Result<Asker, Failure> {
        let header;
        let authorization = match (&request.grant, authorization) {
            (Grant::Refresh(token), _) => return self.refresh(token).await,
            (Grant::Password(login), _) => {
                header = as_header(login)?;
                Some(Authorization::new(header.as_bytes()))
            }
            (Grant::Header, Some(authorization)) => match authorization.parse()? {
                // A cut token must not be traded for a wider one.
                Credentials::Bearer(_) => return Err(Failure::OtherKind("bearer")),
                Credentials::Basic(_) => Some(authorization),
            },
            (Grant::Header, None) => None,
        };
        self.authenticator.identify(authorization, address).await.map(Asker::of)
    }

    async fn refresh(&self, token: &str) -> Result<Asker, Failure> {
        let account = self.accounts.by_refresh_token(token).await?;
        let account = account.ok_or(Failure::WrongCredentials)?;
        Ok(Asker {
            version: Some(account.credential_version),
            principal: Arc::new(Principal::whole(account.into_identity())),
        })
    }

    /// The token for who asks: the requested scopes, cut to what the rules allow. `visibility` knows
    /// the repositories that [`TokenRequest::repositories`] names.
    pub async fn answer(
        &self,
        asker: &Asker,
        request: &TokenRequest,
        visibility: impl Fn(&RepositoryName) -> Visibility + Send,
    ) -> Result<TokenAnswer, Failure> {
        let scopes = cut(&asker.principal, &request.scopes, visibility);
        let account = self.account_of(asker).await?;
        let now = self.authenticator.now();
        let token = self
            .tokens
            .sign(&asker.principal, asker.version, &scopes, now)
            .map_err(AccountsError::SigningKey)?;
        let refresh_token = match (&request.grant, &account) {
            (Grant::Refresh(used), Some(_)) if request.wants_refresh_token => Some(used.to_string()),
            (_, Some(account)) if request.wants_refresh_token => Some(
                self.accounts
                    .issue_refresh_token(account, self.tokens.service())
                    .await?,
            ),
            _ => None,
        };
        Ok(TokenAnswer {
            access_token: token.clone(),
            token,
            expires_in: self.tokens.seconds(),
            issued_at: now.round(jiff::Unit::Second).unwrap_or(now).to_string(),
            token_type: "Bearer",
            scope: scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            refresh_token,
        })
    }

    /// The account of who asks as it is now, which must be as it was when the password was checked.
    async fn account_of(&self, asker: &Asker) -> Result<Option<Account>, Failure> {
        let Identity::User { id, .. } = asker.principal.identity else {
            return Ok(None);
        };
        let account = self.accounts.by_id(id).await?;
        let account = account.filter(|account| Some(account.credential_version) == asker.version);
        account.map(Some).ok_or(Failure::WrongCredentials)
    }

    /// The public keys of our tokens as a JWK set.
    pub fn jwks(&self) -> serde_json::Value {
        self.tokens.jwks()
    }

    /// What signs and checks our tokens.
    pub const fn tokens(&self) -> &'a OwnTokens {
        self.tokens
    }
}

/// What remains of the requested scopes. Scopes of one resource are merged; those with nothing left,
/// and those of unknown kinds, are dropped.
pub fn cut(
    principal: &Principal,
    requested: &[Scope],
    visibility: impl Fn(&RepositoryName) -> Visibility,
) -> Vec<Scope> {
    let mut given: Vec<Scope> = Vec::new();
    for scope in requested {
        let actions = match scope.kind.as_str() {
            "repository" => repository_actions(principal, scope, &visibility),
            "registry" if scope.name == "catalog" => {
                let is_allowed = decide(principal, Action::List, Resource::Catalog).is_allowed();
                let wanted = scope.actions.iter().any(|action| action == "*");
                if wanted && is_allowed { vec!["*"] } else { Vec::new() }
            }
            _ => Vec::new(),
        };
        if actions.is_empty() {
            continue;
        }
        let same = given
            .iter()
            .position(|known| known.kind == scope.kind && known.name == scope.name);
        let place = same.unwrap_or_else(|| {
            given.push(Scope {
                kind: scope.kind.clone(),
                class: scope.class.clone(),
                name: scope.name.clone(),
                actions: Vec::new(),
            });
            given.len() - 1
        });
        for action in actions {
            if !given[place].actions.iter().any(|known| known == action) {
                given[place].actions.push(action.to_owned());
            }
        }
    }
    given
}

fn repository_actions(
    principal: &Principal,
    scope: &Scope,
    visibility: &impl Fn(&RepositoryName) -> Visibility,
) -> Vec<&'static str> {
    let Ok(name) = scope.name.parse::<RepositoryName>() else {
        return Vec::new();
    };
    let resource = Resource::Repository(&name, visibility(&name));
    [Action::Pull, Action::Push, Action::Delete]
        .into_iter()
        .filter(|action| {
            scope
                .actions
                .iter()
                .any(|wanted| wanted == "*" || wanted == action.as_str())
        })
        .filter(|&action| decide(principal, action, resource).is_allowed())
        .map(Action::as_str)
        .collect()
}

/// The same credential as `Authorization: Basic` would carry, so that it is remembered once.
fn as_header(login: &Login) -> Result<Zeroizing<String>, Failure> {
    if login.name.contains(':') {
        return Err(Failure::WrongCredentials);
    }
    let mut pair = Zeroizing::new(Vec::with_capacity(login.name.len() + 1 + login.password.len()));
    pair.extend_from_slice(login.name.as_bytes());
    pair.push(b':');
    pair.extend_from_slice(&login.password);
    let mut encoded = STANDARD.encode(&*pair);
    let header = Zeroizing::new(format!("Basic {encoded}"));
    encoded.zeroize();
    Ok(header)
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TokenService<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenService")
    }
}

#[cfg(test)]
mod tests;
