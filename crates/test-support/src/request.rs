//! Requests as values, and what comes back.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::mpsc;
use wharf_api_common::{Body, ClientAddress, Peer, TrustedProxies, Via};
use wharf_api_distribution::Origin;
use wharf_oci::Digest;

use crate::Registry;

/// The host that clients of a test believe to speak to.
const HOST: &str = "registry.test";

/// A request that is being made.
pub struct TestRequest {
    registry: Registry,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Body,
    from: SocketAddr,
    is_tls: bool,
}

/// The client's end of a body that is sent piece by piece.
#[derive(Debug)]
pub struct Sender(mpsc::UnboundedSender<io::Result<Bytes>>);

impl Sender {
    /// Sends a piece. The other end may be gone.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        drop(self.0.send(Ok(bytes.into())));
    }

    /// The connection breaks.
    pub fn cut(self) {
        drop(self.0.send(Err(io::ErrorKind::ConnectionReset.into())));
    }
}

impl TestRequest {
    pub(crate) fn new(registry: Registry, method: Method, target: &str) -> Self {
        // what a client resolves a relative reference against
        let target = target
            .strip_prefix("https://registry.test")
            .unwrap_or(target)
            .to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(HOST));
        Self {
            registry,
            method,
            target,
            headers,
            body: Body::empty(),
            from: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            is_tls: true,
        }
    }

    /// With a header; a second one of the same name is added.
    #[must_use]
    pub fn header(mut self, name: impl TryInto<HeaderName, Error: std::fmt::Debug>, value: impl AsRef<str>) -> Self {
        let value = HeaderValue::from_str(value.as_ref()).unwrap();
        self.headers.append(name.try_into().unwrap(), value);
        self
    }

    /// Without a header that would be sent.
    #[must_use]
    pub fn without(mut self, name: HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    /// With a name and password.
    #[must_use]
    pub fn basic(self, name: &str, password: &str) -> Self {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.header(header::AUTHORIZATION, format!("Basic {text}"))
    }

    /// With a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(header::AUTHORIZATION, format!("Bearer {token}"))
    }

    /// With a body and its length.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
        self.body = Body::from(bytes);
        self
    }

    /// With a body of unknown length, which arrives in these pieces.
    #[must_use]
    pub fn pieces(mut self, pieces: Vec<io::Result<Bytes>>) -> Self {
        self.headers
            .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        self.body = Body::from_stream(futures_util::stream::iter(pieces));
        self
    }

    /// With a body of unknown length that the test sends piece by piece.
    #[must_use]
    pub fn streamed(mut self) -> (Self, Sender) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        self.headers
            .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        self.body = Body::from_stream(futures_util::stream::poll_fn(move |context| {
            receiver.poll_recv(context)
        }));
        (self, Sender(sender))
    }

    /// From another machine.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        self.from = SocketAddr::new(address.parse().unwrap(), 40_000);
        self
    }

    /// Over a connection that is not encrypted.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.is_tls = false;
        self
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.target);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
        }
        let request = request.body(self.body).unwrap();
        let peer = Peer::Tcp(self.from);
        let origin = Origin {
            via: Via {
                peer,
                port: None,
                tls: self.is_tls,
            },
            client: ClientAddress::of(request.headers(), &peer, &TrustedProxies::everyone()),
            send_file: None,
        };
        let api = self.registry.api();
        let answered = match self.target.starts_with("/service/token") {
            true => Box::pin(api.token(request, origin)).await,
            false => Box::pin(api.answer(request, origin)).await,
        };
        let (parts, body) = answered.response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
        }
    }
}

/// An answer as a client has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The only value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert!(values.next().is_none(), "header {name} comes more than once: {self:?}");
        value
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The message of the first error.
    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// Fails the test unless it is an error with this status and code, in the standard's shape.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.code(), code, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert!(!self.message().is_empty(), "{self:?}");
        self
    }

    /// Fails the test unless `Docker-Content-Digest` is this one.
    #[track_caller]
    pub fn expect_digest(self, digest: &Digest) -> Self {
        assert_eq!(self.header("docker-content-digest"), digest.to_string(), "{self:?}");
        self
    }

    /// The path of `Location`, whether it came absolute or not.
    #[track_caller]
    pub fn location(&self) -> String {
        let location = self.header("location");
        assert!(!location.is_empty(), "no Location: {self:?}");
        location
            .strip_prefix("https://registry.test")
            .unwrap_or(location)
            .to_owned()
    }
}
