use proptest::prelude::proptest;

use super::*;

fn scopes(request: &TokenRequest) -> Vec<String> {
    request.scopes.iter().map(ToString::to_string).collect()
}

#[test]
fn scopes_may_be_repeated_or_joined_by_spaces() {
    let both = ["repository:a:pull,push", "repository:host:5000/b:pull"];
    let repeated = "service=w&scope=repository%3Aa%3Apull%2Cpush&scope=repository:host:5000/b:pull";
    let joined = "scope=repository:a:pull,push+repository:host:5000/b:pull&service=w";
    for query in [repeated, joined] {
        let request = TokenRequest::parse_query(query).unwrap();
        assert_eq!(scopes(&request), both);
        assert_eq!(request.service, "w");
        assert!(!request.wants_refresh_token);
    }
}

#[test]
fn malformed_scopes_and_unknown_parameters_are_left_out() {
    let request = TokenRequest::parse_query("scope=&scope=x&scope=repository:a:pull%20nonsense&foo=bar&&=").unwrap();
    assert_eq!(scopes(&request), ["repository:a:pull"]);
    assert_eq!(TokenRequest::parse_query("").unwrap(), TokenRequest::default());
}

#[test]
fn a_docker_get_asks_for_an_identity_token() {
    let query = "account=alice&client_id=docker&offline_token=true&service=w";
    let request = TokenRequest::parse_query(query).unwrap();
    assert!(request.wants_refresh_token);
    assert_eq!(
        (request.account.as_str(), request.client_id.as_str()),
        ("alice", "docker")
    );
    assert_eq!(request.grant, Grant::Header);
}

#[test]
fn a_form_carries_a_password_with_any_bytes() {
    let body = b"grant_type=password&service=w&client_id=containerd-client&username=a%20b&password=p%26%2B+%FF%zz&access_type=offline";
    let request = TokenRequest::parse_form(body).unwrap();
    assert!(request.wants_refresh_token);
    let Grant::Password(login) = &request.grant else {
        panic!("{request:?}")
    };
    assert_eq!(login.name, "a b");
    assert_eq!(login.password.as_slice(), b"p&+ \xff%zz");
}

#[test]
fn a_form_carries_a_refresh_token_or_nothing() {
    let request =
        TokenRequest::parse_form(b"grant_type=refresh_token&refresh_token=abc&scope=repository:a:pull").unwrap();
    assert_eq!(request.grant, Grant::Refresh(Zeroizing::new("abc".into())));
    assert_eq!(TokenRequest::parse_form(b"service=w").unwrap().grant, Grant::Header);
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let error = |body: &[u8]| TokenRequest::parse_form(body).unwrap_err();
    assert_eq!(
        error(b"grant_type=password&username=a"),
        RequestError::Missing("password")
    );
    assert_eq!(
        error(b"grant_type=password&password=a"),
        RequestError::Missing("username")
    );
    assert_eq!(
        error(b"grant_type=refresh_token"),
        RequestError::Missing("refresh_token")
    );
    assert_eq!(error(b"grant_type=client_credentials"), RequestError::GrantType);
    assert_eq!(error(b"grant_type=client_credentials").code(), "unsupported_grant_type");
    assert_eq!(error(b"username=%ff"), RequestError::Encoding);
    assert_eq!(error(b"\xff"), RequestError::Encoding);
    let many = "scope=repository:a:pull&".repeat(201);
    assert_eq!(error(many.as_bytes()), RequestError::TooMany);
}

#[test]
fn each_repository_is_named_once() {
    let query = "scope=repository:a:pull&scope=repository:a:push&scope=repository:B:pull&scope=registry:catalog:*";
    let names = TokenRequest::parse_query(query).unwrap().repositories();
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn debug_shows_no_secret() {
    for body in [
        "grant_type=password&username=alice&password=planted",
        "grant_type=refresh_token&refresh_token=planted",
    ] {
        assert!(!format!("{:?}", TokenRequest::parse_form(body.as_bytes())).contains("planted"));
    }
}

proptest! {
    #[test]
    fn nothing_panics(body: Vec<u8>, query: String) {
        let _ = TokenRequest::parse_form(&body);
        let _ = TokenRequest::parse_query(&query);
    }
}
