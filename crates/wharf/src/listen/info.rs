//! What is known about a connection, shared by all its requests.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use wharf_api_common::{Peer, SendFile};
use x509_parser::extensions::GeneralName;

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: Peer,
    /// Our end.
    pub local: Arc<Local>,
    /// What TLS told, on a TLS connection.
    pub tls: Option<TlsInfo>,
    /// Sends files without copying, where the connection can: plain HTTP/1.
    pub send_file: Option<Arc<dyn SendFile>>,
}

impl ConnectionInfo {
    /// The scheme that the peer itself used. A proxy may have been asked with another one.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// Whether the peer uses TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The address that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// The address with the port that the system chose.
    Tcp(SocketAddr),
    /// The socket file.
    Unix(PathBuf),
}

impl Local {
    /// The TCP address, if it is one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the handshake agreed on.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The name that the client asked for; kubelets that use addresses send none.
    pub server_name: Option<String>,
    /// The client's certificate, if it showed one.
    pub client: Option<ClientCertificate>,
}

impl TlsInfo {
    /// Reads what a finished handshake agreed on. `verifies`: whether the listener's mode checks
    /// the chain of a certificate.
    pub(super) fn of(session: &rustls::ServerConnection, verifies: bool) -> Self {
        let leaf = session.peer_certificates().and_then(|chain| chain.first());
        Self {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            server_name: session.server_name().map(str::to_owned),
            client: leaf.and_then(|leaf| ClientCertificate::parse(leaf, verifies)),
        }
    }
}

/// A client's certificate. Whether its chain was verified depends on the mode that the listener
/// was configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, such as `CN=build-7,O=ci`.
    pub subject: String,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Alternative names: DNS names, e-mail addresses, URIs and addresses.
    pub names: Vec<String>,
    /// Whether the chain led to one of the configured authorities.
    pub verified: bool,
}

impl ClientCertificate {
    /// Reads a certificate in DER. `None` when it cannot be parsed.
    fn parse(der: &[u8], verified: bool) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next();
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Some(Self {
            subject: subject.to_string(),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            names: names.into_iter().filter_map(alternative_name).collect(),
            verified,
        })
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
