use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use wharf::tls::{Certificates, ClientAuth, Config, Error, MinimumVersion};

use crate::listen::http2_version;
use crate::support::certificates::{Authority, Client, presented};
use crate::support::handler::{DOWNLOAD, Sample};
use crate::support::{GET, Server, config, exchange, read_to, rest};

const NAMES: &[&str] = &["registry.test", "127.0.0.1"];
const WHOAMI: &str = "GET /whoami HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";

/// A server with a certificate of `authority` in `folder`.
async fn serve(folder: &Path, authority: &Authority, change: impl FnOnce(&mut Config)) -> (Server, Arc<Certificates>) {
    let (certificate, key) = authority.issue("registry", NAMES).write(folder);
    let mut tls = Config::new(certificate, key);
    change(&mut tls);
    let certificates = Arc::new(Certificates::load(tls).unwrap());
    let handler = Arc::new(Sample::default());
    let server = Server::start(config(), handler, Some(Arc::clone(&certificates))).await;
    (server, certificates)
}

async fn ask(client: &Client<'_>, authority: &Authority, server: &Server) -> std::io::Result<String> {
    use tokio::io::AsyncReadExt as _;
    let mut stream = client.connect(authority, server.address()).await?;
    stream.write_all(WHOAMI.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn both_protocols_are_agreed_on_by_alpn_and_http2_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let (server, _) = serve(folder.path(), &authority, |_| {}).await;
    let both = Client {
        alpn: &["h2", "http/1.1"],
        ..Client::default()
    };
    let stream = both.connect(&authority, server.address()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(http2_version(stream).await, "HTTP/2.0");
    let answer = ask(&Client::default(), &authority, &server).await.unwrap();
    assert!(
        answer.contains("TLSv1.3 Some(\"registry.test\") no certificate"),
        "{answer}"
    );
    let (server, _) = serve(folder.path(), &authority, |tls| tls.http2 = false).await;
    let stream = both.connect(&authority, server.address()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = serve(folder.path(), &Authority::new("ca"), |_| {}).await;
    let answer = exchange(&mut server.connect().await, GET).await;
    assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{answer}");
    assert!(
        answer.contains("Client sent an HTTP request to an HTTPS server."),
        "{answer}"
    );
    let garbage = exchange(&mut server.connect().await, "\0\0\0").await;
    assert_eq!(garbage, "");
    assert_eq!(server.stats.handshake_failures(), 2);
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_dropping_a_running_download() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let first = authority.issue("first", NAMES);
    let (certificate, key) = first.write(folder.path());
    let tls = Config::new(&certificate, &key);
    let certificates = Arc::new(Certificates::load(tls).unwrap());
    let handler = Arc::new(Sample::default());
    let release = Arc::clone(&handler.release);
    let server = Server::start(config(), handler, Some(Arc::clone(&certificates))).await;
    let client = Client::default();
    let mut running = client.connect(&authority, server.address()).await.unwrap();
    running.write_all(b"GET /download HTTP/1.0\r\n\r\n").await.unwrap();
    read_to(&mut running, "\r\n\r\n").await;

    assert!(!certificates.reload().unwrap(), "nothing has changed yet");
    let second = authority.issue("second", NAMES);
    second.write(folder.path());
    assert!(certificates.reload().unwrap());
    let new = client.connect(&authority, server.address()).await.unwrap();
    assert_eq!(presented(&new), second.der);
    assert_eq!(presented(&running), first.der);
    release.notify_one();
    assert_eq!(rest(&mut running).await.len(), DOWNLOAD);
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_old_certificate_and_are_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let (server, certificates) = serve(folder.path(), &authority, |_| {}).await;
    let still_served = async || ask(&Client::default(), &authority, &server).await.is_ok();
    std::fs::write(folder.path().join("tls.crt"), "not a certificate").unwrap();
    assert!(matches!(certificates.reload(), Err(Error::Pem { .. })));
    assert!(!certificates.reload().unwrap(), "said once");
    assert!(still_served().await);
    let other = authority.issue("other", NAMES);
    std::fs::write(folder.path().join("tls.crt"), &other.certificate).unwrap();
    let mismatch = certificates.reload().unwrap_err();
    assert!(mismatch.to_string().contains("tls.key"), "{mismatch}");
    assert!(still_served().await);
    std::fs::remove_file(folder.path().join("tls.key")).unwrap();
    assert!(matches!(certificates.reload(), Err(Error::Read { .. })));
    std::fs::write(folder.path().join("tls.key"), &other.key).unwrap();
    assert!(certificates.reload().unwrap());
    let stream = Client::default().connect(&authority, server.address()).await.unwrap();
    assert_eq!(presented(&stream), other.der);
}

#[tokio::test]
async fn a_watched_folder_swapped_as_kubernetes_does_it_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let volume = folder.path();
    let publish = |version: &str, pair: &crate::support::certificates::Pair| {
        let data = volume.join(version);
        std::fs::create_dir(&data).unwrap();
        pair.write(&data);
        std::os::unix::fs::symlink(version, volume.join("..data_tmp")).unwrap();
        std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    publish("..1", &authority.issue("first", NAMES));
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
    }
    let mut tls = Config::new(volume.join("tls.crt"), volume.join("tls.key"));
    tls.poll = std::time::Duration::from_millis(10);
    let certificates = Arc::new(Certificates::load(tls).unwrap());
    let handler = Arc::new(Sample::default());
    let server = Server::start(config(), handler, Some(Arc::clone(&certificates))).await;
    #[expect(clippy::disallowed_methods, reason = "tests are their own root")]
    let watching = tokio::spawn(Arc::clone(&certificates).watch(server.shutdown.clone()));
    let second = authority.issue("second", NAMES);
    let before = certificates.current();
    publish("..2", &second);
    crate::support::until("the new certificate is in force", || {
        !Arc::ptr_eq(&before, &certificates.current())
    })
    .await;
    let stream = Client::default().connect(&authority, server.address()).await.unwrap();
    assert_eq!(presented(&stream), second.der);
    server.shutdown.begin();
    watching.await.unwrap();
}

#[tokio::test]
async fn each_mode_asks_clients_for_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let known = authority.issue("build-7", &["build.test", "10.1.2.3"]);
    let unknown = stranger.issue("mallory", &["m.test"]);
    // the answer to no certificate, a verifiable one, and one of somebody else
    for (name, none, good, bad) in [
        ("request-client-cert", true, true, true),
        ("require-any-client-cert", false, true, true),
        ("verify-client-cert-if-given", true, true, false),
        ("require-and-verify-client-cert", false, true, false),
        ("", false, true, false),
    ] {
        let mode = ClientAuth::parse(name, true).unwrap();
        let (server, _) = serve(folder.path(), &authority, |tls| {
            tls.client_auth = mode;
            tls.client_cas = vec![ca.clone()];
        })
        .await;
        let ask = async |certificate| {
            let client = Client {
                certificate,
                ..Client::default()
            };
            ask(&client, &authority, &server).await
        };
        assert_eq!(ask(None).await.is_ok(), none, "{name} without a certificate");
        let answer = ask(Some(&known)).await.unwrap();
        assert!(answer.contains("CN=build-7"), "{name}: {answer}");
        assert!(answer.contains("[\"build.test\", \"10.1.2.3\"]"), "{name}: {answer}");
        let verified = format!("verified={}", mode.verifies());
        assert!(good && answer.contains(&verified), "{name}: {answer}");
        assert_eq!(ask(Some(&unknown)).await.is_ok(), bad, "{name} with a strange one");
    }
}

#[tokio::test]
async fn a_version_below_the_minimum_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let old = Client {
        only_tls12: true,
        ..Client::default()
    };
    let (server, _) = serve(folder.path(), &authority, |_| {}).await;
    let answer = ask(&old, &authority, &server).await.unwrap();
    assert!(answer.contains("TLSv1.2"), "{answer}");
    let strict = |tls: &mut Config| tls.minimum = MinimumVersion::parse("tls1.3").unwrap();
    let (server, _) = serve(folder.path(), &authority, strict).await;
    assert!(ask(&old, &authority, &server).await.is_err());
    assert!(ask(&Client::default(), &authority, &server).await.is_ok());
}

