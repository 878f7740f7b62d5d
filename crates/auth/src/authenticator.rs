//! From a header to a principal, whatever the configuration asks for.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use wharf_access::{Identity, Principal};
use wharf_oci::{challenge::Challenge, scope::Scope};

use crate::{
    Accounts, AccountsError, Authorization, AuthorizationError, Clock, Random,
    authorization::{Credentials, Login},
    flights::Flights,
    htpasswd::{HtpasswdError, HtpasswdFile, Provisioned},
    password::{PasswordError, PasswordQueue, QueueError},
    remembered::{Depends, Fingerprint, Present, Remembered},
    throttle::{Limits, Throttle, Throttled},
    token::{ExternalConfig, ExternalError, ExternalIssuer, OwnTokens, TokenError, TokenService},
};

/// How people and programs sign in: the `auth` section, or our own accounts.
pub enum Config {
    /// No `auth`: nobody signs in and everybody may do everything.
    Open,
    /// distribution's `silly`: any `Authorization` header will do. For tests.
    Silly {
        /// The realm of the challenge.
        realm: String,
        /// The service of the challenge.
        service: String,
    },
    /// distribution's `htpasswd`.
    Htpasswd {
        /// The realm of the challenge.
        realm: String,
        /// The file.
        path: PathBuf,
    },
    /// distribution's `token`: an external issuer.
    Token(ExternalConfig),
    /// Our own accounts with the built-in token service.
    BuiltIn {
        /// Passwords and their versions.
        accounts: Accounts,
        /// Signs and checks our tokens.
        tokens: OwnTokens,
    },
}

/// What an [`Authenticator`] works with besides its configuration.
pub struct Tools {
    /// The time.
    pub clock: Clock,
    /// For keys that live as long as the process.
    pub random: Random,
    /// Where passwords are checked.
    pub passwords: PasswordQueue,
    /// How guessing is slowed.
    pub limits: Limits,
    /// How many verified credentials are remembered.
    pub remembered: usize,
    /// Is told how each request's credentials were judged, for metrics. Must be quick.
    pub observe: Observe,
}

/// See [`Tools::observe`].
pub type Observe = Arc<dyn Fn(Outcome) + Send + Sync>;

/// How a request's credentials were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No credentials, or none are looked at.
    Anonymous,
    /// Known from shortly before.
    Remembered,
    /// Verified anew.
    Verified,
    /// Not accepted, or not to be checked now.
    Failed,
    /// Not looked at, after too many failures.
    Limited,
}

/// Why an [`Authenticator`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `auth.htpasswd`.
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    /// `auth.token`.
    #[error(transparent)]
    Token(#[from] ExternalError),
}

/// Why credentials are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The header cannot be read. 401.
    #[error(transparent)]
    Header(#[from] AuthorizationError),
    /// This registry takes credentials of another kind. 401.
    #[error("this registry does not take {0} credentials here")]
    OtherKind(&'static str),
    /// No such user, or another password; it is not said which. 401.
    #[error("wrong user name or password")]
    WrongCredentials,
    /// 401 with `error="invalid_token"`.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// 429 with Retry-After.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// 503 with Retry-After: as many wait as may wait.
    #[error(transparent)]
    Busy(#[from] QueueError),
    /// 503: the accounts cannot be read now.
    #[error("cannot check credentials now: {0}")]
    Accounts(#[source] AccountsError),
}

/// Why a client is challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It sent nothing, or something that no token could help.
    Credentials,
    /// Its token is not accepted.
    InvalidToken,
    /// Its token is good, but not for this.
    InsufficientScope,
}

/// Scheme and host under which the client reached us.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// `https://registry.example.com`, without a slash at the end.
    pub url: &'a str,
    /// Whether that is sure: `http.host` is set, TLS ends here, or a trusted proxy said it. If it is
    /// not (plain HTTP behind an ingress that does not say what it did), clients would refuse a
    /// realm made from it, and are asked for Basic instead.
    pub is_certain: bool,
}

/// Turns credentials into principals. One for the process; share it in an `Arc`.
pub struct Authenticator {
    source: Source,
    nobody: Arc<Principal>,
    remembered: Remembered,
    flights: Flights,
    throttle: Throttle,
    passwords: PasswordQueue,
    clock: Clock,
    observe: Observe,
}

enum Source {
    Open,
    Silly {
        realm: String,
        service: String,
        somebody: Arc<Principal>,
    },
    Htpasswd {
        realm: String,
        file: HtpasswdFile,
    },
    External {
        config: ExternalConfig,
        issuer: ExternalIssuer,
    },
    BuiltIn {
        accounts: Accounts,
        tokens: OwnTokens,
    },
}

/// A credential that was right.
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    pub(crate) depends: Depends,
    /// When the credential itself ends.
    pub(crate) expires: Option<jiff::Timestamp>,
}

