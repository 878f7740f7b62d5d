//! TLS from certificate files that may be replaced at any time.

pub(crate) mod ciphers;
mod client_auth;
mod files;
mod reload;

use std::path::PathBuf;
use std::time::Duration;

pub use client_auth::ClientAuth;
pub use reload::Certificates;

/// How TLS is served: distribution's `http.tls`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The certificate with its chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The authorities of client certificates, in PEM.
    pub client_cas: Vec<PathBuf>,
    /// What is asked of clients. Without `client_cas`, verifying modes are an error.
    pub client_auth: ClientAuth,
    /// The lowest version that is accepted.
    pub minimum: MinimumVersion,
    /// Names of cipher suites for TLS 1.2 as Go spells them; empty means all safe ones.
    pub cipher_suites: Vec<String>,
    /// Offer HTTP/2.
    pub http2: bool,
    /// How often the files are looked at.
    pub poll: Duration,
}

impl Config {
    /// Serves this pair of files with the defaults: TLS 1.2 and 1.3, HTTP/2, no client certificates.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_cas: Vec::new(),
            client_auth: ClientAuth::None,
            minimum: MinimumVersion::Tls12,
            cipher_suites: Vec::new(),
            http2: true,
            poll: Duration::from_secs(5),
        }
    }
}

/// The lowest version of TLS that is accepted. Older ones than 1.2 do not exist here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinimumVersion {
    /// Reads `http.tls.minimumtls`; empty means 1.2. `tls1.0` and `tls1.1`, which distribution 2.8
    /// allowed, become 1.2, and [`MinimumVersion::is_raised`] says so, for a warning.
    ///
    /// # Errors
    /// Names a version that does not exist.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "" | "tls1.0" | "tls1.1" | "tls1.2" => Ok(Self::Tls12),
            "tls1.3" => Ok(Self::Tls13),
            _ => Err(Error::Version { name: name.to_owned() }),
        }
    }

    /// Whether the name asks for less than what [`MinimumVersion::parse`] gives.
    #[must_use]
    pub fn is_raised(name: &str) -> bool {
        matches!(name, "tls1.0" | "tls1.1")
    }
}

/// TLS cannot be served, or new files cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {source}")]
    Read {
        /// Which of the files.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not PEM, or holds nothing of the kind.
    #[error("{what} {path} holds no usable PEM: {reason}")]
    Pem {
        /// Which of the files.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The key does not belong to the certificate, or is of an unknown kind.
    #[error("key {key} does not fit certificate {certificate}: {reason}")]
    Pair {
        /// The certificate's path.
        certificate: PathBuf,
        /// The key's path.
        key: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// An authority cannot be used, or none is given where one is needed.
    #[error("client certificates cannot be verified: {reason}")]
    ClientCa {
        /// Why.
        reason: String,
    },
    /// `clientauth` has an unknown value.
    #[error(
        "clientauth {name:?} is unknown, use request-client-cert, require-any-client-cert, verify-client-cert-if-given or require-and-verify-client-cert"
    )]
    ClientAuth {
        /// The value as it was given.
        name: String,
    },
    /// `minimumtls` has an unknown value.
    #[error("minimumtls {name:?} is unknown, use tls1.2 or tls1.3")]
    Version {
        /// The value as it was given.
        name: String,
    },
    /// `ciphersuites` names something that is no cipher suite.
    #[error("cipher suite {name:?} is unknown")]
    CipherSuite {
        /// The name as it was given.
        name: String,
    },
    /// None of the named suites is supported.
    #[error("none of the cipher suites is supported: {names}")]
    NoCipherSuite {
        /// The names as they were given.
        names: String,
    },
    /// The library refuses the combination.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}
