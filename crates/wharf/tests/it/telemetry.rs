use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use tracing::level_filters::LevelFilter;
use wharf::listen::{ConnectionInfo, Handler};
use wharf::telemetry::{
    AccessLog, Config, Format, Output, RequestContext, TracesConfig, build, in_scope, request_span, scope,
};
use wharf_api_common::{AccessRecord, ClientAddress, RequestIds, response};

use crate::support::{Server, config, until};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn output(&self) -> Output {
        let lines = self.clone();
        Output::function(move |line| lines.0.lock().unwrap().extend_from_slice(line))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `work` logs under a configuration.
fn logged(config: &Config, work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let (dispatch, _telemetry) = build(config, lines.output()).unwrap();
    tracing::dispatcher::with_default(&dispatch, work);
    lines.text()
}

fn format(format: Format) -> Config {
    Config {
        format,
        fields: vec![("service".into(), "registry".into()), ("zone".into(), "a b".into())],
        ..Config::default()
    }
}

fn context() -> Arc<RequestContext> {
    Arc::new(RequestContext {
        id: RequestIds::new([1; 16]).next(),
        method: Method::GET,
        uri: Uri::from_static("/v2/a/tags/list?token=hunter2"),
        client: ClientAddress {
            ip: Some("192.0.2.1".parse().unwrap()),
            port: Some(1),
        },
        user: OnceLock::new(),
    })
}

fn say_something() {
    tracing::warn!(target: "wharf", size = 5, path = "a\"b", "disk is \"nearly\" full\nreally");
}

#[test]
fn text_lines_look_like_those_of_distribution() {
    let line = logged(&format(Format::Text), say_something);
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.starts_with("time=\"20") && time.ends_with("Z\""), "{line}");
    assert_eq!(
        rest,
        "level=warning msg=\"disk is \\\"nearly\\\" full\\nreally\" size=5 path=\"a\\\"b\" \
         service=registry zone=\"a b\"\n"
    );
}

