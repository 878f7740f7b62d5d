//! One request: counted while it runs, and answered even when its handler panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::socket::Activity;
use super::stats::Stats;
use super::{ConnectionInfo, Handler};

/// Counts the requests of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    activity: Arc<Activity>,
    in_flight: AtomicU64,
    started: AtomicU64,
    /// Bytes that had arrived when the last answer had left: more means a new head has begun.
    received_at_rest: AtomicU64,
}

impl Requests {
    pub(super) fn new(activity: Arc<Activity>) -> Arc<Self> {
        Arc::new(Self {
            activity,
            in_flight: AtomicU64::new(0),
            started: AtomicU64::new(0),
            received_at_rest: AtomicU64::new(0),
        })
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Whether part of a request's head has arrived, and no request is being answered.
    pub(super) fn head_has_begun(&self) -> bool {
        self.in_flight() == 0 && self.activity.received() > self.received_at_rest.load(Ordering::Relaxed)
    }

    fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.started.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request that is being answered, until its last byte is handed over.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Requests>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let received = self.0.activity.received();
        self.0.received_at_rest.store(received, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the requests of one connection share.
pub(super) struct Exchange<H> {
    pub(super) handler: Arc<H>,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) requests: Arc<Requests>,
    pub(super) stats: Arc<Stats>,
}

/// Answers one request.
pub(super) async fn answer<H: Handler>(
    exchange: Arc<Exchange<H>>,
    request: Request<Incoming>,
) -> Result<Response<Guarded<H::Body>>, Infallible> {
    let guard = exchange.requests.enter();
    let call = AssertUnwindSafe(exchange.handler.call(request, &exchange.info));
    let response = match call.catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            // the panic hook has told where
            exchange.stats.add_panics(1);
            tracing::error!("a request failed by a fault of this program; answering 500");
            exchange.handler.panicked()
        }
    };
    Ok(response.map(|body| Guarded { body, _guard: guard }))
}

/// A body that keeps its request in flight until it has left.
#[derive(Debug)]
pub(super) struct Guarded<B> {
    body: B,
    _guard: InFlight,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Guarded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
