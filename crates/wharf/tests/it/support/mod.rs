//! A server on a free port, and clients that can misbehave.

pub mod certificates;
pub mod handler;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wharf::listen::{Address, Config, Handler, Limits, Listener, Local, Stats};
use wharf::shutdown::Shutdown;
use wharf::tls::Certificates;

/// Longer than anything may take; only a broken test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub local: Local,
    pub shutdown: Shutdown,
    pub stats: Arc<Stats>,
    pub drained: JoinHandle<wharf::listen::Drained>,
}

pub fn config() -> Config {
    Config::new(Address::parse("tcp", "127.0.0.1:0").unwrap())
}

pub fn with_limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = config();
    change(&mut config.limits);
    config
}

impl Server {
    pub async fn start<H: Handler>(config: Config, handler: Arc<H>, tls: Option<Arc<Certificates>>) -> Self {
        let listener = Listener::bind(config).await.unwrap();
        let local = listener.local().clone();
        let stats = listener.stats();
        let shutdown = Shutdown::new();
        let drained = listener.serve(handler, tls, shutdown.clone(), PATIENCE);
        Self {
            local,
            shutdown,
            stats,
            #[expect(clippy::disallowed_methods, reason = "tests are their own root")]
            drained: tokio::spawn(drained),
        }
    }

    pub async fn plain(config: Config) -> Self {
        Self::start(config, Arc::new(handler::Sample::default()), None).await
    }

    pub fn address(&self) -> SocketAddr {
        self.local.tcp().unwrap()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// Everything until the other side closes.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    read.await.expect("the server closes").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends `request` and reads until the server closes.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(stream).await
}

/// Reads up to and including `end`.
pub async fn read_to(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end.as_bytes()) {
            bytes.push(stream.read_u8().await.unwrap());
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    read.unwrap_or_else(|_| panic!("{end:?} never came, only {text:?}"));
    text
}

pub const GET: &str = "GET /hello HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
pub const GET_KEEP: &str = "GET /hello HTTP/1.1\r\nHost: r\r\n\r\n";
