use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{CredentialError, Credentials, STANDARD, Secret};
use base64::Engine as _;

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic {
        user: user.into(),
        password: Secret::new(password.into()),
    }
}

fn parse(value: &str) -> Result<Credentials, CredentialError> {
    Credentials::parse(value.as_bytes())
}

#[test]
fn basic_is_read_however_clients_spell_it() {
    let expected = basic("admin", "pa:ss");
    for value in [
        "Basic YWRtaW46cGE6c3M=",
        "basic YWRtaW46cGE6c3M",
        "  BASIC   YWRtaW46cGE6c3M=  ",
        "Basic\tYWRtaW46cGE6c3M=",
    ] {
        assert_eq!(parse(value).unwrap(), expected, "{value}");
    }
    assert_eq!(parse("Basic dTo_Pz4=").unwrap(), basic("u", "??>"));
    assert_eq!(parse("Basic dTo/Pz4=").unwrap(), basic("u", "??>"));
}

#[test]
fn passwords_may_be_empty_utf8_or_latin1() {
    assert_eq!(parse("Basic dTo=").unwrap(), basic("u", ""));
    let utf8 = STANDARD.encode("jürgen:grün");
    assert_eq!(parse(&format!("Basic {utf8}")).unwrap(), basic("jürgen", "grün"));
    let latin1 = STANDARD.encode(b"u:gr\xfcn");
    assert_eq!(parse(&format!("Basic {latin1}")).unwrap(), basic("u", "grün"));
}

#[test]
fn nothing_and_an_empty_pair_are_anonymous() {
    assert_eq!(Credentials::of(&HeaderMap::new()).unwrap(), Credentials::Anonymous);
    assert_eq!(parse("").unwrap(), Credentials::Anonymous);
    assert_eq!(parse("Basic Og==").unwrap(), Credentials::Anonymous);
}

#[test]
fn bearer_tokens_are_taken_as_they_are() {
    let expected = Credentials::Bearer(Secret::new("eyJ.a-b_c~+/=".into()));
    assert_eq!(parse("Bearer eyJ.a-b_c~+/=").unwrap(), expected);
    assert_eq!(parse("bearer  eyJ.a-b_c~+/= ").unwrap(), expected);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_cause() {
    for bad in ["Basic", "Basic !!!", "Basic dXNlcg==", "Basic dQA6cA=="] {
        assert_eq!(parse(bad).unwrap_err(), CredentialError::Basic, "{bad}");
    }
    for bad in ["Bearer", "Bearer a b", "Bearer \u{fc}"] {
        assert_eq!(parse(bad).unwrap_err(), CredentialError::Bearer, "{bad}");
    }
    let negotiate = parse("Negotiate abc").unwrap_err();
    assert!(negotiate.to_string().contains("Negotiate"));
    let mut two = HeaderMap::new();
    two.append(header::AUTHORIZATION, HeaderValue::from_static("Basic dTpw"));
    two.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(Credentials::of(&two).unwrap_err(), CredentialError::Header);
}

#[test]
fn secrets_are_never_printed() {
    let shown = format!("{:?}", parse("Basic dTpodW50ZXIy").unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = format!("{:?}", parse("Bearer hunter2").unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(value in any::<Vec<u8>>()) {
        let _ = Credentials::parse(&value);
    }

    #[test]
    fn every_pair_survives(user in "[^\\x00-\\x1f\\x7f-\\x9f:]{1,20}", password in "[^\\x00-\\x1f\\x7f-\\x9f]{0,40}") {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let found = parse(&format!("Basic {encoded}")).unwrap();
        prop_assert_eq!(found, basic(&user, &password));
    }
}
