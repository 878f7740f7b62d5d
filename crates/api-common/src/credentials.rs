//! The `Authorization` header: Basic (RFC 7617) and Bearer (RFC 6750).

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use zeroize::Zeroizing;

/// The longest header that is looked at, in bytes. Tokens with large group lists reach 16 KiB.
const MAX_HEADER: usize = 64 * 1024;

/// A password or token: never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Do not log or store what this returns.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a request shows to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// No credentials. Also an empty user with an empty password, which some clients send
    /// for "none".
    Anonymous,
    /// A name and a password (or personal access token, robot secret, identity token).
    Basic {
        /// The login as it was typed.
        user: String,
        /// What goes with it.
        password: Secret,
    },
    /// A token as our token service, or another issuer, hands out.
    Bearer(Secret),
}

/// An `Authorization` header that cannot be used; the answer is 401 with a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither Basic nor Bearer.
    #[error("authorization scheme {scheme:?} is not supported, use Basic or Bearer")]
    Scheme {
        /// The scheme's name, shortened to 32 characters.
        scheme: String,
    },
    /// Basic whose value is not base64 of `user:password`.
    #[error("basic credentials are not base64 of user:password")]
    Basic,
    /// Bearer without a token, or with characters that no token has.
    #[error("bearer token is empty or has illegal characters")]
    Bearer,
    /// More than one header, or a huge one.
    #[error("more than one authorization header, or one over {MAX_HEADER} bytes")]
    Header,
}

impl Credentials {
    /// Reads the credentials of a request.
    ///
    /// # Errors
    /// When there is a header that cannot be used.
    pub fn of(headers: &HeaderMap) -> Result<Self, CredentialError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Anonymous);
        };
        if values.next().is_some() {
            return Err(CredentialError::Header);
        }
        Self::parse(value.as_bytes())
    }

    /// Reads the value of an `Authorization` header. The scheme may be in any case and followed
    /// by any number of spaces; base64 may be of either alphabet, with or without padding.
    ///
    /// # Errors
    /// When the value is not Basic or Bearer, or not well-formed.
    pub fn parse(value: &[u8]) -> Result<Self, CredentialError> {
        if value.len() > MAX_HEADER {
            return Err(CredentialError::Header);
        }
        let value = value.trim_ascii();
        if value.is_empty() {
            return Ok(Self::Anonymous);
        }
        let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"basic") {
            basic(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            bearer(rest)
        } else {
            let scheme = String::from_utf8_lossy(scheme);
            Err(CredentialError::Scheme {
                scheme: scheme.chars().take(32).collect(),
            })
        }
    }
}

fn basic(encoded: &[u8]) -> Result<Credentials, CredentialError> {
    let decoded = STANDARD
        .decode(encoded)
        .or_else(|_| URL_SAFE.decode(encoded))
        .map(Zeroizing::new)
        .map_err(|_| CredentialError::Basic)?;
    let colon = decoded.iter().position(|byte| *byte == b':');
    let (user, password) = decoded.split_at(colon.ok_or(CredentialError::Basic)?);
    let password = password.get(1..).unwrap_or_default();
    if user.is_empty() && password.is_empty() {
        return Ok(Credentials::Anonymous);
    }
    if user.iter().chain(password).any(u8::is_ascii_control) {
        return Err(CredentialError::Basic);
    }
    Ok(Credentials::Basic {
        user: text(user),
        password: Secret::new(text(password)),
    })
}

/// UTF-8, else Latin-1: RFC 7617 leaves the charset open and old clients send the latter.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn bearer(token: &[u8]) -> Result<Credentials, CredentialError> {
    // RFC 6750 section 2.1: visible ASCII; issuers in the field use more than b64token
    let legal = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    let token = std::str::from_utf8(token).map_err(|_| CredentialError::Bearer)?;
    if !legal {
        return Err(CredentialError::Bearer);
    }
    Ok(Credentials::Bearer(Secret::new(token.to_owned())))
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

#[cfg(test)]
mod tests;
