use proptest::prelude::{any, proptest};

use super::{Forwarded, parse, parse_node};

#[test]
fn the_first_element_is_read_with_quotes_and_in_any_case() {
    let found = parse("For=\"[2001:db8::17]:4711\";Proto=HTTPS;host=\"r.example:8443\", for=10.0.0.1");
    let expected = Forwarded {
        client: Some("2001:db8::17".parse().unwrap()),
        proto: Some("https".into()),
        host: Some("r.example:8443".into()),
    };
    assert_eq!(found, Some(expected));
    let bare = parse("for=192.0.2.43; by=203.0.113.60 ; proto=http").unwrap();
    assert_eq!(bare.client, Some("192.0.2.43".parse().unwrap()));
    assert_eq!(bare.proto.as_deref(), Some("http"));
    assert_eq!(parse("for=unknown").unwrap().client, None);
    assert_eq!(parse("host=\"a\\\"b\"").unwrap().host.as_deref(), Some("a\"b"));
}

#[test]
fn an_ill_formed_element_is_not_believed() {
    for bad in ["proto", "=https", "pro to=https", "host=\"open", "host=\"a\"b", "a b=c"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

#[test]
fn addresses_come_bare_with_ports_and_in_brackets() {
    for (text, ip) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[::1]", "::1"),
        ("[::1]:80", "::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(parse_node(text), Some(ip.parse().unwrap()), "{text}");
    }
    for text in ["_hidden", "unknown", "[::1", "::1]:80", "1.2.3"] {
        assert_eq!(parse_node(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(value in any::<String>()) {
        let _ = parse(&value);
        let _ = parse_node(&value);
    }
}
