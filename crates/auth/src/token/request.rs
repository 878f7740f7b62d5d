//! What clients send to the token service: distribution's GET and its OAuth2 POST.

use wharf_oci::{RepositoryName, scope::Scope};
use zeroize::Zeroizing;

use crate::authorization::Login;

/// More scopes than any client asks for at once.
const MOST_SCOPES: usize = 200;

/// A request for a token.
#[derive(Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The service that the token is for; empty when the client does not say.
    pub service: String,
    /// What the client calls itself.
    pub client_id: String,
    /// The account that the client says it is: a hint.
    pub account: String,
    /// What the token should allow. Malformed scopes are left out.
    pub scopes: Vec<Scope>,
    /// Whether a refresh token is wanted.
    pub wants_refresh_token: bool,
    /// The credentials of a POST; a GET has them in `Authorization`.
    pub grant: Grant,
}

/// The credentials inside a request.
#[derive(Default, PartialEq, Eq)]
pub enum Grant {
    /// None: look at the `Authorization` header.
    #[default]
    Header,
    /// `grant_type=password`.
    Password(Login),
    /// `grant_type=refresh_token`.
    Refresh(Zeroizing<String>),
}

/// A request that cannot be answered (RFC 6749 section 5.2: `invalid_request` and others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not `application/x-www-form-urlencoded`.
    #[error("token request is not form encoded")]
    Encoding,
    /// A parameter that the grant needs is missing.
    #[error("token request needs the parameter {0}")]
    Missing(&'static str),
    /// Neither `password` nor `refresh_token`.
    #[error("grant_type must be password or refresh_token")]
    GrantType,
    /// Too much at once.
    #[error("token request asks for more than 200 scopes")]
    TooMany,
}

impl RequestError {
    /// The `error` of RFC 6749 section 5.2.
    pub const fn code(self) -> &'static str {
        match self {
            Self::GrantType => "unsupported_grant_type",
            _ => "invalid_request",
        }
    }
}

/// The parameters as they came. Passwords are among them: wiped when dropped.
#[derive(Default)]
struct Raw {
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<Zeroizing<Vec<u8>>>,
    refresh_token: Option<Zeroizing<String>>,
}

impl TokenRequest {
    /// Reads the query of a GET, without its `?`.
    pub fn parse_query(query: &str) -> Result<Self, RequestError> {
        Self::parse(query).map(|(request, _)| request)
    }

    /// Reads the body of a POST. Without `grant_type` the credentials are those of the header.
    pub fn parse_form(body: &[u8]) -> Result<Self, RequestError> {
        let text = std::str::from_utf8(body).map_err(|_| RequestError::Encoding)?;
        let (request, raw) = Self::parse(text.trim_end())?;
        let grant = match raw.grant_type.as_deref() {
            None | Some("") => Grant::Header,
            Some("password") => Grant::Password(Login {
                name: raw.username.ok_or(RequestError::Missing("username"))?,
                password: raw.password.ok_or(RequestError::Missing("password"))?,
            }),
            Some("refresh_token") => Grant::Refresh(raw.refresh_token.ok_or(RequestError::Missing("refresh_token"))?),
            Some(_) => return Err(RequestError::GrantType),
        };
        Ok(Self { grant, ..request })
    }

    fn parse(text: &str) -> Result<(Self, Raw), RequestError> {
        let (mut request, mut raw) = (Self::default(), Raw::default());
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            let utf8 = || {
                std::str::from_utf8(&value)
                    .map(str::to_owned)
                    .map_err(|_| RequestError::Encoding)
            };
            match name {
                "service" => request.service = utf8()?,
                "client_id" => request.client_id = utf8()?,
                "account" => request.account = utf8()?,
                "scope" => request.scopes.extend(Scope::parse_list(&utf8()?)),
                "offline_token" => request.wants_refresh_token |= matches!(utf8()?.as_str(), "true" | "1"),
                "access_type" => request.wants_refresh_token |= utf8()? == "offline",
                "grant_type" => raw.grant_type = Some(utf8()?),
                "username" => raw.username = Some(utf8()?),
                "password" => raw.password = Some(value),
                "refresh_token" => raw.refresh_token = Some(Zeroizing::new(utf8()?)),
                _ => {}
            }
            if request.scopes.len() > MOST_SCOPES {
                return Err(RequestError::TooMany);
            }
        }
        Ok((request, raw))
    }

    /// The repositories whose visibility the answer depends on, each once.
    pub fn repositories(&self) -> Vec<RepositoryName> {
        let mut names: Vec<RepositoryName> = Vec::new();
        for scope in self.scopes.iter().filter(|scope| scope.kind == "repository") {
            if let Ok(name) = scope.name.parse::<RepositoryName>()
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}

/// Percent and plus decoding (WHATWG URL section 5.1). A stray `%` stands for itself.
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, RequestError> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        decoded.push(u8::try_from(high << 4 | low).map_err(|_| RequestError::Encoding)?);
                        bytes = ahead;
                    }
                    _ => decoded.push(b'%'),
                }
            }
            plain => decoded.push(plain),
        }
    }
    Ok(decoded)
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("service", &self.service)
            .field("client_id", &self.client_id)
            .field("account", &self.account)
            .field("scopes", &self.scopes)
            .field("wants_refresh_token", &self.wants_refresh_token)
            .field("grant", &self.grant)
            .finish()
    }
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("Header"),
            Self::Password(login) => f.debug_tuple("Password").field(login).finish(),
            Self::Refresh(_) => f.write_str("Refresh(…)"),
        }
    }
}

#[cfg(test)]
mod tests;
