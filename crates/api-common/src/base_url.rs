//! The address under which clients reach us, for every URL that an answer holds.

use http::{HeaderMap, HeaderValue, Uri};

use crate::address::{Peer, TrustedProxies};
use crate::forwarded;

/// How URLs in answers are built: distribution's `http.host`, `http.prefix` and
/// `http.relativeurls`.
#[derive(Clone, Debug, Default)]
pub struct BaseUrls {
    fixed: Option<String>,
    prefix: String,
    relative: bool,
    proxies: TrustedProxies,
}

/// The connection that a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The other end.
    pub peer: Peer,
    /// The port of our end; `None` for a unix socket.
    pub port: Option<u16>,
    /// Whether TLS ends here.
    pub tls: bool,
}

impl Via {
    /// Whether the client itself is at the other end of a plain connection, so that it uses plain
    /// HTTP: no proxy has left a trace, and it asks for the very port that we listen on, or for
    /// its own machine from its own machine.
    fn is_direct(&self, headers: &HeaderMap, host: &str) -> bool {
        const TRACES: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
        if TRACES.iter().any(|name| headers.contains_key(*name)) {
            return false;
        }
        let (name, port) = split_port(host);
        let is_own_port = port.is_some() && port == self.port;
        is_own_port || (is_loopback(name) && self.peer.ip().is_some_and(|ip| ip.is_loopback()))
    }
}

/// `http.host` is not a URL with a scheme and a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("http.host {host:?} is not a URL such as https://registry.example.com")]
pub struct InvalidHost {
    /// The value as it was given.
    pub host: String,
}

impl BaseUrls {
    /// Takes the configured `host` (a URL), `prefix` (a path) and whether Locations are
    /// paths only. `proxies` decides whose forwarding headers count.
    ///
    /// # Errors
    /// When `host` has no scheme or no host.
    pub fn new(host: Option<&str>, prefix: &str, relative: bool, proxies: TrustedProxies) -> Result<Self, InvalidHost> {
        let fixed = match host.map(str::trim) {
            None | Some("") => None,
            Some(host) => Some(check_host(host)?),
        };
        Ok(Self {
            fixed,
            prefix: clean_prefix(prefix),
            relative,
            proxies,
        })
    }

    /// The path under which everything is served: empty, or `/some/prefix` without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whose forwarding headers count.
    #[must_use]
    pub fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// The base of the URLs in the answer to one request: `http.host`, else `Forwarded`, else
    /// `X-Forwarded-Proto` with the first `X-Forwarded-Host`, else what the client asked for.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap, uri: &Uri, via: &Via) -> BaseUrl {
        if let Some(fixed) = &self.fixed {
            let https = fixed.starts_with("https:");
            return self.build(fixed.clone(), https, true);
        }
        let named = if self.proxies.trusts(&via.peer) {
            named_by_proxy(headers)
        } else {
            Named::default()
        };
        let direct = if via.tls { "https" } else { "http" };
        let proto = named.proto.as_deref();
        let scheme = proto.unwrap_or(direct);
        let asked = uri.authority().map(|authority| authority.as_str());
        let host_header = || headers.get(http::header::HOST)?.to_str().ok();
        let host = named.host.as_deref().or(asked).or_else(host_header);
        let host = host.filter(|host| is_authority(host));
        let certain = via.tls || proto.is_some() || host.is_some_and(|host| via.is_direct(headers, host));
        match host {
            Some(host) => self.build(format!("{scheme}://{host}"), scheme == "https", certain),
            // HTTP/1.0 without Host: only a path can be right
            None => BaseUrl {
                relative: true,
                ..self.build(String::new(), scheme == "https", certain)
            },
        }
    }

    fn build(&self, origin: String, https: bool, certain: bool) -> BaseUrl {
        BaseUrl {
            origin,
            prefix: self.prefix.clone(),
            relative: self.relative,
            https,
            certain,
        }
    }
}

/// Builds the URLs of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    origin: String,
    prefix: String,
    relative: bool,
    https: bool,
    certain: bool,
}

impl BaseUrl {
    /// The value of a `Location` header for a path of ours (`/v2/...`, with its query):
    /// absolute, or path-only where relative URLs are asked for.
    #[must_use]
    pub fn location(&self, path: &str) -> String {
        let origin = if self.relative { "" } else { self.origin.as_str() };
        join(origin, &self.prefix, path)
    }

    /// [`BaseUrl::location`] as a header value; `None` when the path holds control characters.
    #[must_use]
    pub fn location_value(&self, path: &str) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(bytes::Bytes::from(self.location(path))).ok()
    }

    /// The absolute URL of a path of ours, for values that must not be relative
    /// (the realm of a challenge, event targets). Path-only when the host is unknown.
    #[must_use]
    pub fn absolute(&self, path: &str) -> String {
        join(&self.origin, &self.prefix, path)
    }

    /// The path with the prefix, for `Link` headers, which distribution always sends relative.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        join("", &self.prefix, path)
    }

    /// `scheme://host[:port]`, empty when unknown.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether clients use https, as far as we know.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether the scheme is known (`http.host`, TLS here, a proxy that says so, or a client without
    /// one) rather than guessed from a plain connection, behind which a proxy may terminate TLS.
    #[must_use]
    pub fn scheme_is_certain(&self) -> bool {
        self.certain
    }
}

fn join(origin: &str, prefix: &str, path: &str) -> String {
    let mut text = String::with_capacity(origin.len() + prefix.len() + path.len());
    text.push_str(origin);
    text.push_str(prefix);
    text.push_str(path);
    text
}

#[derive(Default)]
struct Named {
    proto: Option<String>,
    host: Option<String>,
}

/// `Forwarded` wins as a whole over `X-Forwarded-*`, as in distribution.
fn named_by_proxy(headers: &HeaderMap) -> Named {
    let (proto, host) = if headers.contains_key("forwarded") {
        let element = forwarded::of(headers).unwrap_or_default();
        (element.proto, element.host)
    } else {
        let proto = forwarded::list(headers, "x-forwarded-proto").next();
        let host = forwarded::list(headers, "x-forwarded-host").next();
        (proto.map(str::to_ascii_lowercase), host.map(str::to_owned))
    };
    Named {
        proto: proto.filter(|proto| proto == "http" || proto == "https"),
        host: host.filter(|host| is_authority(host)),
    }
}

/// A host with an optional port, and nothing that could end the authority of a URL.
fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 261
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
}

/// The name and the port of an authority.
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}

fn is_loopback(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address = inner.unwrap_or(name).parse().ok();
    name.eq_ignore_ascii_case("localhost") || address.is_some_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn check_host(host: &str) -> Result<String, InvalidHost> {
    let invalid = || InvalidHost { host: host.to_owned() };
    let uri: Uri = host.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid());
    };
    if uri.query().is_some() || authority.as_str().contains('@') {
        return Err(invalid());
    }
    let path = uri.path().trim_end_matches('/');
    Ok(format!("{scheme}://{authority}{path}"))
}

fn clean_prefix(prefix: &str) -> String {
    let inner = prefix.trim().trim_matches('/');
    if inner.is_empty() {
        String::new()
    } else {
        format!("/{inner}")
    }
}

#[cfg(test)]
mod tests;