impl Authenticator {
    /// Reads the files that the configuration names. A missing htpasswd file is made; then its first
    /// user is returned, to be shown once. Blocks.
    pub fn new(config: Config, tools: Tools) -> Result<(Self, Option<Provisioned>), ConfigError> {
        let mut provisioned = None;
        let source = match config {
            Config::Open => Source::Open,
            Config::Silly { realm, service } => Source::Silly {
                realm,
                service,
                somebody: Arc::new(Principal::whole(Identity::External("silly".to_owned()))),
            },
            Config::Htpasswd { realm, path } => {
                let (file, made) = HtpasswdFile::open(&path, Arc::clone(&tools.clock), &tools.random)?;
                provisioned = made;
                Source::Htpasswd { realm, file }
            }
            Config::Token(config) => Source::External {
                issuer: ExternalIssuer::open(&config)?,
                config,
            },
            Config::BuiltIn { accounts, tokens } => Source::BuiltIn { accounts, tokens },
        };
        let nobody = match source {
            Source::Open => Principal::whole(Identity::Unguarded),
            _ => Principal::anonymous(),
        };
        let made = Self {
            source,
            nobody: Arc::new(nobody),
            remembered: Remembered::new(tools.remembered, &tools.random),
            flights: Flights::default(),
            throttle: Throttle::new(tools.limits, &tools.random),
            passwords: tools.passwords,
            clock: tools.clock,
            observe: tools.observe,
        };
        Ok((made, provisioned))
    }

    /// Who sends this header from this address. Without a header: nobody, which is no failure here;
    /// what nobody may do is for `wharf_access::decide`.
    ///
    /// A remembered credential is found without waiting and is never limited.
    pub async fn authenticate(
        &self,
        authorization: Option<Authorization<'_>>,
        address: IpAddr,
    ) -> Result<Arc<Principal>, Failure> {
        let known = self.identify(authorization, address).await?;
        Ok(known.0)
    }

    /// [`Self::authenticate`], with what the answer depends on.
    pub(crate) async fn identify(
        &self,
        authorization: Option<Authorization<'_>>,
        address: IpAddr,
    ) -> Result<(Arc<Principal>, Depends), Failure> {
        let unchecked = match (&self.source, authorization) {
            (Source::Open, _) | (_, None) => Err(&self.nobody),
            (Source::Silly { somebody, .. }, Some(_)) => Err(somebody),
            (_, Some(authorization)) => Ok(authorization),
        };
        let authorization = match unchecked {
            Ok(authorization) => authorization,
            Err(principal) => {
                (self.observe)(Outcome::Anonymous);
                return Ok((Arc::clone(principal), Depends::Time));
            }
        };
        let fingerprint = self.remembered.fingerprint(authorization);
        if let Some(known) = self.recall(&fingerprint) {
            (self.observe)(Outcome::Remembered);
            return Ok(known);
        }
        // Boxed: the way that nearly every request takes stays small.
        let result = Box::pin(self.verify(fingerprint, authorization, address)).await;
        (self.observe)(match &result {
            Ok(_) => Outcome::Verified,
            Err(Failure::Throttled(_)) => Outcome::Limited,
            Err(_) => Outcome::Failed,
        });
        result
    }

    /// The challenge that goes with a 401. `scopes` are what the request needs, the failing one first.
    pub fn challenge(&self, reason: Reason, scopes: &[Scope], base: Base<'_>) -> Challenge {
        match &self.source {
            Source::Open => Challenge::basic("wharf"),
            Source::Htpasswd { realm, .. } => Challenge::basic(realm),
            Source::Silly { realm, service, .. } => bearer(realm, service, Reason::Credentials, scopes),
            Source::External { config, .. } => match &config.autoredirect {
                Some(path) => bearer(&format!("{}{path}", base.url), &config.service, reason, scopes),
                None => bearer(&config.realm, &config.service, reason, scopes),
            },
            Source::BuiltIn { tokens, .. } if base.is_certain => {
                let realm = format!("{}/service/token", base.url);
                bearer(&realm, tokens.service(), reason, scopes)
            }
            Source::BuiltIn { tokens, .. } => Challenge::basic(tokens.service()),
        }
    }

