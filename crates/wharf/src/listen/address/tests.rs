use super::{Address, AddressError};

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp {
        host: host.into(),
        port,
    }
}

#[test]
fn addresses_are_read_as_go_reads_them() {
    let parse = |text: &str| Address::parse("tcp", text).unwrap();
    assert_eq!(parse(":5000"), tcp("", 5000));
    assert_eq!(parse("127.0.0.1:5000"), tcp("127.0.0.1", 5000));
    assert_eq!(parse("[::1]:5000"), tcp("::1", 5000));
    assert_eq!(parse("localhost:0"), tcp("localhost", 0));
    assert_eq!(Address::parse("", ":1").unwrap(), tcp("", 1));
    assert_eq!(
        Address::parse("unix", "/run/wharf.sock").unwrap(),
        Address::unix("/run/wharf.sock")
    );
    assert_eq!(parse("[::1]:5000").to_string(), "[::1]:5000");
}

#[test]
fn an_address_that_cannot_be_listened_at_is_named() {
    for bad in ["", "5000", "::1:5000", "localhost:http", ":65536", "[x]:1", "a/b:1"] {
        let error = Address::parse("tcp", bad).unwrap_err();
        assert_eq!(error, AddressError::Form { address: bad.into() });
    }
    assert_eq!(Address::parse("unix", " ").unwrap_err(), AddressError::Path);
    let error = Address::parse("udp", ":1").unwrap_err();
    assert!(error.to_string().contains("udp"), "{error}");
}
