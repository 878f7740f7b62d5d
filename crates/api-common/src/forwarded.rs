//! `Forwarded` (RFC 7239) and its older relatives `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

use http::header::{AsHeaderName, FORWARDED};
use http::{HeaderMap, HeaderValue};

/// The first element of a `Forwarded` header: the proxy nearest to the client wrote it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// `for=`: the client's address, when it is one (it may be `unknown` or obfuscated).
    pub client: Option<IpAddr>,
    /// `proto=`, in lower case.
    pub proto: Option<String>,
    /// `host=` as it stands.
    pub host: Option<String>,
}

/// Reads the first element of a `Forwarded` header value. `None` when the
/// element is ill-formed: a header that cannot be read is not believed.
#[must_use]
pub fn parse(value: &str) -> Option<Forwarded> {
    let mut found = Forwarded::default();
    let mut rest = value.trim_start();
    while !rest.is_empty() && !rest.starts_with(',') {
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (text, after) = take_value(after.trim_start())?;
        match name.to_ascii_lowercase().as_str() {
            "for" => found.client = parse_node(&text),
            "proto" => found.proto = Some(text.to_ascii_lowercase()),
            "host" => found.host = Some(text),
            _ => {}
        }
        rest = after.trim_start();
    }
    Some(found)
}

/// The comma-separated members of a header that may be repeated, trimmed, without empty ones.
pub fn list(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// An address as proxies write it: bare, with a port, or in brackets.
#[must_use]
pub fn parse_node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inside = text.strip_prefix('[')?.split_once(']')?.0;
    inside.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The `for=` of the first `Forwarded` header.
pub(crate) fn first_for(headers: &HeaderMap) -> Option<IpAddr> {
    of(headers)?.client
}

/// The first `Forwarded` header, if there is one that can be read.
pub(crate) fn of(headers: &HeaderMap) -> Option<Forwarded> {
    parse(headers.get(FORWARDED)?.to_str().ok()?)
}

/// A token or quoted string and what follows it, which must be `;`, `,` or the end.
fn take_value(text: &str) -> Option<(String, &str)> {
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => take_quoted(quoted)?,
        None => {
            let end = text.find([';', ',']).unwrap_or(text.len());
            let (value, rest) = text.split_at(end);
            (value.trim_end().to_owned(), rest)
        }
    };
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with([';', ','])).then_some((value, rest))
}

fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
