use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{EntityTag, Precondition};

fn judge(name: HeaderName, value: &'static str, method: &Method, current: Option<&str>) -> Precondition {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(value));
    let current = current.map(EntityTag::new);
    Precondition::of(&headers, method, current.as_ref())
}

#[test]
fn a_client_that_has_it_already_is_told_so() {
    for value in [
        "\"sha256:a\"",
        "W/\"sha256:a\"",
        "sha256:a",
        "*",
        "\"x\" , \"sha256:a\"",
    ] {
        let found = judge(header::IF_NONE_MATCH, value, &Method::GET, Some("sha256:a"));
        assert_eq!(found, Precondition::NotModified, "{value}");
    }
    let other = judge(header::IF_NONE_MATCH, "\"sha256:b\"", &Method::GET, Some("sha256:a"));
    assert_eq!(other, Precondition::Proceed);
}

#[test]
fn create_only_writes_fail_when_something_is_there() {
    let put = |current| judge(header::IF_NONE_MATCH, "*", &Method::PUT, current);
    assert_eq!(put(Some("sha256:a")), Precondition::Failed);
    assert_eq!(put(None), Precondition::Proceed);
}

#[test]
fn update_only_writes_fail_when_something_else_or_nothing_is_there() {
    let put = |value, current| judge(header::IF_MATCH, value, &Method::PUT, current);
    assert_eq!(put("\"sha256:a\"", Some("sha256:a")), Precondition::Proceed);
    assert_eq!(put("*", Some("sha256:a")), Precondition::Proceed);
    assert_eq!(put("W/\"sha256:a\"", Some("sha256:a")), Precondition::Failed);
    assert_eq!(put("\"sha256:b\"", Some("sha256:a")), Precondition::Failed);
    assert_eq!(put("*", None), Precondition::Failed);
}

#[test]
fn dates_are_ignored_without_a_last_modified() {
    let value = "Wed, 21 Oct 2015 07:28:00 GMT";
    let found = judge(header::IF_MODIFIED_SINCE, value, &Method::GET, Some("sha256:a"));
    assert_eq!(found, Precondition::Proceed);
}

#[test]
fn the_header_value_is_quoted() {
    let value = EntityTag::new("sha256:a").header_value().unwrap();
    assert_eq!(value, "\"sha256:a\"");
    assert!(EntityTag::new("a\nb").header_value().is_none());
}