#[test]
fn versions_that_are_gone_are_raised_and_unknown_ones_refused() {
    assert_eq!(MinimumVersion::parse("tls1.0").unwrap(), MinimumVersion::Tls12);
    assert!(MinimumVersion::is_raised("tls1.1"));
    assert!(!MinimumVersion::is_raised("tls1.2"));
    assert!(MinimumVersion::parse("ssl3").unwrap_err().to_string().contains("ssl3"));
    assert!(
        ClientAuth::parse("maybe", true)
            .unwrap_err()
            .to_string()
            .contains("maybe")
    );
    assert_eq!(ClientAuth::parse("", false).unwrap(), ClientAuth::None);
}

#[tokio::test]
async fn a_named_cipher_suite_is_the_one_that_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    let (server, _) = serve(folder.path(), &authority, |tls| {
        tls.cipher_suites = vec![suite.to_owned()];
    })
    .await;
    let old = Client {
        only_tls12: true,
        ..Client::default()
    };
    let stream = old.connect(&authority, server.address()).await.unwrap();
    let used = stream.get_ref().1.negotiated_cipher_suite().unwrap();
    assert_eq!(format!("{:?}", used.suite()), suite);
}

#[test]
fn files_and_modes_that_cannot_work_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Config::new(folder.path().join("a.crt"), folder.path().join("a.key"));
    let error = Certificates::load(missing).unwrap_err().to_string();
    assert!(error.contains("a.crt"), "{error}");
    let (certificate, key) = Authority::new("ca").issue("r", NAMES).write(folder.path());
    let mut without_cas = Config::new(certificate, key);
    without_cas.client_auth = ClientAuth::RequireAndVerify;
    let error = Certificates::load(without_cas).unwrap_err().to_string();
    assert!(error.contains("clientcas"), "{error}");
}
