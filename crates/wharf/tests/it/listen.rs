use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use wharf::listen::{Address, Config, Listener};

use crate::support::handler::{DOWNLOAD, Sample};
use crate::support::{GET, GET_KEEP, Server, config, exchange, read_to, rest, until, with_limits};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn requests_are_answered_one_after_another_on_one_connection() {
    let server = Server::plain(config()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET_KEEP.as_bytes()).await.unwrap();
        let answer = read_to(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let last = exchange(&mut stream, GET).await;
    assert!(last.ends_with("hello"), "{last}");
    assert_eq!(server.stats.accepted(), 1);
}

#[tokio::test]
async fn http2_with_prior_knowledge_works_where_h2c_is_enabled() {
    let mut config = config();
    config.h2c = true;
    let server = Server::plain(config).await;
    assert_eq!(http2_version(server.connect().await).await, "HTTP/2.0");
    let plain = exchange(&mut server.connect().await, GET).await;
    assert!(plain.starts_with("HTTP/1.1 200"), "{plain}");
}

#[tokio::test]
async fn http2_on_a_plain_port_without_h2c_is_not_spoken() {
    let server = Server::plain(config()).await;
    let mut stream = server.connect().await;
    let answer = exchange(&mut stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.contains("200"), "{answer:?}");
}

pub async fn http2_version<S: Wire>(stream: S) -> String {
    let response = http2(stream, "/version").await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

pub async fn http2_status<S: Wire>(stream: S, path: &str) -> u16 {
    http2(stream, path).await.status().as_u16()
}

pub trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Wire for S {}

async fn http2<S: Wire>(stream: S, path: &str) -> http::Response<hyper::body::Incoming> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "tests are their own root")]
    drop(tokio::spawn(connection));
    let request = http::Request::get(format!("http://r{path}")).body(Empty::<bytes::Bytes>::new());
    sender.send_request(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn garbage_instead_of_http_gets_400() {
    let server = Server::plain(config()).await;
    for garbage in [
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "hello there\r\n\r\n",
        "\0\0\0\0\0\0",
    ] {
        let mut stream = server.connect().await;
        let answer = exchange(&mut stream, garbage).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{garbage:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_head_over_the_limit_gets_431() {
    let server = Server::plain(with_limits(|limits| limits.header_bytes = 16 * 1024)).await;
    let padding = "x".repeat(20_000);
    let request = format!("GET /hello HTTP/1.1\r\nHost: r\r\nX-Padding: {padding}");
    let answer = exchange(&mut server.connect().await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    let fits = format!(
        "GET /hello HTTP/1.1\r\nHost: r\r\nConnection: close\r\nX-Padding: {}\r\n\r\n",
        "x".repeat(15_000)
    );
    let answer = exchange(&mut server.connect().await, &fits).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
}

#[tokio::test]
async fn a_client_that_sends_its_head_too_slowly_is_closed() {
    let server = Server::plain(with_limits(|limits| limits.header_timeout = SHORT)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HT").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    until("a timeout is counted", || server.stats.timeouts() == 1).await;
    // the second head of a connection is watched as well as the first
    let mut stream = server.connect().await;
    stream.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut stream, "hello").await;
    stream.write_all(b"GET /hel").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    until("a timeout is counted", || server.stats.timeouts() == 2).await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed() {
    let server = Server::plain(with_limits(|limits| limits.header_timeout = SHORT)).await;
    let mut stream = server.connect().await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_time_and_then_closed() {
    let server = Server::plain(with_limits(|limits| {
        limits.header_timeout = SHORT / 4;
        limits.idle_timeout = SHORT * 10;
    }))
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut stream, "hello").await;
    tokio::time::sleep(SHORT).await;
    stream.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut stream, "hello").await;
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(server.stats.timeouts(), 0);
}

#[tokio::test]
async fn an_upload_slower_than_every_timeout_is_not_cut() {
    let server = Server::plain(with_limits(|limits| {
        limits.header_timeout = SHORT / 4;
        limits.idle_timeout = SHORT / 4;
    }))
    .await;
    let mut stream = server.connect().await;
    let head = "PUT /upload HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: 8\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(SHORT / 2).await;
        stream.write_all(b"x").await.unwrap();
    }
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("8 bytes"), "{answer}");
}

#[tokio::test]
async fn a_handler_slower_than_every_timeout_still_answers() {
    let handler = Arc::new(Sample::default());
    let release = Arc::clone(&handler.release);
    let config = with_limits(|limits| {
        limits.header_timeout = SHORT / 4;
        limits.idle_timeout = SHORT / 4;
    });
    let server = Server::start(config, handler, None).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(SHORT).await;
    release.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_only_when_its_body_is_wanted() {
    let server = Server::plain(config()).await;
    let request = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut wanted = server.connect().await;
    wanted.write_all(request("/upload").as_bytes()).await.unwrap();
    assert_eq!(read_to(&mut wanted, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = exchange(&mut wanted, "12345").await;
    assert!(answer.ends_with("5 bytes"), "{answer}");
    let mut refused = server.connect().await;
    let answer = exchange(&mut refused, &request("/reject")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_reaches_the_client() {
    let server = Server::plain(config()).await;
    for _ in 0..10 {
        let mut stream = server.connect().await;
        let head = format!(
            "PUT /reject HTTP/1.1\r\nHost: r\r\nContent-Length: {}\r\n\r\n",
            1_u64 << 40
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // the client sends on for a while before it looks at the answer
        let piece = vec![0; 64 * 1024];
        for _ in 0..32 {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        let mut seen = vec![0; 12];
        stream.read_exact(&mut seen).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&seen), "HTTP/1.1 401");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_still_gets_its_answer() {
    let handler = Arc::new(Sample::default());
    let release = Arc::clone(&handler.release);
    let server = Server::start(config(), handler, None).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: r\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    until("the request has arrived", || server.stats.bytes_in() > 0).await;
    release.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("done"), "{answer}");
    until("the connection is closed", || server.stats.open() == 0).await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_and_the_connection_goes_on() {
    let server = Server::plain(config()).await;
    let mut stream = server.connect().await;
    let request = "GET /panic HTTP/1.1\r\nHost: r\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to(&mut stream, "sorry").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let answer = exchange(&mut stream, GET).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(server.stats.panics(), 1);
}

#[tokio::test]
async fn more_clients_than_connections_wait_for_their_turn() {
    let server = Server::plain(with_limits(|limits| limits.connections = Some(2))).await;
    let mut first = server.connect().await;
    first.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut first, "hello").await;
    let mut second = server.connect().await;
    second.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut second, "hello").await;
    let mut third = server.connect().await;
    third.write_all(GET.as_bytes()).await.unwrap();
    drop(first);
    let answer = rest(&mut third).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_running_download_is_finished_before_the_server_stops() {
    let handler = Arc::new(Sample::default());
    let release = Arc::clone(&handler.release);
    let server = Server::start(config(), handler, None).await;
    let mut idle = server.connect().await;
    idle.write_all(GET_KEEP.as_bytes()).await.unwrap();
    read_to(&mut idle, "hello").await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /download HTTP/1.0\r\n\r\n").await.unwrap();
    let head = read_to(&mut stream, "\r\n\r\nx").await;
    assert!(
        head.starts_with("HTTP/1.0 200 ") || head.starts_with("HTTP/1.1 200 "),
        "{head}"
    );
    server.shutdown.begin();
    assert_eq!(rest(&mut idle).await, "", "idle connections are closed at once");
    release.notify_one();
    let body = rest(&mut stream).await;
    assert_eq!(body.len(), DOWNLOAD - 1);
    let address = server.address();
    assert_eq!(server.drained.await.unwrap().cut, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_still_busy_after_the_drain_time_is_cut() {
    let listener = Listener::bind(config()).await.unwrap();
    let address = listener.local().tcp().unwrap();
    let shutdown = wharf::shutdown::Shutdown::new();
    let handler = Arc::new(Sample::default());
    let serving = listener.serve(handler, None, shutdown.clone(), SHORT);
    #[expect(clippy::disallowed_methods, reason = "tests are their own root")]
    let serving = tokio::spawn(serving);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /download HTTP/1.1\r\nHost: r\r\n\r\n")
        .await
        .unwrap();
    read_to(&mut stream, "\r\n\r\n").await;
    shutdown.begin();
    assert_eq!(serving.await.unwrap().cut, 1);
}

#[tokio::test]
async fn a_unix_socket_serves_replaces_a_stale_file_and_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wharf.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::plain(Config::new(Address::unix(&path))).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = "GET /whoami HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.ends_with("plain unix"), "{answer}");
    let taken = Listener::bind(Config::new(Address::unix(&path))).await.unwrap_err();
    assert!(taken.to_string().contains("wharf.sock"), "{taken}");
    server.shutdown.begin();
    server.drained.await.unwrap();
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    let file = Listener::bind(Config::new(Address::unix(&path))).await.unwrap_err();
    assert!(file.to_string().contains("not a socket"), "{file}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn an_address_in_use_is_named_with_a_hint() {
    let server = Server::plain(config()).await;
    let address = Address::parse("tcp", &server.address().to_string()).unwrap();
    let error = Listener::bind(Config::new(address)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&server.address().to_string()), "{text}");
    assert!(text.contains("another process"), "{text}");
}

#[tokio::test]
async fn an_empty_host_listens_on_ipv4_too() {
    let server = Server::plain(Config::new(Address::parse("tcp", ":0").unwrap())).await;
    let port = server.address().port();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "GET /whoami HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.contains("plain 127.0.0.1:"), "{answer}");
}
