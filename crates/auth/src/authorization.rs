//! The `Authorization` header (RFC 7617 Basic, RFC 6750 Bearer).

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// Padding is optional: scripts that build the header by hand often leave it out.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The value of an `Authorization` header as it came, borrowed from the request. `Debug` hides it.
#[derive(Clone, Copy)]
pub struct Authorization<'a> {
    value: &'a [u8],
}

/// A header value that is neither Basic nor Bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// Another scheme, such as Digest or Negotiate.
    #[error("authorization scheme is not supported, use Basic or Bearer")]
    Scheme,
    /// What follows `Basic` is not base64 of `name:password`.
    #[error("basic authorization must be base64 of name:password")]
    Basic,
    /// What follows `Bearer` is not a token.
    #[error("bearer authorization must carry one token")]
    Bearer,
}

/// What a header holds.
#[derive(PartialEq, Eq)]
pub enum Credentials<'a> {
    /// A name and a password.
    Basic(Login),
    /// A token, as it came.
    Bearer(&'a str),
}

/// A name and a password. `Debug` shows neither the password nor its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name as it was typed.
    pub name: String,
    /// The password in whatever encoding the client used.
    pub password: Zeroizing<Vec<u8>>,
}

impl<'a> Authorization<'a> {
    /// Wraps a header value.
    pub const fn new(value: &'a [u8]) -> Self {
        Self { value }
    }

    /// The bytes as they came: a secret.
    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.value
    }

    /// Reads the header. The scheme counts in any case; spaces around its value are ignored.
    pub fn parse(self) -> Result<Credentials<'a>, AuthorizationError> {
        let text = std::str::from_utf8(self.value).map_err(|_| AuthorizationError::Scheme)?;
        let (scheme, rest) = text.trim().split_once([' ', '\t']).ok_or(AuthorizationError::Scheme)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            parse_basic(rest).map(Credentials::Basic)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let is_token = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
            is_token
                .then_some(Credentials::Bearer(rest))
                .ok_or(AuthorizationError::Bearer)
        } else {
            Err(AuthorizationError::Scheme)
        }
    }
}

fn parse_basic(encoded: &str) -> Result<Login, AuthorizationError> {
    let decoded = Zeroizing::new(TOLERANT.decode(encoded).map_err(|_| AuthorizationError::Basic)?);
    let colon = decoded
        .iter()
        .position(|&byte| byte == b':')
        .ok_or(AuthorizationError::Basic)?;
    let name = std::str::from_utf8(&decoded[..colon]).map_err(|_| AuthorizationError::Basic)?;
    Ok(Login {
        name: name.to_owned(),
        password: Zeroizing::new(decoded[colon + 1..].to_vec()),
    })
}

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(login) => f.debug_tuple("Basic").field(login).finish(),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
