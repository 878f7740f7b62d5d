//! Tokens of an external issuer: distribution's `auth: token`.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use wharf_access::{Identity, Principal};

use super::{
    certificate::Roots,
    jwt::{TokenError, Unverified},
    key::{Algorithm, Jwk, PublicKey},
};

pub use super::certificate::BundleError;

/// `auth.token` of the configuration.
#[derive(Clone, Debug, Default)]
pub struct ExternalConfig {
    /// Where clients get tokens.
    pub realm: String,
    /// The name of this registry: what `aud` must contain.
    pub service: String,
    /// What `iss` must be.
    pub issuer: String,
    /// PEM file of certificates that sign tokens, or that sign those that do.
    pub rootcertbundle: Option<PathBuf>,
    /// File with a JWK set of keys that sign tokens.
    pub jwks: Option<PathBuf>,
    /// Names of accepted algorithms; empty: all.
    pub signing_algorithms: Vec<String>,
    /// Send clients to this path of the host they asked for, instead of `realm`.
    pub autoredirect: Option<String>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// Nothing to check signatures with.
    #[error("auth.token needs rootcertbundle or jwks")]
    NoKeys,
    /// A file cannot be read.
    #[error("cannot read auth.token.{key} {path}: {source}")]
    Read {
        /// `rootcertbundle` or `jwks`.
        key: &'static str,
        /// The path of the configuration.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bundle is broken.
    #[error("auth.token.rootcertbundle {path} {source}")]
    Bundle {
        /// The path of the configuration.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// The key set is broken.
    #[error("auth.token.jwks {path} {reason}")]
    Jwks {
        /// The path of the configuration.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An algorithm that does not exist.
    #[error("auth.token.signingalgorithms: {0:?} is not one of EdDSA, RS256 to RS512, ES256 to ES512, PS256 to PS512")]
    Algorithm(String),
}

/// Checks tokens of one issuer.
pub struct ExternalIssuer {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Option<Vec<Algorithm>>,
    roots: Option<Roots>,
    by_id: HashMap<String, PublicKey>,
}

impl ExternalIssuer {
    /// Reads the key files.
    pub fn open(config: &ExternalConfig) -> Result<Self, ExternalError> {
        let bundle = config.rootcertbundle.as_deref();
        let bundle = bundle
            .map(|path| Ok((path, read("rootcertbundle", path)?)))
            .transpose()?;
        let jwks = config.jwks.as_deref();
        let jwks = jwks.map(|path| Ok((path, read("jwks", path)?))).transpose()?;
        if bundle.is_none() && jwks.is_none() {
            return Err(ExternalError::NoKeys);
        }
        let mut by_id = HashMap::new();
        let mut roots = None;
        if let Some((path, pem)) = bundle {
            let (read, keys) = Roots::parse(&pem).map_err(|source| ExternalError::Bundle {
                path: path.to_owned(),
                source,
            })?;
            for key in keys {
                by_id.insert(key.libtrust_id(), key.clone());
                by_id.insert(key.thumbprint().to_owned(), key);
            }
            roots = Some(read);
        }
        if let Some((path, json)) = jwks {
            let keys = parse_jwks(&json).map_err(|reason| ExternalError::Jwks {
                path: path.to_owned(),
                reason,
            })?;
            for (id, key) in keys {
                by_id.insert(key.libtrust_id(), key.clone());
                by_id.insert(key.thumbprint().to_owned(), key.clone());
                by_id.extend(id.map(|id| (id, key)));
            }
        }
        Ok(Self {
            issuer: config.issuer.clone(),
            audiences: vec![config.service.clone()],
            algorithms: algorithms(&config.signing_algorithms)?,
            roots,
            by_id,
        })
    }

    /// Who a token stands for, and until when.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<(Principal, Option<Timestamp>), TokenError> {
        let unverified = Unverified::parse(token)?;
        let algorithm = unverified.algorithm();
        if self
            .algorithms
            .as_ref()
            .is_some_and(|accepted| !accepted.contains(&algorithm))
        {
            return Err(TokenError::Algorithm);
        }
        let claims = unverified.verify(&self.key_for(&unverified, now)?)?;
        claims.check(&self.issuer, &self.audiences, now)?;
        let principal = Principal {
            scopes: Some(claims.scopes()),
            identity: Identity::External(claims.sub.clone()),
        };
        Ok((principal, claims.expires()))
    }

    /// In distribution's order: certificates, then a key in the header, then its name. Whatever the
    /// header brings along is only a hint: what counts is what the configuration trusts.
    fn key_for(&self, token: &Unverified<'_>, now: Timestamp) -> Result<PublicKey, TokenError> {
        let header = &token.header;
        if let Some(x5c) = header.x5c.as_ref().filter(|x5c| !x5c.is_empty()) {
            let roots = self.roots.as_ref().ok_or(TokenError::UntrustedKey)?;
            return roots.key_of(x5c, now);
        }
        if let Some(jwk) = &header.jwk {
            // CVE-2025-24976: the key must be one of ours, compared as a key and not by its `kid`.
            let brought = PublicKey::from_jwk(jwk).map_err(|_| TokenError::UntrustedKey)?;
            if let (Some(x5c), Some(roots)) = (&jwk.x5c, &self.roots) {
                let certified = roots.key_of(x5c, now)?;
                return (certified == brought)
                    .then_some(certified)
                    .ok_or(TokenError::UntrustedKey);
            }
            let trusted = self.by_id.get(brought.thumbprint());
            return trusted.cloned().ok_or(TokenError::UntrustedKey);
        }
        let id = header.kid.as_ref().ok_or(TokenError::UntrustedKey)?;
        self.by_id.get(id).cloned().ok_or(TokenError::UntrustedKey)
    }
}

impl std::fmt::Debug for ExternalIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalIssuer")
            .field("issuer", &self.issuer)
            .field("keys", &self.by_id.keys())
            .finish_non_exhaustive()
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ExternalError> {
    fs::read(path).map_err(|source| ExternalError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

/// The public keys of a set; those of kinds that cannot sign tokens are left out with a warning.
fn parse_jwks(json: &[u8]) -> Result<Vec<(Option<String>, PublicKey)>, String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Jwk>,
    }
    // The parser's own message could quote a private key.
    let set: Set = serde_json::from_slice(json).map_err(|error| format!("is not a JWK set (line {})", error.line()))?;
    let mut keys = Vec::new();
    for (position, jwk) in set.keys.iter().enumerate() {
        match PublicKey::from_jwk(jwk) {
            Ok(key) => keys.push((jwk.kid.clone(), key)),
            Err(error) => tracing::warn!(
                position,
                kid = jwk.kid,
                kty = jwk.kty,
                "key of auth.token.jwks is left out: {error}"
            ),
        }
    }
    if keys.is_empty() {
        return Err("holds no key that can check signatures".to_owned());
    }
    Ok(keys)
}

/// `None`: all. The HS family is accepted in the list, as in distribution, where no key can match it.
fn algorithms(names: &[String]) -> Result<Option<Vec<Algorithm>>, ExternalError> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut accepted = Vec::new();
    for name in names {
        match Algorithm::named(name) {
            Some(algorithm) => accepted.push(algorithm),
            None if ["HS256", "HS384", "HS512"].contains(&name.as_str()) => {
                tracing::warn!(
                    algorithm = name,
                    "auth.token.signingalgorithms: symmetric signatures are never accepted"
                );
            }
            None => return Err(ExternalError::Algorithm(name.clone())),
        }
    }
    Ok(Some(accepted))
}

#[cfg(test)]
mod tests;
