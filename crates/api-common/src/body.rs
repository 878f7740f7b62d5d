//! The body of an answer, and watching it leave.

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The body of every answer.
pub use axum::body::Body;

/// Sends files without copying them through the process, on connections that can (plain HTTP/1).
pub trait SendFile: Send + Sync + std::fmt::Debug {
    /// Bytes `offset..offset + length` of `file` as the body of an answer on this connection, and
    /// on no other. The answer needs a `Content-Length`, and nothing may look at the body's bytes:
    /// they are stand-ins until they reach the socket.
    fn body(&self, file: Arc<File>, offset: u64, length: u64) -> Body;
}

/// How a body went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes handed to the connection.
    pub bytes: u64,
    /// Whether all of it was handed over, rather than the client or the storage failing midway.
    pub complete: bool,
}

/// Is told once when an answer has left, or has been given up.
pub trait OnSent {
    /// Called from the drop of the body: must be short and must not block.
    fn sent(self, sent: Sent);
}

impl<F: FnOnce(Sent)> OnSent for F {
    fn sent(self, sent: Sent) {
        self(sent);
    }
}

/// A body that counts its bytes and reports when it has ended: access log, metrics and pull
/// counts hang here. Costs no allocation.
#[derive(Debug)]
pub struct Observed<F: OnSent> {
    body: Body,
    bytes: u64,
    length: Option<u64>,
    complete: bool,
    on_sent: Option<F>,
}

impl<F: OnSent> Observed<F> {
    /// Watches `body`, which is whole after `length` bytes: a connection does not ask a stream
    /// for its end once it has sent what `Content-Length` promised.
    pub fn new(body: Body, length: Option<u64>, on_sent: F) -> Self {
        Self {
            complete: body.is_end_stream(),
            length: length.or_else(|| body.size_hint().exact()),
            body,
            bytes: 0,
            on_sent: Some(on_sent),
        }
    }

    /// Watches the body of an answer, whose length is its `Content-Length`.
    pub fn response(response: Response<Body>, on_sent: F) -> Response<Self> {
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        response.map(|body| Self::new(body, length, on_sent))
    }
}

impl<F: OnSent + Unpin> HttpBody for Observed<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.bytes += u64::try_from(length).unwrap_or(u64::MAX);
                let whole = this.length.is_some_and(|length| this.bytes >= length);
                this.complete = whole || this.body.is_end_stream();
            }
            Poll::Ready(None) => this.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: OnSent> Drop for Observed<F> {
    fn drop(&mut self) {
        if let Some(on_sent) = self.on_sent.take() {
            on_sent.sent(Sent {
                bytes: self.bytes,
                complete: self.complete,
            });
        }
    }
}

#[cfg(test)]
mod tests;