#[test]
fn json_lines_are_objects_with_the_same_fields() {
    let line = logged(&format(Format::Json), say_something);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["level"], "warning");
    assert_eq!(value["msg"], "disk is \"nearly\" full\nreally");
    assert_eq!(value["size"], 5);
    assert_eq!(value["zone"], "a b");
    assert!(value["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let line = logged(&format(Format::Logstash), say_something);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["@version"], "1");
    assert_eq!(value["message"], "disk is \"nearly\" full\nreally");
    assert!(value["@timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
}

#[test]
fn the_place_in_the_source_is_named_on_demand() {
    let config = Config {
        report_caller: true,
        ..Config::default()
    };
    let line = logged(&config, say_something);
    assert!(line.contains("telemetry.rs:"), "{line}");
    assert!(
        !logged(&Config::default(), say_something).contains("telemetry.rs"),
        "{line}"
    );
}

#[test]
fn levels_and_directives_choose_the_lines() {
    let say = || {
        tracing::debug!(target: "wharf_storage::blobs", "ours");
        tracing::info!(target: "wharf_auth", "information");
        tracing::info!(target: "hyper", "library");
    };
    let with = |level, directives: Option<&str>| Config {
        level,
        directives: directives.map(str::to_owned),
        ..Config::default()
    };
    let quiet = logged(&with(LevelFilter::ERROR, None), say);
    assert_eq!(quiet, "");
    let usual = logged(&with(LevelFilter::INFO, None), say);
    assert!(usual.contains("information") && usual.lines().count() == 1, "{usual}");
    let debug = logged(&with(LevelFilter::DEBUG, None), say);
    assert!(debug.contains("ours") && !debug.contains("library"), "{debug}");
    let chosen = logged(&with(LevelFilter::ERROR, Some("wharf_storage=debug,hyper=info")), say);
    assert!(chosen.contains("ours") && chosen.contains("library"), "{chosen}");
    assert!(!chosen.contains("information"), "{chosen}");
    let bad = with(LevelFilter::INFO, Some("wharf=loud"));
    let error = build(&bad, Output::stderr()).err().unwrap();
    assert!(error.to_string().contains("wharf=loud"), "{error}");
}

#[tokio::test]
async fn every_line_of_a_request_names_it_and_no_other_line_does() {
    let lines = Lines::default();
    let (dispatch, _telemetry) = build(&Config::default(), lines.output()).unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let context = context();
    scope(Arc::clone(&context), async {
        tracing::info!(target: "wharf", "first");
        tokio::task::yield_now().await;
        context.user.set("ann".into()).unwrap();
        tracing::info!(target: "wharf", "second");
        let handed_on = wharf::telemetry::current();
        in_scope(handed_on, || tracing::info!(target: "wharf", "third"));
    })
    .await;
    tracing::info!(target: "wharf", "outside");
    let text = lines.text();
    let id = format!("http.request.id={}", context.id);
    let found: Vec<_> = text.lines().map(|line| line.contains(&id)).collect();
    assert_eq!(found, [true, true, true, false], "{text}");
    assert!(text.contains("http.request.uri=/v2/a/tags/list http.request.remoteaddr=192.0.2.1"));
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("auth.user.name=ann").count(), 2);
}

fn record() -> AccessRecord {
    AccessRecord {
        client: Some("192.0.2.1".parse().unwrap()),
        user: None,
        method: Method::GET,
        uri: Uri::from_static("/v2/"),
        version: Version::HTTP_11,
        status: 200,
        bytes: 2,
        referer: None,
        user_agent: Some(HeaderValue::from_static("curl/8")),
    }
}

#[test]
fn access_log_lines_show_the_time_of_their_zone_and_are_all_written_at_the_end() {
    let lines = Lines::default();
    let zone = TimeZone::fixed(Offset::constant(-7));
    let log = AccessLog::start(lines.clone(), zone).unwrap();
    let time: Timestamp = "2000-10-10T20:55:36.5Z".parse().unwrap();
    for _ in 0..5000 {
        log.write(time, &record());
    }
    log.write("2000-10-10T20:55:37Z".parse().unwrap(), &record());
    log.finish();
    let text = lines.text();
    assert_eq!(text.lines().count(), 5001);
    let line = "192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /v2/ HTTP/1.1\" 200 2 \"\" \"curl/8\"";
    assert_eq!(text.lines().next(), Some(line));
    assert!(text.lines().last().unwrap().contains("13:55:37 -0700"));
}

#[tokio::test]
async fn a_line_of_the_access_log_does_not_wait_for_the_next() {
    let lines = Lines::default();
    let log = AccessLog::start(lines.clone(), TimeZone::UTC).unwrap();
    log.write(Timestamp::UNIX_EPOCH, &record());
    until("the line is written", || lines.text().ends_with("\"curl/8\"\n")).await;
}

#[test]
fn a_reader_that_is_stuck_loses_lines_instead_of_stopping_requests() {
    struct Stuck(Arc<Mutex<()>>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            drop(self.0.lock());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let log = AccessLog::start(Stuck(Arc::clone(&gate)), TimeZone::UTC).unwrap();
    for _ in 0..400_000 {
        log.write(Timestamp::UNIX_EPOCH, &record());
    }
    assert!(log.dropped() > 0);
    drop(held);
    log.finish();
}

/// Keeps what is posted to it.
#[derive(Default)]
struct Collector(Mutex<Vec<(String, Vec<u8>)>>);

impl Handler for Collector {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, _: &Arc<ConnectionInfo>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.0.lock().unwrap().push((path, body.to_vec()));
        response::empty(StatusCode::OK)
    }

    fn panicked(&self) -> Response<Body> {
        response::empty(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_request_continues_the_trace_of_its_caller() {
    let collector = Arc::new(Collector::default());
    let server = Server::start(config(), Arc::clone(&collector), None).await;
    let traced = Config {
        traces: Some(TracesConfig {
            endpoint: format!("http://{}/v1/traces", server.address()),
            headers: vec![("x-key".into(), "hunter2".into())],
            service_name: "my-registry".into(),
            attributes: vec![("zone".into(), "a".into())],
            sample_ratio: 1.0,
            parent_based: true,
        }),
        ..Config::default()
    };
    assert!(!format!("{traced:?}").contains("hunter2"));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/v2/a/manifests/b").header("traceparent", traceparent);
    let request = request.body(()).unwrap();
    let work = move || {
        let (dispatch, telemetry) = build(&traced, Output::function(|_| {})).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let span = request_span(&request, || "manifest");
            span.record("http.response.status_code", 200);
        });
        telemetry.finish();
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    let posted = collector.0.lock().unwrap();
    let (path, body) = posted.first().expect("the trace was sent");
    assert_eq!(path, "/v1/traces");
    let has = |bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(has(&trace) && has(b"my-registry") && has(b"GET manifest"));
}
