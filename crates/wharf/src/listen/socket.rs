//! The byte stream under every connection.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::sendfile::{Outbox, is_standin};
use super::stats::Stats;

/// A connected socket that counts its bytes and can look at the first ones without losing them.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Bytes that were read to find out what the peer speaks; handed out first.
    prefix: Vec<u8>,
    taken: usize,
    outbox: Arc<Outbox>,
    activity: Arc<Activity>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What has happened on a connection; shared with the watchdog.
#[derive(Debug, Default)]
pub(super) struct Activity {
    received: AtomicU64,
    sent: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the peer has closed its side.
    pub(super) fn peer_closed(&self) -> bool {
        self.ended.load(Ordering::Relaxed) > 0
    }
}

/// Only the connection's own task writes these counters: no read-modify-write is needed.
fn bump(counter: &AtomicU64, by: usize) -> u64 {
    let by = u64::try_from(by).unwrap_or(u64::MAX);
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.saturating_add(by), Ordering::Relaxed);
    by
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream, stats: Arc<Stats>) -> Self {
        Self::new(Stream::Tcp(stream), stats)
    }

    pub(super) fn unix(stream: UnixStream, stats: Arc<Stats>) -> Self {
        Self::new(Stream::Unix(stream), stats)
    }

    fn new(stream: Stream, stats: Arc<Stats>) -> Self {
        Self {
            stream,
            prefix: Vec::new(),
            taken: 0,
            outbox: Arc::default(),
            activity: Arc::default(),
            stats,
        }
    }

    /// Where files are noted that are to leave through this socket.
    pub(super) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Reads until at least one byte is there and `enough` says so, without taking the bytes
    /// from later readers. Returns all that is there; empty when the peer has closed.
    pub(super) async fn peek(&mut self, enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        /// A TLS hello or a request head mostly fits, and no second copy of more is made.
        const PIECE: usize = 4096;
        let mut seen = std::mem::take(&mut self.prefix);
        while seen.is_empty() || !enough(&seen) {
            seen.reserve(PIECE);
            if self.read_buf(&mut seen).await? == 0 {
                break;
            }
        }
        self.prefix = seen;
        Ok(&self.prefix)
    }

    fn poll_stream_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        ready!(polled)?;
        let read = buffer.filled().len() - before;
        if read == 0 && buffer.remaining() > 0 {
            bump(&self.activity.ended, 1);
        } else {
            self.stats.add_bytes_in(bump(&self.activity.received, read));
        }
        Poll::Ready(Ok(()))
    }

    fn count_sent(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(sent)) = polled {
            self.stats.add_bytes_out(bump(&self.activity.sent, *sent));
        }
    }
}

/// The two kinds of stream, as far as sending files needs them.
trait Writable: AsFd {
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn attempt(&self, send: impl FnMut() -> io::Result<usize>) -> io::Result<usize>;
}

impl Writable for TcpStream {
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(context)
    }

    fn attempt(&self, send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, send)
    }
}

impl Writable for UnixStream {
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(context)
    }

    fn attempt(&self, send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, send)
    }
}

/// Sends as soon as the socket takes something.
fn poll_send(
    stream: &impl Writable,
    context: &mut Context<'_>,
    mut send: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_writable(context))?;
        match stream.attempt(&mut send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return Poll::Ready(sent),
        }
    }
}

fn send_file(
    stream: &impl Writable,
    outbox: &Outbox,
    context: &mut Context<'_>,
    standin: &IoSlice<'_>,
) -> Poll<io::Result<usize>> {
    poll_send(stream, context, || outbox.send(stream.as_fd(), standin))
}

/// Sends a head that a file follows: the flag keeps it from going out in a packet of its own.
fn send_more(stream: &TcpStream, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    poll_send(stream, context, || {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let mut none = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(stream, bytes, &mut none, flags)?)
    })
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(waiting) = this.prefix.get(this.taken..).filter(|rest| !rest.is_empty()) {
            let count = waiting.len().min(buffer.remaining());
            let (now, _) = waiting.split_at(count);
            buffer.put_slice(now);
            this.taken += count;
            if this.taken == this.prefix.len() {
                this.prefix = Vec::new();
                this.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        this.poll_stream_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let slice = IoSlice::new(bytes);
        if is_standin(&slice) {
            return Pin::new(this).poll_write_vectored(context, &[slice]);
        }
        let polled = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        this.count_sent(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let plain = slices.iter().take_while(|slice| !is_standin(slice)).count();
        let (bytes, files) = slices.split_at(plain);
        let polled = match (&mut this.stream, bytes, files.first()) {
            (Stream::Tcp(stream), [], Some(standin)) => send_file(stream, &this.outbox, context, standin),
            (Stream::Unix(stream), [], Some(standin)) => send_file(stream, &this.outbox, context, standin),
            (Stream::Tcp(stream), bytes, Some(_)) => send_more(stream, context, bytes),
            (Stream::Tcp(stream), bytes, None) => Pin::new(stream).poll_write_vectored(context, bytes),
            (Stream::Unix(stream), bytes, _) => Pin::new(stream).poll_write_vectored(context, bytes),
        };
        this.count_sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // sockets have nothing to flush
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
