//! Listening: TCP or a unix socket, plain or TLS, HTTP/1.1 and HTTP/2 on one port.
//!
//! Limits bound what an idle or malicious peer can hold (headers, handshakes, idle connections,
//! the number of connections). Nothing limits how long a body takes in either direction.

mod address;
mod connection;
mod info;
mod limits;
mod sendfile;
mod server;
mod service;
mod socket;
mod stats;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

pub use address::{Address, AddressError};
pub use info::{ClientCertificate, ConnectionInfo, Local, Scheme, TlsInfo};
pub use limits::raise_file_limit;
pub use server::{BindError, Drained, Listener};
pub use socket::Socket;
pub use stats::Stats;
pub use wharf_api_common::Peer;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to bind.
    pub address: Address,
    /// Offer HTTP/2 over TLS (ALPN). `http.http2.disabled` turns it off.
    pub http2: bool,
    /// Accept HTTP/2 with prior knowledge on plain connections (`http.h2c.enabled`).
    pub h2c: bool,
    /// The timeouts and sizes.
    pub limits: Limits,
}

impl Config {
    /// Listens at `address` with the defaults.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            http2: true,
            h2c: false,
            limits: Limits::default(),
        }
    }
}

/// What a peer may cost. No limit concerns the length or the duration of a body.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest request head in bytes; more is answered 431.
    pub header_bytes: usize,
    /// How long the head of a request, or a TLS handshake, may take from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request. Longer than the 90 s after which
    /// Go clients drop idle connections, and than the 60 s of common load balancers, so that it
    /// is them who close, without a race with the next request.
    pub idle_timeout: Duration,
    /// The same while more than nine tenths of all connections are taken.
    pub idle_timeout_when_full: Duration,
    /// How many connections at once; `None` derives it from the limit of open files. At the
    /// limit, new connections wait in the system's backlog.
    pub connections: Option<usize>,
    /// The largest piece that is read at once from a connection, in bytes.
    pub read_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(180),
            idle_timeout_when_full: Duration::from_secs(5),
            connections: None,
            read_buffer: 512 * 1024,
        }
    }
}

/// Answers requests.
///
/// On HTTP/1 the future runs to its end even when the client goes away. On HTTP/2 it is dropped
/// when the client resets the stream, and on both when the drain time is up: work that must not
/// stop halfway belongs into a task of its own. A panic becomes a 500 and is logged.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Answers one request.
    fn call(
        &self,
        request: Request<Incoming>,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to a request whose handler panicked.
    fn panicked(&self) -> Response<Self::Body>;
}

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Address {
    /// A unix socket at this path.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into())
    }
}
