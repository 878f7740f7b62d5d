use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{empty, json, set, text};

#[test]
fn json_has_exactly_the_media_type_that_clients_compare() {
    let response = json(StatusCode::BAD_REQUEST, &["a"]);
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "5");
}

#[test]
fn empty_answers_say_that_they_are_empty_unless_the_status_does() {
    let accepted = empty(StatusCode::ACCEPTED);
    assert_eq!(accepted.headers()[header::CONTENT_LENGTH], "0");
    assert!(empty(StatusCode::NO_CONTENT).headers().is_empty());
    assert!(empty(StatusCode::NOT_MODIFIED).headers().is_empty());
    assert_eq!(text(StatusCode::OK, "x").headers()[header::CONTENT_LENGTH], "1");
}

#[test]
fn a_value_that_would_split_the_header_is_left_out() {
    let mut headers = HeaderMap::new();
    set(&mut headers, HeaderName::from_static("x-a"), "b\r\nx-c: d");
    assert!(headers.is_empty());
    set(&mut headers, HeaderName::from_static("x-a"), "b");
    assert_eq!(headers["x-a"], "b");
}
