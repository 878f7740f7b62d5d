use std::sync::Arc;
use std::time::Duration;

use wharf::health::{Check, CheckError, Debug, DebugConfig, Health, HttpTarget, Scope, Status, ready};
use wharf::metrics::Metrics;
use wharf::shutdown::{Shutdown, Tasks};

use crate::support::{PATIENCE, Server, config, exchange, until};

const OFTEN: Duration = Duration::from_millis(10);

/// Runs a check for as long as the returned tasks live.
fn run(check: Check, health: &Health) -> Tasks {
    let tasks = Tasks::new(Shutdown::new());
    tasks.spawn("check", check.run(health.clone(), tasks.shutdown().clone()));
    tasks
}

async fn becomes(health: &Health, status: Status) {
    until(&format!("{status:?}"), || health.status() == status).await;
}

#[tokio::test]
async fn a_check_fails_after_as_many_failures_as_its_threshold_and_recovers() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let (health, broken) = (Health::new(), Arc::new(AtomicU32::new(3)));
    let asked = Arc::new(AtomicU32::new(0));
    let (left, count) = (Arc::clone(&broken), Arc::clone(&asked));
    let check = Check::new("storagedriver_filesystem", OFTEN, 3, move || {
        count.fetch_add(1, Ordering::Relaxed);
        let fails = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok();
        async move { if fails { Err("disk on fire".to_owned()) } else { Ok(()) } }
    });
    let tasks = run(check, &health);
    // three failures in a row, then it passes; then two, which are too few
    until("it was asked five times", || asked.load(Ordering::Relaxed) >= 5).await;
    becomes(&health, Status::Serving).await;
    broken.store(u32::MAX, Ordering::Relaxed);
    becomes(&health, Status::Failing).await;
    assert_eq!(health.failures()["storagedriver_filesystem"], "disk on fire");
    broken.store(0, Ordering::Relaxed);
    becomes(&health, Status::Serving).await;
    tasks.shutdown().begin();
    assert!(tasks.finish(PATIENCE).await.is_empty());
}

#[tokio::test]
async fn a_file_takes_the_instance_out_of_service_while_it_exists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maintenance");
    let health = Health::new();
    let _tasks = run(Check::file(path.clone(), OFTEN), &health);
    std::fs::write(&path, "").unwrap();
    becomes(&health, Status::Failing).await;
    assert_eq!(health.failures()[path.to_str().unwrap()], "file exists");
    std::fs::remove_file(&path).unwrap();
    becomes(&health, Status::Serving).await;
}

#[tokio::test]
async fn a_tcp_check_fails_once_nobody_listens() {
    let server = Server::plain(config()).await;
    let health = Health::new();
    let address = server.address().to_string();
    let _tasks = run(Check::tcp(address.clone(), None, OFTEN, 1), &health);
    until("it connected", || server.stats.accepted() > 1).await;
    assert_eq!(health.status(), Status::Serving);
    server.shutdown.begin();
    server.drained.await.unwrap();
    becomes(&health, Status::Failing).await;
    let reason = &health.failures()[&address];
    assert!(reason.contains("connection to"), "{reason}");
}

#[tokio::test]
async fn an_http_check_compares_the_status_and_hides_credentials() {
    let server = Server::plain(config()).await;
    let target = |path: &str, status| HttpTarget {
        uri: format!("http://user:hunter2@{}{path}", server.address()),
        headers: vec![("X-Probe".into(), vec!["1".into()])],
        status,
        timeout: None,
    };
    let good = Health::new();
    let check = Check::http(target("/hello", 200), OFTEN, 1).unwrap();
    let _good = run(check, &good);
    until("it was asked", || server.stats.accepted() > 0).await;
    let bad = Health::new();
    let check = Check::http(target("/nowhere", 200), OFTEN, 0).unwrap();
    let _bad = run(check, &bad);
    becomes(&bad, Status::Failing).await;
    let failures = format!("{:?}", bad.failures());
    assert!(failures.contains("unexpected status: 404"), "{failures}");
    assert!(!failures.contains("hunter2"), "{failures}");
    assert_eq!(good.status(), Status::Serving);
}

