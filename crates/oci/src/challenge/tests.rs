use super::*;
use proptest::prelude::{any, proptest};

#[test]
fn a_bearer_challenge_prints_and_reads_back() {
    let challenge = Challenge::bearer(
        "https://r.example/service/token",
        "wharf",
        Some("repository:a/b:pull,push"),
        None,
    );
    let text = challenge.to_string();
    assert_eq!(
        text,
        r#"Bearer realm="https://r.example/service/token",service="wharf",scope="repository:a/b:pull,push""#
    );
    assert_eq!(Challenge::parse_list(&text), [challenge]);
}

#[test]
fn quotes_in_a_realm_are_escaped() {
    let challenge = Challenge::basic(r#"a "b" \c"#);
    assert_eq!(challenge.to_string(), r#"Basic realm="a \"b\" \\c""#);
    assert_eq!(
        Challenge::parse_list(&challenge.to_string())[0].parameter("realm"),
        Some(r#"a "b" \c"#)
    );
}

#[test]
fn several_challenges_in_one_header_are_told_apart() {
    let list = Challenge::parse_list(r#"Basic realm=plain, Bearer Realm = "x" , service=y"#);
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].parameter("realm"), Some("plain"));
    assert_eq!(list[1].parameter("realm"), Some("x"));
    assert_eq!(list[1].parameter("service"), Some("y"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Challenge::parse_list(&text);
    }

    #[test]
    fn any_realm_survives_a_round_trip(realm in "[ -~]{0,40}") {
        let text = Challenge::basic(&realm).to_string();
        assert_eq!(Challenge::parse_list(&text)[0].parameter("realm"), Some(realm.as_str()));
    }
}
