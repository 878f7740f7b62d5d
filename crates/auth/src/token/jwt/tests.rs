use proptest::prelude::proptest;

use super::*;

fn claims(json: &str) -> Claims {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_audience_may_be_a_text_or_a_list_and_lists_may_be_null() {
    assert_eq!(claims(r#"{"aud":"a"}"#).aud, ["a"]);
    assert_eq!(claims(r#"{"aud":["a","b"]}"#).aud, ["a", "b"]);
    assert!(claims(r#"{"aud":null,"access":null}"#).aud.is_empty());
    assert_eq!(claims(r#"{"exp":12.9,"nbf":null}"#).exp, 12);
}

#[test]
fn access_carries_classes_and_wildcards() {
    let claims = claims(
        r#"{"access":[{"type":"repository","class":"plugin","name":"host:5000/a","actions":["*"]},
            {"type":"repository(image)","name":"b","actions":null}]}"#,
    );
    let scopes: Vec<_> = claims.scopes().iter().map(ToString::to_string).collect();
    assert_eq!(scopes, ["repository(plugin):host:5000/a:*", "repository(image):b:"]);
}

#[test]
fn issuer_audience_and_times_count_with_a_minute_of_leeway() {
    let now = Timestamp::from_second(1000).unwrap();
    let us = ["registry".to_owned()];
    let check = |iss: &str, aud: &str, exp: i64, nbf: i64| {
        claims(&format!(r#"{{"iss":"{iss}","aud":"{aud}","exp":{exp},"nbf":{nbf}}}"#)).check("issuer", &us, now)
    };
    assert_eq!(check("issuer", "registry", 1000, 1000), Ok(()));
    assert_eq!(check("issuer", "registry", 940, 1060), Ok(()));
    assert_eq!(check("issuer", "registry", 939, 0), Err(TokenError::Expired));
    assert_eq!(check("issuer", "registry", 2000, 1061), Err(TokenError::NotYet));
    assert_eq!(check("issuer", "registry", i64::MAX, i64::MIN), Ok(()));
    assert_eq!(check("other", "registry", 2000, 0), Err(TokenError::Issuer));
    assert_eq!(check("issuer", "other", 2000, 0), Err(TokenError::Audience));
    assert_eq!(
        claims(r#"{"iss":"issuer","aud":"registry"}"#).check("issuer", &us, now),
        Err(TokenError::Expired),
        "a token without an end is none"
    );
}

#[test]
fn what_is_no_token_is_malformed() {
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "e30.e30.",
        "e30.e30.e30.e30",
        &"a".repeat(70_000),
    ] {
        assert_eq!(
            Unverified::parse(token).err(),
            Some(TokenError::Malformed),
            "{token:.20}"
        );
    }
}

#[test]
fn critical_headers_are_refused() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#);
    assert_eq!(
        Unverified::parse(&format!("{header}.e30.AA")).err(),
        Some(TokenError::Critical)
    );
}

proptest! {
    #[test]
    fn nothing_panics(token: String, header: String) {
        let _ = Unverified::parse(&token);
        let _ = Unverified::parse(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header)));
    }
}
