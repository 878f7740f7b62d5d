use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{BaseUrls, Via};
use crate::address::{Peer, TrustedProxies};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn urls(host: Option<&str>, prefix: &str, relative: bool) -> BaseUrls {
    BaseUrls::new(host, prefix, relative, TrustedProxies::everyone()).unwrap()
}

fn from(peer: &str, tls: bool) -> Via {
    Via {
        peer: Peer::Tcp(peer.parse().unwrap()),
        port: Some(5000),
        tls,
    }
}

fn location(urls: &BaseUrls, pairs: &[(&'static str, &str)], tls: bool) -> String {
    let base = urls.of(&headers(pairs), &Uri::from_static("/v2/"), &from("10.0.0.1:1", tls));
    base.location("/v2/a/blobs/x?y=1")
}

#[test]
fn the_request_names_the_host_when_nothing_else_does() {
    let urls = urls(None, "", false);
    let host = [("host", "reg.example:5000")];
    assert_eq!(
        location(&urls, &host, false),
        "http://reg.example:5000/v2/a/blobs/x?y=1"
    );
    assert_eq!(
        location(&urls, &host, true),
        "https://reg.example:5000/v2/a/blobs/x?y=1"
    );
    assert_eq!(
        location(&urls, &[("host", "[::1]:5000")], false),
        "http://[::1]:5000/v2/a/blobs/x?y=1"
    );
}

#[test]
fn proxies_name_scheme_and_host_and_the_first_of_a_list_counts() {
    let urls = urls(None, "", false);
    let xforwarded = [
        ("host", "10.0.0.9:5000"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "reg.example, inner.example"),
    ];
    assert_eq!(
        location(&urls, &xforwarded, false),
        "https://reg.example/v2/a/blobs/x?y=1"
    );
    let both = [
        ("host", "10.0.0.9:5000"),
        ("forwarded", "proto=https;host=outer.example"),
        ("x-forwarded-host", "reg.example"),
    ];
    assert_eq!(location(&urls, &both, false), "https://outer.example/v2/a/blobs/x?y=1");
}

#[test]
fn forwarded_values_that_would_change_the_url_are_ignored() {
    let urls = urls(None, "", false);
    for host in ["a/b", "evil@reg", "a b", "x?y", "a#b", "\"q\""] {
        let found = location(&urls, &[("host", "reg"), ("x-forwarded-host", host)], false);
        assert_eq!(found, "http://reg/v2/a/blobs/x?y=1", "{host}");
    }
    let scheme = [("host", "reg"), ("x-forwarded-proto", "javascript")];
    assert_eq!(location(&urls, &scheme, false), "http://reg/v2/a/blobs/x?y=1");
}

#[test]
fn only_trusted_proxies_are_believed_when_there_is_a_list() {
    let proxies = TrustedProxies::only(&["192.168.0.0/16"]).unwrap();
    let urls = BaseUrls::new(None, "", false, proxies).unwrap();
    let pairs = [("host", "reg"), ("x-forwarded-host", "evil.example")];
    assert_eq!(location(&urls, &pairs, false), "http://reg/v2/a/blobs/x?y=1");
}

#[test]
fn a_configured_host_wins_and_a_prefix_is_kept_in_every_form() {
    let fixed = urls(Some("https://reg.example/"), "/registry/", false);
    let pairs = [("host", "other"), ("x-forwarded-host", "third")];
    assert_eq!(
        location(&fixed, &pairs, false),
        "https://reg.example/registry/v2/a/blobs/x?y=1"
    );
    let relative = urls(None, "registry", true);
    assert_eq!(location(&relative, &pairs, false), "/registry/v2/a/blobs/x?y=1");
    assert_eq!(urls(None, "/", false).prefix(), "");
}

#[test]
fn without_any_host_the_location_is_a_path() {
    assert_eq!(location(&urls(None, "", false), &[], false), "/v2/a/blobs/x?y=1");
}

#[test]
fn the_scheme_is_certain_when_somebody_said_it() {
    let certain = |pairs: &[(&'static str, &str)], tls| is_certain(pairs, &from("10.0.0.1:1", tls));
    assert!(!certain(&[("host", "reg")], false));
    assert!(certain(&[("host", "reg")], true));
    assert!(certain(&[("host", "reg"), ("x-forwarded-proto", "http")], false));
}

#[test]
fn the_scheme_is_certain_when_the_client_itself_is_at_the_other_end() {
    let remote = |pairs: &[(&'static str, &str)]| is_certain(pairs, &from("10.0.0.1:1", false));
    assert!(remote(&[("host", "reg:5000")]), "the port is ours");
    assert!(remote(&[("host", "[fd00::1]:5000")]));
    assert!(!remote(&[("host", "reg:8443")]), "somebody else's port leads here");
    assert!(!remote(&[("host", "localhost:8443")]));
    assert!(!remote(&[("host", "reg:5000"), ("x-forwarded-for", "10.1.1.1")]));
    let local = |host| is_certain(&[("host", host)], &from("127.0.0.1:1", false));
    for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:3000", "[::1]:3000", "[::1]"] {
        assert!(
            local(host),
            "{host} from the same machine, such as through a forwarded port"
        );
    }
    assert!(!local("reg.example"), "a proxy on the same machine");
}

fn is_certain(pairs: &[(&'static str, &str)], via: &Via) -> bool {
    let uri = Uri::from_static("/v2/");
    urls(None, "", false).of(&headers(pairs), &uri, via).scheme_is_certain()
}

#[test]
fn http2_requests_carry_the_host_in_their_target() {
    let via = Via {
        peer: Peer::Unix,
        port: None,
        tls: true,
    };
    let uri = Uri::from_static("https://reg.example/v2/");
    let base = urls(None, "", false).of(&HeaderMap::new(), &uri, &via);
    assert_eq!(base.location("/v2/"), "https://reg.example/v2/");
}

#[test]
fn a_host_without_a_scheme_is_refused() {
    for bad in [
        "reg.example",
        "reg.example:5000",
        "/path",
        "https://u:p@reg",
        "https://r/?q=1",
    ] {
        let error = BaseUrls::new(Some(bad), "", false, TrustedProxies::everyone()).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
    }
}
