use http::{HeaderValue, Method, Uri, Version};

use super::AccessRecord;

const TIME: &[u8] = b"10/Oct/2000:13:55:36 -0700";

fn record(uri: &'static str) -> AccessRecord {
    AccessRecord {
        client: Some("192.0.2.7".parse().unwrap()),
        user: Some("ann".into()),
        method: Method::GET,
        uri: Uri::from_static(uri),
        version: Version::HTTP_11,
        status: 200,
        bytes: 2326,
        referer: None,
        user_agent: Some(HeaderValue::from_static("docker/27")),
    }
}

fn line(record: &AccessRecord) -> String {
    let mut out = Vec::new();
    record.write_line(TIME, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_is_in_the_combined_log_format() {
    assert_eq!(
        line(&record("/v2/a/manifests/latest")),
        "192.0.2.7 - ann [10/Oct/2000:13:55:36 -0700] \"GET /v2/a/manifests/latest HTTP/1.1\" \
         200 2326 \"\" \"docker/27\"\n"
    );
    let anonymous = AccessRecord {
        client: None,
        user: None,
        version: Version::HTTP_2,
        status: 404,
        bytes: 0,
        referer: Some(HeaderValue::from_static("http://a/")),
        ..record("/")
    };
    assert_eq!(
        line(&anonymous),
        "- - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/2.0\" 404 0 \"http://a/\" \"docker/27\"\n"
    );
}

#[test]
fn no_value_can_forge_a_line_or_a_field() {
    let forged = AccessRecord {
        user: Some("a b\n\"c".into()),
        user_agent: Some(HeaderValue::from_bytes(b"x\" 200 1 \"\\y\xff\tz").unwrap()),
        ..record("/")
    };
    let line = line(&forged);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains(" - a\\x20b\\x0a\\\"c ["), "{line}");
    assert!(line.contains("\"x\\\" 200 1 \\\"\\\\y\\xff\\x09z\"\n"), "{line}");
}

#[test]
fn secrets_in_queries_are_masked() {
    let uri = "/service/token?service=r&password=hunter2&Refresh_Token=t0k&scope=a&code=c";
    let line = line(&record(uri));
    let expected = "/service/token?service=r&password=***&Refresh_Token=***&scope=a&code=***";
    assert!(line.contains(expected), "{line}");
}