    /// The built-in token service, where that is how clients sign in.
    pub fn token_service(&self) -> Option<TokenService<'_>> {
        match &self.source {
            Source::BuiltIn { accounts, tokens } => Some(TokenService::new(self, accounts, tokens)),
            _ => None,
        }
    }

    /// The local accounts, where there are any.
    pub fn accounts(&self) -> Option<&Accounts> {
        match &self.source {
            Source::BuiltIn { accounts, .. } => Some(accounts),
            _ => None,
        }
    }

    /// What keeps the configured files from being used as they are on disk now, for health checks.
    pub fn problem(&self) -> Option<String> {
        match &self.source {
            Source::Htpasswd { file, .. } => file.problem(),
            _ => None,
        }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        (self.clock)()
    }

    fn recall(&self, fingerprint: &Fingerprint) -> Option<(Arc<Principal>, Depends)> {
        let present = Present {
            now: (self.clock)(),
            versions: match &self.source {
                Source::BuiltIn { accounts, .. } => Some(accounts.versions()),
                _ => None,
            },
            htpasswd: match &self.source {
                Source::Htpasswd { file, .. } => Some(file),
                _ => None,
            },
        };
        self.remembered.find(fingerprint, present)
    }

    async fn verify(
        &self,
        fingerprint: Fingerprint,
        authorization: Authorization<'_>,
        address: IpAddr,
    ) -> Result<(Arc<Principal>, Depends), Failure> {
        let credentials = authorization.parse()?;
        // A client that opens ten connections at once pays for one check.
        let flight = self.flights.board(fingerprint);
        let _turn = flight.turn().await;
        if let Some(known) = self.recall(&fingerprint) {
            return Ok(known);
        }
        let verified = match credentials {
            Credentials::Basic(login) => self.verify_login(login, address).await?,
            Credentials::Bearer(token) => self.verify_token(token).await?,
        };
        let principal = Arc::new(verified.principal);
        self.remembered.insert(
            fingerprint,
            Arc::clone(&principal),
            verified.depends,
            (self.clock)(),
            verified.expires,
        );
        Ok((principal, verified.depends))
    }

    async fn verify_token(&self, token: &str) -> Result<Verified, Failure> {
        match &self.source {
            Source::External { issuer, .. } => {
                let (principal, expires) = issuer.verify(token, (self.clock)())?;
                Ok(Verified {
                    principal,
                    depends: Depends::Time,
                    expires,
                })
            }
            Source::BuiltIn { accounts, tokens } => tokens.verify(token, accounts, (self.clock)()).await,
            _ => Err(Failure::OtherKind("bearer")),
        }
    }

    async fn verify_login(&self, login: Login, address: IpAddr) -> Result<Verified, Failure> {
        if !matches!(self.source, Source::Htpasswd { .. } | Source::BuiltIn { .. }) {
            return Err(Failure::OtherKind("basic"));
        }
        let tried = self
            .throttle
            .begin(&login.name.to_lowercase(), address, (self.clock)())?;
        let checked = match &self.source {
            Source::Htpasswd { file, .. } => self.verify_htpasswd(file, login).await,
            Source::BuiltIn { accounts, .. } => self.verify_account(accounts, login).await,
            _ => Err(Failure::WrongCredentials),
        };
        match &checked {
            Ok(_) => self.throttle.succeeded(&tried),
            Err(Failure::WrongCredentials) => {}
            Err(_) => self.throttle.cancelled(&tried),
        }
        checked
    }

    async fn verify_htpasswd(&self, file: &HtpasswdFile, login: Login) -> Result<Verified, Failure> {
        let (entries, generation) = file.current();
        let (hash, counts) = entries.hash_of(&login.name);
        let matches = self.passwords.verify(login.password, hash).await?;
        if !(matches && counts) {
            return Err(Failure::WrongCredentials);
        }
        Ok(Verified {
            principal: Principal::whole(Identity::Htpasswd(login.name)),
            depends: Depends::Htpasswd(generation),
            expires: None,
        })
    }

    async fn verify_account(&self, accounts: &Accounts, login: Login) -> Result<Verified, Failure> {
        let account = accounts.verify(login).await?;
        let account = account.ok_or(Failure::WrongCredentials)?;
        Ok(Verified {
            depends: Depends::Account {
                id: account.id,
                version: account.credential_version,
            },
            principal: Principal::whole(account.into_identity()),
            expires: None,
        })
    }
}

impl Failure {
    /// How to challenge after this failure; `None` when asking for credentials does not help (429, 503).
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Header(_) | Self::OtherKind(_) | Self::WrongCredentials => Some(Reason::Credentials),
            Self::Token(_) => Some(Reason::InvalidToken),
            Self::Throttled(_) | Self::Busy(_) | Self::Accounts(_) => None,
        }
    }

    /// The Retry-After of a 429 or 503.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(throttled) => Some(throttled.retry_after),
            Self::Busy(_) => Some(Duration::from_secs(1)),
            Self::Accounts(_) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl From<AccountsError> for Failure {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Password(PasswordError::Queue(error)) => Self::Busy(error),
            error => Self::Accounts(error),
        }
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = match &self.source {
            Source::Open => "open",
            Source::Silly { .. } => "silly",
            Source::Htpasswd { .. } => "htpasswd",
            Source::External { .. } => "token",
            Source::BuiltIn { .. } => "built-in",
        };
        f.debug_struct("Authenticator")
            .field("source", &source)
            .field("remembered", &self.remembered)
            .finish_non_exhaustive()
    }
}

fn bearer(realm: &str, service: &str, reason: Reason, scopes: &[Scope]) -> Challenge {
    let scope: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    let scope = (!scope.is_empty()).then(|| scope.join(" "));
    let error = match reason {
        Reason::Credentials => None,
        Reason::InvalidToken => Some("invalid_token"),
        Reason::InsufficientScope => Some("insufficient_scope"),
    };
    Challenge::bearer(realm, service, scope.as_deref(), error)
}

#[cfg(test)]
mod tests;
