//! One connection from its first byte to its last.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wharf_api_common::{Peer, SendFile};

use super::info::TlsInfo;
use super::sendfile::Sender;
use super::service::{Exchange, Requests, answer};
use super::socket::{Activity, Socket};
use super::stats::Stats;
use super::{Config, ConnectionInfo, Handler, Local};
use crate::shutdown::Shutdown;
use crate::tls::Certificates;

/// What every client of HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Go's answer, word for word, so that people find help for it.
const PLAIN_ON_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
Connection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// How long, and how much, is read and thrown away after the last answer, so that the client
/// gets to read it: closing with unread bytes would reset the connection under it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// What all connections of a listener share.
pub(super) struct Shared<H> {
    pub(super) handler: Arc<H>,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) local: Arc<Local>,
    pub(super) stats: Arc<Stats>,
    pub(super) protocols: Protocols,
    pub(super) config: Config,
    pub(super) slots: Arc<Semaphore>,
    pub(super) most: usize,
    pub(super) shutdown: Shutdown,
    /// Begins when the drain time is up.
    pub(super) cut: Shutdown,
}

/// The settings of both protocols.
#[derive(Debug)]
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let mut http1 = http1::Builder::new();
        http1
            // a client that closes its sending side still gets its answer, as from Go; and a
            // handler is not stopped halfway because its client went away
            .half_close(true)
            // the watchdog below knows an idle connection from a slow head; hyper does not
            .header_read_timeout(None)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.read_buffer.max(limits.header_bytes).max(8192));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_header_list_size(header_bytes)
            .max_concurrent_streams(250)
            .max_frame_size(128 * 1024)
            .initial_stream_window_size(2 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024);
        Self { http1, http2 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Why serving a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides are done with it.
    Closed,
    /// It was idle, or a head took too long.
    TimedOut,
    /// The process is stopping.
    Stopped,
}

impl<H: Handler> Shared<H> {
    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, mut socket: Socket, peer: Peer) {
        let activity = socket.activity();
        let Some(tls) = self.tls.clone() else {
            let protocol = if self.config.h2c {
                self.hurry(detect(&mut socket)).await
            } else {
                Some(Protocol::Http1)
            };
            let Some(protocol) = protocol else { return };
            let sender = (protocol == Protocol::Http1).then(|| Arc::new(Sender(socket.outbox())) as Arc<dyn SendFile>);
            let exchange = self.exchange(peer, None, sender, activity);
            if let Some(socket) = self.converse(socket, protocol, exchange).await {
                self.linger(socket).await;
            }
            return;
        };
        let Some(stream) = self.hurry(self.handshake(socket, &peer, &tls)).await else {
            return;
        };
        let (_, session) = stream.get_ref();
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let info = TlsInfo::of(session, tls.client_auth().verifies());
        let exchange = self.exchange(peer, Some(info), None, activity);
        // boxed: the state of a session is large, and most of the future would be it
        if let Some(stream) = self.converse(Box::new(stream), protocol, exchange).await {
            self.linger(stream.into_inner().0).await;
        }
    }

    fn exchange(
        &self,
        peer: Peer,
        tls: Option<TlsInfo>,
        send_file: Option<Arc<dyn SendFile>>,
        activity: Arc<Activity>,
    ) -> Arc<Exchange<H>> {
        Arc::new(Exchange {
            handler: Arc::clone(&self.handler),
            info: Arc::new(ConnectionInfo {
                peer,
                local: Arc::clone(&self.local),
                tls,
                send_file,
            }),
            requests: Requests::new(activity),
            stats: Arc::clone(&self.stats),
        })
    }

    /// Gives up what comes before the first request when it takes too long or the process stops.
    async fn hurry<T>(&self, opening: impl Future<Output = Option<T>>) -> Option<T> {
        let limit = self.config.limits.header_timeout;
        tokio::select! {
            opened = timeout(limit, opening) => opened.unwrap_or_else(|_| {
                self.stats.add_timeouts(1);
                None
            }),
            () = self.shutdown.stopping() => None,
        }
    }

    async fn handshake(&self, mut socket: Socket, peer: &Peer, tls: &Certificates) -> Option<TlsStream<Socket>> {
        let first = socket.peek(|_| true).await.ok()?.first().copied()?;
        if first != TLS_HANDSHAKE {
            self.stats.add_handshake_failures(1);
            if first.is_ascii_alphabetic() {
                // the peer may be gone; there is nothing else to tell it
                let _ = socket.write_all(PLAIN_ON_TLS).await;
                self.linger(socket).await;
            }
            return None;
        }
        match TlsAcceptor::from(tls.current()).accept(socket).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.stats.add_handshake_failures(1);
                match error.kind() {
                    // probes of load balancers connect and go
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        tracing::debug!(%peer, %error, "TLS handshake was broken off");
                    }
                    _ => tracing::info!(%peer, %error, "TLS handshake failed"),
                }
                None
            }
        }
    }

    /// Speaks the protocol until the end; gives the stream back when the end was orderly.
    async fn converse<I>(&self, io: I, protocol: Protocol, exchange: Arc<Exchange<H>>) -> Option<I>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let watchdog = Watchdog::new(protocol, &exchange);
        let service = service_fn(move |request| answer(Arc::clone(&exchange), request));
        let io = TokioIo::new(io);
        match protocol {
            Protocol::Http1 => {
                let mut connection = self.protocols.http1.serve_connection(io, service);
                let driven = Pin::new(&mut connection);
                let end = self
                    .drive(driven, |connection| connection.graceful_shutdown(), watchdog)
                    .await;
                (end == End::Closed).then(|| connection.into_parts().io.into_inner())
            }
            Protocol::Http2 => {
                let connection = self.protocols.http2.serve_connection(io, service);
                self.drive(pin!(connection), |connection| connection.graceful_shutdown(), watchdog)
                    .await;
                None
            }
        }
    }

    /// Polls a connection, and looks after it: tells it when the process stops, and closes it
    /// when it is idle for too long. The timer and the tokens are only polled when they fire,
    /// not at each of the connection's own wakes.
    async fn drive<C>(
        &self,
        mut connection: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
        mut watchdog: Watchdog<H>,
    ) -> End
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let period = self.config.limits.header_timeout / 4;
        let mut stopping = pin!(self.shutdown.stopping());
        let mut cutting = pin!(self.cut.stopping());
        let mut tick = pin!(tokio::time::sleep(period));
        let mut armed = false;
        let mut finishing = false;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(context) {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended early");
                    }
                    let end = if finishing { End::Stopped } else { End::Closed };
                    return Poll::Ready(end);
                }
                if !armed {
                    // registers this task's waker once; it stays the same
                    armed = true;
                    let _ = stopping.as_mut().poll(context);
                    let _ = cutting.as_mut().poll(context);
                    let _ = tick.as_mut().poll(context);
                }
                if self.cut.is_stopping() {
                    return Poll::Ready(End::Stopped);
                }
                if self.shutdown.is_stopping() && !finishing {
                    finishing = true;
                    finish(connection.as_mut());
                    continue;
                }
                if tick.is_elapsed() {
                    let now = Instant::now();
                    match watchdog.look(now, &self.config.limits, self.is_nearly_full()) {
                        Verdict::Fine => {}
                        Verdict::Slow => {
                            self.stats.add_timeouts(1);
                            return Poll::Ready(End::TimedOut);
                        }
                        Verdict::Idle if finishing => return Poll::Ready(End::TimedOut),
                        Verdict::Idle => {
                            finishing = true;
                            finish(connection.as_mut());
                        }
                    }
                    tick.as_mut().reset(now + period);
                    let _ = tick.as_mut().poll(context);
                    continue;
                }
                return Poll::Pending;
            }
        })
        .await
    }

    fn is_nearly_full(&self) -> bool {
        self.slots.available_permits() < self.most / 10
    }

    /// Reads what the client still sends until it closes.
    async fn linger(&self, mut socket: Socket) {
        if socket.activity().peer_closed() {
            return;
        }
        let throw_away = async {
            // done already after an orderly end; not after a protocol error
            let _ = socket.shutdown().await;
            let mut scratch = vec![0; 16 * 1024];
            let mut rest = LINGER_BYTES;
            while let Ok(read @ 1..) = socket.read(&mut scratch).await {
                rest = rest.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                if rest == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            _ = timeout(LINGER, throw_away) => {}
            () = self.cut.stopping() => {}
        }
    }
}

