use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{ClientAddress, Peer, TrustedProxies};

fn peer(text: &str) -> Peer {
    Peer::Tcp(text.parse().unwrap())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn client(headers: &HeaderMap, from: &str, proxies: &TrustedProxies) -> String {
    ClientAddress::of(headers, &peer(from), proxies).to_string()
}

#[test]
fn without_a_list_every_peer_is_believed_as_in_distribution() {
    let everyone = TrustedProxies::everyone();
    let forwarded = headers(&[("x-forwarded-for", "203.0.113.9, 10.0.0.1")]);
    assert_eq!(client(&forwarded, "10.0.0.2:1234", &everyone), "203.0.113.9");
    let real = headers(&[("x-real-ip", "2001:db8::1")]);
    assert_eq!(client(&real, "10.0.0.2:1234", &everyone), "2001:db8::1");
    let rfc = headers(&[("forwarded", "for=\"[2001:db8::2]:80\";proto=https")]);
    assert_eq!(client(&rfc, "10.0.0.2:1234", &everyone), "2001:db8::2");
    assert_eq!(client(&headers(&[]), "10.0.0.2:1234", &everyone), "10.0.0.2");
}

#[test]
fn nonsense_in_a_header_leaves_the_peer() {
    let everyone = TrustedProxies::everyone();
    for value in ["unknown", "", ",", "a.b.c.d", "1.2.3.4.5"] {
        let headers = headers(&[("x-forwarded-for", value), ("x-real-ip", "?")]);
        assert_eq!(client(&headers, "10.0.0.2:1", &everyone), "10.0.0.2", "{value}");
    }
}

#[test]
fn with_a_list_a_client_cannot_invent_its_address() {
    let proxies = TrustedProxies::only(&["10.0.0.0/8", "192.168.1.1"]).unwrap();
    let invented = headers(&[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.7")]);
    assert_eq!(client(&invented, "10.0.0.2:1", &proxies), "203.0.113.9");
    assert_eq!(client(&invented, "198.51.100.1:1", &proxies), "198.51.100.1");
    let inside = headers(&[("x-forwarded-for", "10.1.1.1, 192.168.1.1")]);
    assert_eq!(client(&inside, "10.0.0.2:1", &proxies), "10.1.1.1");
    let repeated = headers(&[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-for", "8.8.8.8")]);
    assert_eq!(client(&repeated, "10.0.0.2:1", &proxies), "8.8.8.8");
}

#[test]
fn mapped_addresses_of_dual_stack_sockets_are_shown_and_matched_as_ipv4() {
    let proxies = TrustedProxies::only(&["10.0.0.0/8"]).unwrap();
    let from = "[::ffff:10.0.0.2]:443";
    assert_eq!(peer(from).to_string(), "10.0.0.2:443");
    let real = headers(&[("x-real-ip", "203.0.113.9")]);
    assert_eq!(client(&real, from, &proxies), "203.0.113.9");
}

#[test]
fn a_unix_socket_is_trusted_and_may_be_nameless() {
    let nobody = TrustedProxies::only::<&str>(&[]).unwrap();
    let real = headers(&[("x-real-ip", "203.0.113.9")]);
    let found = ClientAddress::of(&real, &Peer::Unix, &nobody);
    assert_eq!(found.ip, Some("203.0.113.9".parse::<IpAddr>().unwrap()));
    let nameless = ClientAddress::of(&HeaderMap::new(), &Peer::Unix, &nobody);
    assert_eq!(nameless.to_string(), "unix");
}

#[test]
fn an_entry_that_is_no_network_is_named() {
    let error = TrustedProxies::only(&["10.0.0.0/8", "proxy.local"]).unwrap_err();
    assert!(error.to_string().contains("proxy.local"), "{error}");
}