#[test]
fn an_http_check_that_cannot_be_asked_is_refused() {
    let target = |uri: &str, header: &str| HttpTarget {
        uri: uri.into(),
        headers: vec![(header.into(), vec!["x".into()])],
        status: 200,
        timeout: None,
    };
    for uri in ["ftp://a/", "nonsense", "http://"] {
        let error = Check::http(target(uri, "a"), OFTEN, 1).unwrap_err();
        assert_eq!(error, CheckError::Uri { uri: uri.into() });
    }
    let error = Check::http(target("http://a/", "a b"), OFTEN, 1).unwrap_err();
    assert!(error.to_string().contains("a b"), "{error}");
}

#[test]
fn what_is_only_not_ready_does_not_stop_requests() {
    let health = Health::new();
    health.fail(Scope::Ready, "index", "adopting 5 of 10 repositories");
    assert_eq!(health.status(), Status::Serving);
    assert!(health.failures().is_empty());
    assert_eq!(ready(&health).status(), 503);
    health.recover(Scope::Ready, "index");
    assert_eq!(ready(&health).status(), 200);
    health.fail(Scope::Gate, "storage", "gone");
    assert_eq!(health.status(), Status::Failing);
    assert_eq!(ready(&health).status(), 503);
}

async fn debug_server(health: &Health, metrics_path: Option<&str>) -> Server {
    let debug = Debug::new(
        DebugConfig {
            metrics_path: metrics_path.map(str::to_owned),
            version: "1.2.3",
        },
        health.clone(),
        Arc::new(Metrics::new("1.2.3")),
        Vec::new(),
    );
    Server::start(config(), Arc::new(debug), None).await
}

async fn request(server: &Server, line: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    exchange(&mut server.connect().await, &request).await
}

#[tokio::test]
async fn the_debug_listener_tells_health_and_lets_an_operator_switch_it() {
    let health = Health::new();
    let server = debug_server(&health, Some("/metrics")).await;
    let healthy = request(&server, "GET /debug/health").await;
    assert!(
        healthy.starts_with("HTTP/1.1 200 ") && healthy.ends_with("\r\n\r\n{}"),
        "{healthy}"
    );
    assert!(
        request(&server, "POST /debug/health/down")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(health.status(), Status::Failing);
    let down = request(&server, "GET /debug/health").await;
    assert!(down.starts_with("HTTP/1.1 503 "), "{down}");
    assert!(down.ends_with("{\"manual_http_status\":\"manual check\"}"), "{down}");
    assert!(request(&server, "GET /readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(request(&server, "GET /livez").await.starts_with("HTTP/1.1 200 "));
    assert!(
        request(&server, "GET /debug/health/up")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    assert!(
        request(&server, "POST /debug/health/up")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(health.status(), Status::Serving);
    assert!(request(&server, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_debug_listener_says_what_it_does_not_have() {
    let server = debug_server(&Health::new(), Some("/other")).await;
    let pprof = request(&server, "GET /debug/pprof/heap").await;
    assert!(pprof.starts_with("HTTP/1.1 404 ") && pprof.contains("perf"), "{pprof}");
    assert!(request(&server, "GET /metrics").await.starts_with("HTTP/1.1 404 "));
    assert!(
        request(&server, "GET /other")
            .await
            .contains("wharf_build_info{version=\"1.2.3\"} 1")
    );
    assert!(request(&server, "DELETE /other").await.starts_with("HTTP/1.1 405 "));
    let vars = request(&server, "GET /debug/vars").await;
    assert!(vars.contains("\"version\":\"1.2.3\""), "{vars}");
    let without = debug_server(&Health::new(), None).await;
    assert!(request(&without, "GET /metrics").await.starts_with("HTTP/1.1 404 "));
}
