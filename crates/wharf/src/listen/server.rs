//! Binding, accepting, and draining.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use wharf_api_common::Peer;

use super::connection::Shared;
use super::limits::{connections_for, raise_file_limit};
use super::socket::Socket;
use super::stats::Stats;
use super::{Address, Config, Handler, Local};
use crate::shutdown::{Shutdown, start};
use crate::tls::Certificates;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long accepting pauses when the system is out of files or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// How long connections that were cut may take to notice.
const CUT: Duration = Duration::from_secs(1);

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    config: Config,
    bound: Bound,
    local: Arc<Local>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// Listening at an address is not possible.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {source}{hint}")]
pub struct BindError {
    /// The address as it was configured.
    pub address: Address,
    /// What the system says.
    pub source: io::Error,
    hint: &'static str,
}

impl BindError {
    fn new(address: &Address, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => "; another process listens there already",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            _ => "",
        };
        Self {
            address: address.clone(),
            source,
            hint,
        }
    }
}

/// What a listener did when it stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because they were still busy when the time was up.
    pub cut: usize,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// When the system refuses; the message says what to look at.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let bound = match &config.address {
            Address::Tcp { host, port } => bind_tcp(host, *port).await,
            Address::Unix(path) => bind_unix(path).await,
        };
        let (bound, local) = bound.map_err(|error| BindError::new(&config.address, error))?;
        Ok(Self {
            config,
            bound,
            local: Arc::new(local),
            stats: Arc::default(),
        })
    }

    /// The address with the port that the system chose.
    #[must_use]
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The counters of this listener.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Accepts and answers until `shutdown` begins, then lets requests in flight finish for at
    /// most `drain`, and cuts the rest.
    pub async fn serve<H: Handler>(
        self,
        handler: Arc<H>,
        tls: Option<Arc<Certificates>>,
        shutdown: Shutdown,
        drain: Duration,
    ) -> Drained {
        let files = raise_file_limit();
        let most = self.config.limits.connections;
        let most = most.unwrap_or_else(|| connections_for(files));
        let slots = Arc::new(Semaphore::new(most));
        let connections = TaskTracker::new();
        let cut = Shutdown::new();
        let shared = Arc::new(Shared {
            handler,
            tls,
            local: Arc::clone(&self.local),
            stats: Arc::clone(&self.stats),
            protocols: super::connection::Protocols::new(&self.config),
            config: self.config,
            slots: Arc::clone(&slots),
            most,
            shutdown: shutdown.clone(),
            cut: cut.clone(),
        });
        tokio::select! {
            () = accept(&self.bound, &shared, &connections) => {}
            () = shutdown.stopping() => {}
        }
        drop(self.bound);
        connections.close();
        if tokio::time::timeout(drain, connections.wait()).await.is_ok() {
            return Drained::default();
        }
        let busy = connections.len();
        tracing::warn!(connections = busy, "drain time is up, cutting connections");
        cut.begin();
        // they end at their next poll; a handler that blocks its thread is not waited for
        let _ = tokio::time::timeout(CUT, connections.wait()).await;
        Drained { cut: busy }
    }
}

/// Accepts for ever.
async fn accept<H: Handler>(bound: &Bound, shared: &Arc<Shared<H>>, connections: &TaskTracker) {
    loop {
        let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else {
            return;
        };
        let accepted = match bound {
            Bound::Tcp(listener) => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, peer)| (Socket::tcp(stream, Arc::clone(&shared.stats)), Peer::Tcp(peer)))
            }
            Bound::Unix { listener, .. } => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, _)| (Socket::unix(stream, Arc::clone(&shared.stats)), Peer::Unix))
            }
        };
        match accepted {
            Ok((socket, peer)) => open(shared, connections, socket, peer, slot),
            Err(error) => pause(&error).await,
        }
    }
}

fn open<H: Handler>(
    shared: &Arc<Shared<H>>,
    connections: &TaskTracker,
    socket: Socket,
    peer: Peer,
    slot: OwnedSemaphorePermit,
) {
    shared.stats.add_accepted(1);
    let shared = Arc::clone(shared);
    start(connections.track_future(async move {
        let stats = Arc::clone(&shared.stats);
        shared.serve(socket, peer).await;
        stats.add_closed(1);
        drop(slot);
    }));
}

/// A connection that was gone before it was accepted is nobody's fault; running out of files is.
async fn pause(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {}
        _ => {
            tracing::error!(%error, "cannot accept connections, trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<(Bound, Local)> {
    let mut refused = None;
    for address in Address::resolve(host, port).await? {
        match listen_tcp(address) {
            Ok(listener) => {
                let local = Local::Tcp(listener.local_addr()?);
                return Ok((Bound::Tcp(listener), local));
            }
            // a host without IPv6 goes on to IPv4; every other refusal holds for both
            Err(error) => {
                let absent = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
                    || error.kind() == io::ErrorKind::AddrNotAvailable;
                if !absent {
                    return Err(error);
                }
                refused = Some(error);
            }
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("the name has no address")))
}

fn listen_tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    use rustix::net::sockopt;
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // accepted sockets inherit these: no system call per connection
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(&socket, 6)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn bind_unix(path: &Path) -> io::Result<(Bound, Local)> {
    remove_stale(path).await?;
    let listener = UnixListener::bind(path)?;
    let _file = SocketFile(path.to_owned());
    Ok((Bound::Unix { listener, _file }, Local::Unix(path.to_owned())))
}

/// Removes a socket file that a process left behind; never one that is listened at, nor any
/// other kind of file.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_socket {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is not a socket is there",
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // bind says that the address is in use
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Removes the socket file when the listener is closed.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "cannot remove the socket file");
        }
    }
}