/// Tells HTTP/2 with prior knowledge from HTTP/1.
async fn detect(socket: &mut Socket) -> Option<Protocol> {
    let differs = |seen: &[u8]| seen.iter().zip(PREFACE).any(|(a, b)| a != b);
    let enough = |seen: &[u8]| seen.len() >= PREFACE.len() || differs(seen);
    let seen = socket.peek(enough).await.ok()?;
    if seen.is_empty() {
        return None;
    }
    Some(if seen.starts_with(PREFACE) {
        Protocol::Http2
    } else {
        Protocol::Http1
    })
}

enum Verdict {
    Fine,
    /// The head of a request takes too long.
    Slow,
    /// Nothing happens.
    Idle,
}

/// Knows since when nothing has happened on a connection.
struct Watchdog<H> {
    protocol: Protocol,
    exchange: Arc<Exchange<H>>,
    activity: Arc<Activity>,
    /// What was seen last, and since when it has not changed.
    started: u64,
    sent: u64,
    quiet_since: Instant,
    head_since: Option<Instant>,
}

impl<H: Handler> Watchdog<H> {
    fn new(protocol: Protocol, exchange: &Arc<Exchange<H>>) -> Self {
        let now = Instant::now();
        Self {
            protocol,
            activity: Arc::clone(exchange.requests.activity()),
            exchange: Arc::clone(exchange),
            started: 0,
            sent: 0,
            quiet_since: now,
            head_since: Some(now),
        }
    }

    fn look(&mut self, now: Instant, limits: &super::Limits, nearly_full: bool) -> Verdict {
        let requests = &self.exchange.requests;
        let (started, sent) = (requests.started(), self.activity.sent());
        let changed = started != self.started || sent != self.sent;
        self.started = started;
        self.sent = sent;
        // an answer that the client reads slowly still goes out after its body was taken over
        if requests.in_flight() > 0 || changed {
            self.quiet_since = now;
            self.head_since = None;
            return Verdict::Fine;
        }
        if self.protocol == Protocol::Http1 && (started == 0 || requests.head_has_begun()) {
            let since = *self.head_since.get_or_insert(now);
            if now.duration_since(since) >= limits.header_timeout {
                return Verdict::Slow;
            }
            return Verdict::Fine;
        }
        self.head_since = None;
        let limit = if nearly_full {
            limits.idle_timeout_when_full
        } else {
            limits.idle_timeout
        };
        if now.duration_since(self.quiet_since) >= limit {
            Verdict::Idle
        } else {
            Verdict::Fine
        }
    }
}
