use std::time::Duration;

use http::Method;
use wharf::metrics::{Authentication, Metrics, Upload};
use wharf_jobs::{End, KindStatus, State};

use crate::support::{GET, Server, config, exchange, until};

const MS: Duration = Duration::from_millis(1);

fn sample() -> Metrics {
    let metrics = Metrics::new("9.9.9");
    for (handler, method, code) in [
        ("manifest", Method::GET, 200),
        ("manifest", Method::GET, 200),
        ("manifest", Method::HEAD, 404),
        ("blob_upload_chunk", Method::PATCH, 202),
    ] {
        let http = metrics.http(handler);
        http.begin();
        http.observe(&method, code, 7 * MS, 2048, 3_000_000);
    }
    metrics.http("base").begin();
    metrics
        .storage("filesystem", "GetContent")
        .observe(Duration::from_secs(2));
    metrics.authentication(Authentication::Failed);
    metrics.upload(Upload::Finished);
    metrics
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is missing in\n{text}");
    }
}

#[test]
fn distributions_metrics_keep_their_names_and_labels() {
    let text = sample().text(None);
    assert_eq!(text.content_type, "text/plain; version=0.0.4; charset=utf-8");
    has(
        &text.text,
        &[
            "# TYPE registry_http_requests_total counter",
            "registry_http_requests_total{code=\"200\",handler=\"manifest\",method=\"get\"} 2",
            "registry_http_requests_total{code=\"404\",handler=\"manifest\",method=\"head\"} 1",
            "registry_http_in_flight_requests{handler=\"base\"} 1",
            "registry_http_in_flight_requests{handler=\"manifest\"} 0",
            "# TYPE registry_http_request_duration_seconds histogram",
            "registry_http_request_duration_seconds_bucket{le=\"0.005\",handler=\"manifest\",method=\"get\"} 0",
            "registry_http_request_duration_seconds_bucket{le=\"0.01\",handler=\"manifest\",method=\"get\"} 2",
            "registry_http_request_duration_seconds_bucket{le=\"+Inf\",handler=\"manifest\",method=\"get\"} 2",
            "registry_http_request_duration_seconds_sum{handler=\"manifest\",method=\"get\"} 0.014",
            "registry_http_request_size_bytes_bucket{le=\"1024\",handler=\"manifest\"} 0",
            "registry_http_request_size_bytes_bucket{le=\"2048\",handler=\"manifest\"} 3",
            "registry_http_response_size_bytes_bucket{le=\"2.097152e+06\",handler=\"manifest\"} 0",
            "registry_http_response_size_bytes_bucket{le=\"4.194304e+06\",handler=\"manifest\"} 3",
            "registry_http_request_duration_seconds_bucket{le=\"60\",handler=\"manifest\",method=\"get\"} 2",
            "registry_http_response_size_bytes_count{handler=\"manifest\"} 3",
            "registry_storage_action_seconds_bucket{le=\"2.5\",driver=\"filesystem\",action=\"GetContent\"} 1",
            "registry_storage_action_seconds_count{driver=\"filesystem\",action=\"GetContent\"} 1",
        ],
    );
}

#[test]
fn our_metrics_stand_beside_them() {
    let text = sample().text(None).text;
    has(
        &text,
        &[
            "wharf_build_info{version=\"9.9.9\"} 1",
            "wharf_authentications_total{result=\"failed\"} 1",
            "wharf_authentications_total{result=\"verified\"} 0",
            "wharf_uploads_total{result=\"finished\"} 1",
            "# TYPE process_resident_memory_bytes gauge",
            "# TYPE process_cpu_seconds_total counter",
        ],
    );
}

#[test]
fn jobs_are_counted_by_kind_with_how_they_stand_and_ended() {
    let metrics = Metrics::new("1");
    let purge = KindStatus {
        name: "upload_purge",
        title: "Removes old uploads",
        is_startable: true,
        is_enabled: true,
        schedule: "every 24h".to_owned(),
        overridden: None,
        next_at: None,
        last_success_at: Some(jiff::Timestamp::from_second(1_800_000_000).unwrap()),
        last_failure_at: None,
    };
    metrics.count_jobs(&[purge], &[("upload_purge".to_owned(), State::Waiting, 3)]);
    metrics.job("upload_purge").ended(End::Retried, 2 * MS);
    let text = metrics.text(None).text;
    has(
        &text,
        &[
            "wharf_jobs{kind=\"upload_purge\",state=\"waiting\"} 3",
            "wharf_jobs{kind=\"upload_purge\",state=\"running\"} 0",
            "wharf_job_attempts_total{kind=\"upload_purge\",result=\"retried\"} 1",
            "wharf_job_attempts_total{kind=\"upload_purge\",result=\"done\"} 0",
            "wharf_job_duration_seconds_bucket{le=\"0.1\",kind=\"upload_purge\"} 1",
            "wharf_job_last_success_timestamp_seconds{kind=\"upload_purge\"} 1800000000",
        ],
    );
}

#[test]
fn every_line_is_one_that_prometheus_reads() {
    let text = sample().text(None).text;
    assert!(!text.contains("# EOF"));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            assert!(rest.starts_with("HELP ") || rest.starts_with("TYPE "), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{line}"
        );
    }
}

#[test]
fn a_scraper_that_asks_for_openmetrics_gets_it() {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let text = sample().text(Some(accept));
    assert!(text.content_type.starts_with("application/openmetrics-text"));
    assert!(text.text.ends_with("# EOF\n"));
    has(&text.text, &["# TYPE registry_http_requests counter"]);
}

#[tokio::test]
async fn a_listener_tells_its_connections_and_bytes() {
    let server = Server::plain(config()).await;
    let metrics = Metrics::new("1");
    metrics.add_listener("main", std::sync::Arc::clone(&server.stats));
    let answer = exchange(&mut server.connect().await, GET).await;
    until("the connection is closed", || server.stats.open() == 0).await;
    let sent = format!("wharf_network_sent_bytes_total{{listener=\"main\"}} {}", answer.len());
    let received = format!("wharf_network_received_bytes_total{{listener=\"main\"}} {}", GET.len());
    has(
        &metrics.text(None).text,
        &[
            &sent,
            &received,
            "wharf_connections_total{listener=\"main\"} 1",
            "wharf_connections_open{listener=\"main\"} 0",
        ],
    );
}

#[test]
fn more_handlers_than_there_is_room_for_are_counted_together() {
    let metrics = Metrics::new("1");
    for number in 0..100 {
        let name: &'static str = format!("h{number}").leak();
        metrics.http(name).begin();
    }
    let text = metrics.text(None).text;
    assert!(
        text.contains("registry_http_in_flight_requests{handler=\"other\"} 60"),
        "{text}"
    );
}
