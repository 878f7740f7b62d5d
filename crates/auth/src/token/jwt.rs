//! JSON Web Tokens in compact form (RFC 7519, RFC 7515), as registries use them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use wharf_oci::scope::Scope;

use super::key::{Algorithm, Jwk, PublicKey};

/// Clocks of issuer and registry may differ by this many seconds, as in distribution.
pub(crate) const LEEWAY: i64 = 60;
/// Longer tokens are not looked at, in bytes.
const LONGEST: usize = 64 << 10;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts with the JSON that belongs there.
    #[error("token is malformed")]
    Malformed,
    /// `alg` is `none`, symmetric, unknown, or not among the configured ones.
    #[error("token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// The header asks for an extension that we do not know (RFC 7515 section 4.1.11).
    #[error("token has a critical header that is not understood")]
    Critical,
    /// Neither certificate, key nor key id of the header is trusted.
    #[error("token is signed by a key that is not trusted")]
    UntrustedKey,
    /// The certificates of the header lead to no trusted one.
    #[error("token is signed by a certificate that is not trusted: {0}")]
    UntrustedCertificate(&'static str),
    /// The signature is not that of the key.
    #[error("token has a wrong signature")]
    Signature,
    /// `iss` is someone else.
    #[error("token is of another issuer")]
    Issuer,
    /// `aud` is another service.
    #[error("token is for another service")]
    Audience,
    /// `exp` has passed or is missing.
    #[error("token has expired")]
    Expired,
    /// `nbf` has not come yet.
    #[error("token is not valid yet")]
    NotYet,
    /// The account has changed, is disabled or gone.
    #[error("token was revoked")]
    Revoked,
}

/// The header fields that choose the key.
#[derive(Deserialize)]
pub(crate) struct Header {
    alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) x5c: Option<Vec<String>>,
    pub(crate) jwk: Option<Jwk>,
    crit: Option<serde_json::Value>,
}

/// A token whose signature has not been checked: only its header can be looked at.
pub(crate) struct Unverified<'a> {
    pub(crate) header: Header,
    algorithm: Algorithm,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// The claims of distribution's token specification.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    pub(crate) iss: String,
    #[serde(default)]
    pub(crate) sub: String,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) aud: Vec<String>,
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) exp: i64,
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) nbf: i64,
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) iat: i64,
    #[serde(default)]
    pub(crate) jti: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) access: Vec<Access>,
    /// Ours: the account's row and the `credential_version` it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wharf: Option<OwnClaims>,
}

/// What our own tokens say about the account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct OwnClaims {
    pub(crate) user: i64,
    pub(crate) version: i64,
}

/// One entry of the `access` claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) class: String,
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) actions: Vec<String>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. Nothing in it may be believed yet.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self {
            algorithm: Algorithm::named(&header.alg).ok_or(TokenError::Algorithm)?,
            header,
            signed,
            payload,
            signature: decode(signature)?,
        })
    }

    /// The algorithm that the header names.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The claims, if `key` signed them.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<Claims, TokenError> {
        if !key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(TokenError::Signature);
        }
        serde_json::from_slice(&decode(self.payload)?).map_err(|_| TokenError::Malformed)
    }
}

impl Claims {
    /// Checks who made it, for whom, and when.
    pub(crate) fn check(&self, issuer: &str, audiences: &[String], now: Timestamp) -> Result<(), TokenError> {
        let now = now.as_second();
        if self.iss != issuer {
            Err(TokenError::Issuer)
        } else if !self.aud.iter().any(|audience| audiences.contains(audience)) {
            Err(TokenError::Audience)
        } else if now > self.exp.saturating_add(LEEWAY) {
            Err(TokenError::Expired)
        } else if now < self.nbf.saturating_sub(LEEWAY) {
            Err(TokenError::NotYet)
        } else {
            Ok(())
        }
    }

    /// When it ends; not after the leeway, which is for clocks and not for longer use.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.exp).ok()
    }

    pub(crate) fn scopes(&self) -> Vec<Scope> {
        self.access.iter().cloned().map(Scope::from).collect()
    }
}

impl From<Access> for Scope {
    fn from(access: Access) -> Self {
        // Some issuers put the class behind the type, as scopes have it.
        let (kind, class) = match access.kind.split_once('(') {
            Some((kind, class)) => (kind.to_owned(), class.trim_end_matches(')').to_owned()),
            None => (access.kind, access.class),
        };
        Self {
            kind,
            class,
            name: access.name,
            actions: access.actions,
        }
    }
}

impl From<&Scope> for Access {
    fn from(scope: &Scope) -> Self {
        Self {
            kind: scope.kind.clone(),
            class: scope.class.clone(),
            name: scope.name.clone(),
            actions: scope.actions.clone(),
        }
    }
}

/// `header.payload.signature`, signed by `sign`.
pub(crate) fn encode<E>(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", part(header), part(claims));
    let signature = sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        One(String),
        Many(Vec<String>),
        None(()),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::One(one) => vec![one],
        Shape::Many(many) => many,
        Shape::None(()) => Vec::new(),
    })
}

/// RFC 7519 "NumericDate": seconds, possibly with a fraction.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Whole(i64),
        Fraction(f64),
        None(()),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::Whole(seconds) => seconds,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float cast saturates, and what is far away is far away"
        )]
        Shape::Fraction(seconds) => seconds as i64,
        Shape::None(()) => 0,
    })
}

fn null_is_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
