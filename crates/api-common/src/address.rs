//! Who is at the other end: the peer of the connection, or the client that a
//! proxy names.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::forwarded;

/// Parsed once: every request is asked for these.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP connection from this address.
    Tcp(SocketAddr),
    /// A unix socket: a process of this machine, usually a proxy.
    Unix,
}

impl Peer {
    /// The address, with IPv4-mapped IPv6 addresses shown as IPv4. `None` for a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => {
                write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Which peers may say on whose behalf they ask.
///
/// Without a list every peer is believed, as in distribution. With a list, the
/// forwarding headers of everybody else are ignored.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Option<Vec<IpNet>>,
}

/// An entry of the list of trusted proxies is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trusted proxy {entry:?} is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidProxy {
    /// The entry as it was given.
    pub entry: String,
}

impl TrustedProxies {
    /// Believes every peer (distribution's behaviour).
    #[must_use]
    pub fn everyone() -> Self {
        Self { networks: None }
    }

    /// Believes only peers within `entries`, each an address or a network in CIDR form.
    /// An empty list believes nobody.
    ///
    /// # Errors
    /// Names the first entry that is neither.
    pub fn only<T: AsRef<str>>(entries: &[T]) -> Result<Self, InvalidProxy> {
        let networks = entries
            .iter()
            .map(|entry| parse_network(entry.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            networks: Some(networks),
        })
    }

    /// Whether the peer's forwarding headers are believed. Unix sockets always are:
    /// only a local process with access to the socket file can connect.
    #[must_use]
    pub fn trusts(&self, peer: &Peer) -> bool {
        peer.ip().is_none_or(|ip| self.trusts_ip(ip))
    }

    fn trusts_ip(&self, ip: IpAddr) -> bool {
        match &self.networks {
            None => true,
            Some(networks) => networks.iter().any(|network| network.contains(&ip)),
        }
    }
}

fn parse_network(entry: &str) -> Result<IpNet, InvalidProxy> {
    let text = entry.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip.to_canonical()));
    }
    text.parse().map_err(|_| InvalidProxy {
        entry: entry.to_owned(),
    })
}

/// The address that a request came from, as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    /// The client's address; `None` for a process behind a unix socket that named nobody.
    pub ip: Option<IpAddr>,
    /// The client's port, when it is the peer itself.
    pub port: Option<u16>,
}

impl ClientAddress {
    /// Finds the client of a request.
    ///
    /// Trusting everyone: the first address of `X-Forwarded-For`, else `X-Real-Ip`, else the
    /// peer, as distribution does. With a list of proxies: the last address of
    /// `X-Forwarded-For` that is not itself a trusted proxy, so that a client cannot invent one.
    #[must_use]
    pub fn of(headers: &HeaderMap, peer: &Peer, proxies: &TrustedProxies) -> Self {
        let direct = match peer {
            Peer::Tcp(address) => Self {
                ip: Some(address.ip().to_canonical()),
                port: Some(address.port()),
            },
            Peer::Unix => Self { ip: None, port: None },
        };
        if !proxies.trusts(peer) {
            return direct;
        }
        forwarded_ip(headers, proxies).map_or(direct, |ip| Self {
            ip: Some(ip),
            port: None,
        })
    }
}

impl fmt::Display for ClientAddress {
    /// `address`, or `unix` for an unnamed local process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => write!(f, "{ip}"),
            None => f.write_str("unix"),
        }
    }
}

fn forwarded_ip(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    if proxies.networks.is_none() {
        let first = forwarded::list(headers, &X_FORWARDED_FOR).next();
        return first
            .and_then(forwarded::parse_node)
            .or_else(|| real_ip(headers))
            .or_else(|| forwarded::first_for(headers));
    }
    let hops: Vec<&str> = forwarded::list(headers, &X_FORWARDED_FOR).collect();
    if hops.is_empty() {
        return real_ip(headers).or_else(|| forwarded::first_for(headers));
    }
    let mut client = None;
    for hop in hops.iter().rev() {
        let ip = forwarded::parse_node(hop)?;
        client = Some(ip);
        if !proxies.trusts_ip(ip) {
            break;
        }
    }
    client
}

fn real_ip(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get(X_REAL_IP)?.to_str().ok()?;
    forwarded::parse_node(value.trim())
}

#[cfg(test)]
mod tests;
