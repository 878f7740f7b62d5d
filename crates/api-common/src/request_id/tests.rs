use std::collections::HashSet;

use http::{HeaderMap, HeaderValue};

use super::{HEADER, RequestId, RequestIds};

fn headers(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, HeaderValue::from_str(id).unwrap());
    headers
}

#[test]
fn own_ids_are_version_4_uuids_and_never_repeat() {
    let ids = RequestIds::new([7; 16]);
    let made: HashSet<String> = (0..10_000).map(|_| ids.next().to_string()).collect();
    assert_eq!(made.len(), 10_000);
    for id in made.iter().take(100) {
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(id.as_bytes()[14], b'4', "{id}");
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
    }
}

#[test]
fn a_trusted_proxy_gives_the_id_and_nobody_else() {
    let ids = RequestIds::new([0; 16]);
    let given = headers("a1b2-c3.d4:e5");
    assert_eq!(ids.for_request(&given, true).to_string(), "a1b2-c3.d4:e5");
    assert_ne!(ids.for_request(&given, false).to_string(), "a1b2-c3.d4:e5");
}

#[test]
fn an_id_that_could_forge_a_log_line_is_not_taken() {
    for bad in ["", "a b", "a\"b", "a;b", "<x>", &"x".repeat(129)] {
        assert_eq!(RequestId::given(&headers(bad)), None, "{bad:?}");
    }
}

#[test]
fn the_header_says_what_the_log_says() {
    let ids = RequestIds::new([3; 16]);
    let given = RequestId::given(&headers("a1b2-c3.d4:e5")).unwrap();
    for id in [ids.next(), given] {
        assert_eq!(id.header_value(), id.to_string().as_str());
    }
}
