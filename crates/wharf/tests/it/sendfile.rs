use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use wharf::listen::{Address, Config};

use crate::support::handler::Sample;
use crate::support::{PATIENCE, Server, config, read_to, until};

/// Not a multiple of any buffer.
const LENGTH: usize = 5_000_003;

/// Bytes none of which is where another is expected.
fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251 + at / 4096) as u8).collect()
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

async fn serve(config: Config, file: &Arc<File>) -> Server {
    let handler = Sample {
        file: Some(Arc::clone(file)),
        ..Sample::default()
    };
    Server::start(config, Arc::new(handler), None).await
}

fn get(offset: usize) -> String {
    format!("GET /file/{offset} HTTP/1.1\r\nHost: r\r\n\r\n")
}

/// Reads one answer of `length` bytes.
async fn body(stream: &mut (impl tokio::io::AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let head = read_to(stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
    let mut body = vec![0; length];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut body));
    read.await.unwrap().unwrap();
    body
}

#[tokio::test]
async fn a_file_arrives_whole_from_any_offset_again_and_again() {
    let content = content();
    let server = serve(config(), &Arc::new(file(&content))).await;
    let mut stream = server.connect().await;
    for offset in [0, 1, 4096, LENGTH - 1, 777_777, 0] {
        stream.write_all(get(offset).as_bytes()).await.unwrap();
        assert!(
            body(&mut stream, LENGTH - offset).await == content[offset..],
            "from {offset}"
        );
    }
    assert_eq!(server.stats.accepted(), 1);
}

#[tokio::test]
async fn answers_to_pipelined_requests_are_not_mixed_up() {
    let content = content();
    let server = serve(config(), &Arc::new(file(&content))).await;
    let mut stream = server.connect().await;
    let offsets = [LENGTH - 10, LENGTH - 5000, LENGTH - 3, 0, LENGTH - 100_000, LENGTH - 1];
    let requests: String = offsets.iter().map(|offset| get(*offset)).collect();
    stream.write_all(requests.as_bytes()).await.unwrap();
    for offset in offsets {
        assert!(
            body(&mut stream, LENGTH - offset).await == content[offset..],
            "from {offset}"
        );
    }
}

#[tokio::test]
async fn a_file_goes_through_a_unix_socket_too() {
    let content = content();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _server = serve(Config::new(Address::unix(&path)), &Arc::new(file(&content))).await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(get(3).as_bytes()).await.unwrap();
    assert!(body(&mut stream, LENGTH - 3).await == content[3..]);
}

#[tokio::test]
async fn a_file_that_is_not_in_memory_arrives_whole_too() {
    let content = content();
    let mut on_disk = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    on_disk.write_all(&content).unwrap();
    on_disk.as_file().sync_all().unwrap();
    let file = Arc::new(on_disk.reopen().unwrap());
    let server = serve(config(), &file).await;
    for _ in 0..3 {
        rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let mut stream = server.connect().await;
        stream.write_all(get(0).as_bytes()).await.unwrap();
        assert!(body(&mut stream, LENGTH).await == content);
    }
}

#[tokio::test]
async fn a_file_that_becomes_shorter_breaks_the_connection_instead_of_inventing_bytes() {
    let content = content();
    let file = Arc::new(file(&content));
    let server = serve(config(), &file).await;
    let mut stream = server.connect().await;
    stream.write_all(get(0).as_bytes()).await.unwrap();
    read_to(&mut stream, "\r\n\r\n").await;
    file.set_len(10_000).unwrap();
    let mut seen = Vec::new();
    // how it ends is up to the system; what came before must be right
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen))
        .await
        .unwrap();
    assert!(seen.len() < LENGTH, "{}", seen.len());
    until("the connection is closed", || server.stats.open() == 0).await;
}

#[tokio::test]
async fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let content = content();
    let file = Arc::new(file(&content));
    let server = serve(config(), &file).await;
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(get(0).as_bytes()).await.unwrap();
        read_to(&mut stream, "\r\n\r\n").await;
        drop(stream);
    }
    until("all connections are closed", || server.stats.open() == 0).await;
    // ours and the handler's
    until("nobody holds the file", || Arc::strong_count(&file) == 2).await;
}

#[tokio::test]
async fn http2_is_not_offered_what_it_cannot_do() {
    let mut config = config();
    config.h2c = true;
    let server = serve(config, &Arc::new(file(b"x"))).await;
    let stream = server.connect().await;
    assert_eq!(crate::listen::http2_status(stream, "/file/0").await, 501);
}
