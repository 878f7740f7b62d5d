use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{any, proptest};

use super::*;

fn basic(text: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn login(header: &str) -> Login {
    match Authorization::new(header.as_bytes()).parse() {
        Ok(Credentials::Basic(login)) => login,
        other => panic!("{header}: {other:?}"),
    }
}

#[test]
fn a_password_may_hold_colons_and_any_bytes() {
    let read = login(&basic(b"alice:a:b:\xff"));
    assert_eq!(
        (read.name.as_str(), read.password.as_slice()),
        ("alice", &b"a:b:\xff"[..])
    );
}

#[test]
fn unusual_names_are_read_as_they_are() {
    for name in ["<token>", "robot$ci+build", "jürgen@example.com", "a b", "$oauthtoken"] {
        assert_eq!(login(&basic(format!("{name}:x").as_bytes())).name, name);
    }
}

#[test]
fn the_scheme_counts_in_any_case_and_padding_may_be_missing() {
    let encoded = STANDARD.encode("alice:pw");
    let bare = encoded.trim_end_matches('=');
    for header in [
        format!("basic {encoded}"),
        format!("BASIC  {encoded} "),
        format!("Basic\t{bare}"),
    ] {
        assert_eq!(login(&header).password.as_slice(), b"pw");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let parse = |header: &'static [u8]| Authorization::new(header).parse().unwrap_err();
    assert_eq!(parse(b""), AuthorizationError::Scheme);
    assert_eq!(parse(b"Basic"), AuthorizationError::Scheme);
    assert_eq!(parse(b"Digest username=x"), AuthorizationError::Scheme);
    assert_eq!(parse(b"Basic !!!"), AuthorizationError::Basic);
    assert_eq!(parse(b"Basic YWxpY2U="), AuthorizationError::Basic);
    assert_eq!(parse(b"Basic /zp4"), AuthorizationError::Basic);
    assert_eq!(parse(b"Bearer two words"), AuthorizationError::Bearer);
    assert_eq!(parse(b"\xff\xfe"), AuthorizationError::Scheme);
}

#[test]
fn debug_shows_no_secret() {
    let header = basic(b"alice:planted-secret");
    let authorization = Authorization::new(header.as_bytes());
    let shown = format!("{authorization:?} {:?}", authorization.parse());
    assert!(shown.contains("alice"));
    assert!(!shown.contains("planted") && !shown.contains(&header[6..]));
    let shown = format!("{:?}", Authorization::new(b"Bearer planted-secret").parse());
    assert!(!shown.contains("planted"));
}

proptest! {
    #[test]
    fn nothing_panics(header: Vec<u8>) {
        let _ = Authorization::new(&header).parse();
    }

    #[test]
    fn every_login_comes_back(name in "[^:]{0,20}", password in any::<Vec<u8>>()) {
        let mut text = format!("{name}:").into_bytes();
        text.extend(&password);
        let read = login(&basic(&text));
        assert_eq!((read.name, read.password.to_vec()), (name, password));
    }
}
