//! The address of a listener, in the notation of `http.addr`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use tokio::net::lookup_host;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host (empty for all interfaces, IPv4 and IPv6) and a port (0 lets the system choose).
    Tcp {
        /// A name or address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

/// An address that cannot be listened at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form `host:port`.
    #[error("address {address:?} is not of the form host:port or :port")]
    Form {
        /// The address as it was given.
        address: String,
    },
    /// `http.net` is neither tcp nor unix.
    #[error("network {network:?} is not supported, use tcp or unix")]
    Network {
        /// The network as it was given.
        network: String,
    },
    /// A unix socket without a path.
    #[error("network unix needs the path of the socket as address")]
    Path,
}

impl Address {
    /// Reads `http.net` (empty means tcp) and `http.addr`: `:5000`, `127.0.0.1:5000`,
    /// `[::1]:5000`, `localhost:5000`, or a path for unix.
    ///
    /// # Errors
    /// When the address has no port, or the network is unknown.
    pub fn parse(network: &str, address: &str) -> Result<Self, AddressError> {
        let address = address.trim();
        match network {
            "" | "tcp" | "tcp4" | "tcp6" => Self::tcp(address),
            "unix" if address.is_empty() => Err(AddressError::Path),
            "unix" => Ok(Self::Unix(PathBuf::from(address))),
            _ => Err(AddressError::Network {
                network: network.to_owned(),
            }),
        }
    }

    fn tcp(address: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form {
            address: address.to_owned(),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
        let port = port.parse().map_err(|_| form())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(inside) if inside.parse::<Ipv6Addr>().is_ok() => inside,
            None if !host.contains([':', '[', ']', '/']) => host,
            _ => return Err(form()),
        };
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    /// The addresses to try, best first. A name prefers IPv4, as Go does.
    pub(super) async fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        if host.is_empty() {
            // dual stack first; hosts without IPv6 take the second
            return Ok(vec![
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
                SocketAddr::from(([0, 0, 0, 0], port)),
            ]);
        }
        let mut found: Vec<_> = lookup_host((host, port)).await?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
