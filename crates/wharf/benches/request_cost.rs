//! What every request pays for being counted, logged and named.

use std::time::Duration;

use http::{HeaderValue, Method, Uri, Version};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use wharf::metrics::Metrics;
use wharf::telemetry::AccessLog;
use wharf_api_common::{AccessRecord, RequestIds};
use wharf_auth::Authorization;

fn main() {
    divan::main();
}

fn record() -> AccessRecord {
    AccessRecord {
        client: Some([192, 0, 2, 1].into()),
        user: Some("ann".into()),
        method: Method::GET,
        uri: Uri::from_static("/v2/library/busybox/manifests/latest"),
        version: Version::HTTP_11,
        status: 200,
        bytes: 702,
        referer: None,
        user_agent: Some(HeaderValue::from_static(
            "docker/27.1.1 go/go1.21.12 os/linux arch/amd64",
        )),
    }
}

#[divan::bench(threads = [1, 2])]
fn access_log_line(bencher: divan::Bencher<'_, '_>) {
    let log = AccessLog::start(std::io::sink(), TimeZone::UTC);
    let Ok(log) = log else { return };
    let record = record();
    bencher.bench(|| log.write(Timestamp::UNIX_EPOCH, &record));
}

#[divan::bench]
fn access_record_clone(bencher: divan::Bencher<'_, '_>) {
    let record = record();
    bencher.bench(|| record.clone());
}

#[divan::bench(threads = [1, 2])]
fn metrics_of_a_request(bencher: divan::Bencher<'_, '_>) {
    let metrics = Metrics::new("bench");
    bencher.bench(|| {
        let http = metrics.http("manifest");
        http.begin();
        http.observe(&Method::GET, 200, Duration::from_micros(50), 0, 702);
    });
}

#[divan::bench]
fn request_id(bencher: divan::Bencher<'_, '_>) {
    let ids = RequestIds::new([7; 16]);
    bencher.bench(|| ids.next());
}

#[divan::bench]
fn basic_credentials(bencher: divan::Bencher<'_, '_>) {
    let value = "Basic YWRtaW46Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";
    bencher.bench(|| Authorization::new(value.as_bytes()).parse());
}
