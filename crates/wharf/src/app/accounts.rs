//! How people and programs sign in.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use wharf_auth::token::{ExternalConfig, OwnTokens};
use wharf_auth::{Accounts, Authenticator, Config as AuthConfig, Limits, Outcome, PasswordQueue, Tools};
use wharf_registry::{Clock, Random};
use wharf_storage::Storage;
use zeroize::Zeroizing;

use super::index::Index;
use crate::config::{Admin, Auth, Config, TokenAuth};
use crate::metrics::{Authentication, Metrics};

/// The name of this registry in tokens and challenges of the built-in token service.
const SERVICE: &str = "wharf";
/// argon2id takes 19 MiB each: one at a time keeps the process small.
const PASSWORDS_AT_ONCE: usize = 1;
/// More would wait longer than clients do.
const PASSWORDS_WAITING: usize = 64;
/// Verified credentials that are remembered, about 300 bytes each.
const REMEMBERED: usize = 10_000;

/// An account that was made at this start.
pub struct FirstSignIn {
    /// Its name.
    pub user: String,
    /// Its password, to be shown once.
    pub password: Zeroizing<String>,
    /// Where the password may be written when there is no terminal to show it on.
    pub file: Option<PathBuf>,
}

/// Makes the authenticator that the configuration asks for.
///
/// # Errors
///
/// A file of the `auth` section cannot be read, or the first administrator cannot be made.
pub async fn authenticator(
    config: &Config,
    index: &Index,
    storage: &Storage,
    clock: Clock,
    random: Random,
    metrics: &Arc<Metrics>,
) -> Result<(Authenticator, Option<FirstSignIn>)> {
    let passwords = PasswordQueue::new(PASSWORDS_AT_ONCE, PASSWORDS_WAITING);
    let mut first = None;
    let auth = match &config.auth {
        Auth::None if config.access.accounts => {
            let accounts = Accounts::new(index.metadata.clone(), passwords.clone(), clock.clone(), random.clone());
            if index.is_owner() {
                first = ensure_administrator(&accounts, &config.admin, storage).await?;
            }
            let keys = accounts
                .signing_keys()
                .await
                .context("the keys that sign tokens cannot be read")?;
            let seconds = i64::try_from(config.access.token_lifetime.as_secs()).unwrap_or(i64::MAX);
            let tokens = OwnTokens::new(SERVICE, seconds, keys, random.clone())?;
            accounts.poll().await?;
            AuthConfig::BuiltIn { accounts, tokens }
        }
        Auth::None => AuthConfig::Open,
        Auth::Silly { realm, service } => AuthConfig::Silly {
            realm: realm.clone(),
            service: service.clone(),
        },
        Auth::Htpasswd { realm, path } => AuthConfig::Htpasswd {
            realm: realm.clone(),
            path: path.clone(),
        },
        Auth::Token(token) => AuthConfig::Token(external(token)),
    };
    let observe = observe(Arc::clone(metrics));
    let tools = Tools {
        clock,
        random,
        passwords,
        limits: Limits::default(),
        remembered: REMEMBERED,
        observe,
    };
    let (made, provisioned) = tokio::task::spawn_blocking(move || Authenticator::new(auth, tools)).await??;
    if let Some(provisioned) = provisioned {
        first = Some(FirstSignIn {
            user: provisioned.user.to_owned(),
            password: provisioned.password,
            file: None,
        });
    }
    Ok((made, first))
}

/// Counts how credentials were judged.
fn observe(metrics: Arc<Metrics>) -> wharf_auth::Observe {
    Arc::new(move |outcome| {
        metrics.authentication(match outcome {
            Outcome::Anonymous => Authentication::Anonymous,
            Outcome::Remembered => Authentication::Remembered,
            Outcome::Verified => Authentication::Verified,
            Outcome::Failed => Authentication::Failed,
            Outcome::Limited => Authentication::Limited,
        });
    })
}

async fn ensure_administrator(accounts: &Accounts, admin: &Admin, storage: &Storage) -> Result<Option<FirstSignIn>> {
    let given = match (&admin.password, &admin.password_file) {
        (Some(password), _) => Some(Zeroizing::new(password.expose().as_bytes().to_vec())),
        (None, Some(path)) => {
            let text = std::fs::read(path)
                .with_context(|| format!("WHARF_ADMIN_PASSWORD_FILE {} cannot be read", path.display()))?;
            let end = text
                .iter()
                .rposition(|byte| !byte.is_ascii_whitespace())
                .map_or(0, |last| last + 1);
            Some(Zeroizing::new(text[..end].to_vec()))
        }
        (None, None) => None,
    };
    let made = accounts
        .ensure_administrator(given)
        .await
        .context("the first administrator cannot be made")?;
    let Some(password) = made else { return Ok(None) };
    let file = storage
        .state()
        .folder()
        .await?
        .map(|folder| folder.join("admin-password"));
    Ok(Some(FirstSignIn {
        user: wharf_auth::ADMINISTRATOR.to_owned(),
        password,
        file,
    }))
}

fn external(token: &TokenAuth) -> ExternalConfig {
    ExternalConfig {
        realm: token.realm.clone(),
        service: token.service.clone(),
        issuer: token.issuer.clone(),
        rootcertbundle: token.root_cert_bundle.clone(),
        jwks: token.jwks.clone(),
        signing_algorithms: token.signing_algorithms.clone(),
        autoredirect: token.auto_redirect_path.clone(),
    }
}

/// The accounts of a registry that is stopped; `None` when its people sign in otherwise.
pub fn offline(config: &Config, index: &Index) -> Option<Accounts> {
    if config.auth != Auth::None || !config.access.accounts {
        return None;
    }
    let passwords = PasswordQueue::new(PASSWORDS_AT_ONCE, PASSWORDS_WAITING);
    Some(Accounts::new(
        index.metadata.clone(),
        passwords,
        super::clock(),
        super::random(),
    ))
}
