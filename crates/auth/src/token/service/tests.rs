use std::net::Ipv4Addr;

use jiff::Timestamp;
use proptest::prelude::proptest;
use serde_json::{Value, json};

use super::*;
use crate::{
    Config, Limits, PasswordQueue, Tools,
    accounts::Actor,
    test_tools::{Index, password, random},
    token::{SigningKey, TokenError},
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct Desk {
    index: Index,
    authenticator: Authenticator,
}

impl Desk {
    async fn new() -> Self {
        let index = Index::new();
        let authenticator = start(&index).await;
        let accounts = authenticator.accounts().unwrap();
        for (name, is_admin) in [("alice", false), ("root", true)] {
            accounts
                .create(name, password("correct horse"), is_admin, Actor::PROGRAM)
                .await
                .unwrap();
        }
        Self { index, authenticator }
    }

    async fn ask(&self, request: &TokenRequest, header: Option<&str>) -> Result<TokenAnswer, Failure> {
        let service = self.authenticator.token_service().unwrap();
        let authorization = header.map(|header| Authorization::new(header.as_bytes()));
        let principal = service.authenticate(request, authorization, HERE).await?;
        service.answer(&principal, request, visibility).await
    }

    async fn get(&self, query: &str, header: Option<&str>) -> Result<TokenAnswer, Failure> {
        self.ask(&TokenRequest::parse_query(query).unwrap(), header).await
    }

    async fn post(&self, body: &str) -> Result<TokenAnswer, Failure> {
        self.ask(&TokenRequest::parse_form(body.as_bytes()).unwrap(), None)
            .await
    }

    async fn use_token(&self, token: &str) -> Result<Arc<Principal>, Failure> {
        let header = format!("Bearer {token}");
        let authorization = Authorization::new(header.as_bytes());
        self.authenticator.authenticate(Some(authorization), HERE).await
    }

    async fn refused(&self, token: &str) -> TokenError {
        match self.use_token(token).await {
            Err(Failure::Token(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

async fn start(index: &Index) -> Authenticator {
    let accounts = index.accounts();
    let keys = accounts.signing_keys().await.unwrap();
    let tokens = OwnTokens::new("wharf", 900, keys, random()).unwrap();
    let tools = Tools {
        clock: index.clock.clock(),
        random: random(),
        passwords: PasswordQueue::new(2, 100),
        limits: Limits::default(),
        remembered: 1000,
        observe: Arc::new(|_| ()),
    };
    Authenticator::new(Config::BuiltIn { accounts, tokens }, tools)
        .unwrap()
        .0
}

fn visibility(name: &RepositoryName) -> Visibility {
    match name.as_str().split('/').next() {
        Some("open") => Visibility::Public,
        Some("house") => Visibility::Internal,
        _ => Visibility::Private,
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn payload(token: &str) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn docker_login_gets_a_token_that_works() {
    let desk = Desk::new().await;
    let query = "account=alice&client_id=docker&offline_token=true&service=wharf";
    let answer = desk.get(query, Some(&basic("alice", "correct horse"))).await.unwrap();
    assert_eq!(answer.token, answer.access_token);
    assert!(answer.expires_in >= 60);
    assert_eq!(answer.issued_at, "2027-01-15T08:00:00Z");
    assert!(answer.refresh_token.is_some());
    let principal = desk.use_token(&answer.token).await.unwrap();
    assert_eq!(
        (principal.name(), principal.scopes.as_deref()),
        ("alice", Some(&[][..]))
    );
    let claims = payload(&answer.token);
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&json!("wharf"), &json!("alice"), &json!("wharf"))
    );
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(),
        answer.expires_in
    );
    let body = serde_json::to_value(&answer).unwrap();
    assert!(body["refresh_token"].is_string() && body["access_token"].is_string());
}

#[tokio::test]
async fn nobody_gets_a_token_for_public_pulls() {
    let desk = Desk::new().await;
    let query =
        "service=wharf&scope=repository:open/app:pull,push&scope=repository:house/app:pull&scope=repository:x:pull";
    let answer = desk.get(query, None).await.unwrap();
    assert_eq!(answer.scope, "repository:open/app:pull");
    let principal = desk.use_token(&answer.token).await.unwrap();
    assert!(principal.is_anonymous());
    let name = "open/app".parse().unwrap();
    let resource = Resource::Repository(&name, Visibility::Public);
    assert!(decide(&principal, Action::Pull, resource).is_allowed());
    assert!(!decide(&principal, Action::Push, resource).is_allowed());
    let answer = desk.get("service=wharf&offline_token=true", None).await.unwrap();
    assert_eq!(answer.refresh_token, None, "nobody is nobody to come back as");
}

#[tokio::test]
async fn scopes_are_cut_to_rights_and_never_widened() {
    let desk = Desk::new().await;
    let query = "scope=repository:alice/app:*&scope=repository:house/app:pull,push&scope=repository:root/app:pull\
                 &scope=registry:catalog:*&scope=registry:other:*&scope=system:x:*&scope=repository:alice/app:pull\
                 &scope=repository:UPPER:pull&scope=repository:alice/../x:pull";
    let answer = desk.get(query, Some(&basic("alice", "correct horse"))).await.unwrap();
    assert_eq!(
        answer.scope,
        "repository:alice/app:pull,push,delete repository:house/app:pull registry:catalog:*"
    );
    let principal = desk.use_token(&answer.token).await.unwrap();
    let other = "alice/other".parse().unwrap();
    let resource = Resource::Repository(&other, Visibility::Private);
    assert!(
        !decide(&principal, Action::Push, resource).is_allowed(),
        "hers, but not in this token"
    );
}

#[tokio::test]
async fn an_administrator_token_gives_no_more_than_its_scopes() {
    let desk = Desk::new().await;
    let answer = desk
        .get("scope=repository:any/app:pull", Some(&basic("root", "correct horse")))
        .await
        .unwrap();
    let principal = desk.use_token(&answer.token).await.unwrap();
    assert!(!decide(&principal, Action::Administer, Resource::System).is_allowed());
    assert!(!decide(&principal, Action::List, Resource::Catalog).is_allowed());
}

#[tokio::test]
async fn a_wrong_password_is_said_honestly() {
    let desk = Desk::new().await;
    let wrong = desk
        .get(
            "service=wharf&scope=repository:open/app:pull",
            Some(&basic("alice", "wrong")),
        )
        .await;
    assert!(matches!(wrong, Err(Failure::WrongCredentials)));
    let wrong = desk.post("grant_type=password&username=alice&password=wrong").await;
    assert!(matches!(wrong, Err(Failure::WrongCredentials)));
    let wrong = desk.post("grant_type=refresh_token&refresh_token=wrong").await;
    assert!(matches!(wrong, Err(Failure::WrongCredentials)));
    let odd = desk
        .post("grant_type=password&username=alice:correct+horse&password=x")
        .await;
    assert!(matches!(odd, Err(Failure::WrongCredentials)));
}

#[tokio::test]
async fn a_form_with_a_password_and_one_with_its_refresh_token_work_over_a_restart() {
    let mut desk = Desk::new().await;
    let body =
        "grant_type=password&username=alice&password=correct+horse&service=wharf&client_id=x&access_type=offline";
    let refresh = desk.post(body).await.unwrap().refresh_token.unwrap();
    desk.authenticator = start(&desk.index).await;
    let body =
        format!("grant_type=refresh_token&refresh_token={refresh}&scope=repository:alice/app:push&service=wharf");
    let answer = desk.post(&body).await.unwrap();
    assert_eq!(
        (answer.scope.as_str(), answer.refresh_token.as_deref()),
        ("repository:alice/app:push", None)
    );
    desk.use_token(&answer.token).await.unwrap();
    let again = desk.post(&format!("{body}&access_type=offline")).await.unwrap();
    assert_eq!(again.refresh_token, Some(refresh));
}

#[tokio::test]
async fn a_reset_ends_tokens_and_refresh_tokens_even_over_a_restart() {
    let mut desk = Desk::new().await;
    let header = basic("alice", "correct horse");
    let answer = desk.get("offline_token=true", Some(&header)).await.unwrap();
    let (token, refresh) = (answer.token, answer.refresh_token.unwrap());
    desk.use_token(&token).await.unwrap();
    let accounts = desk.authenticator.accounts().unwrap();
    accounts
        .reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    assert_eq!(desk.refused(&token).await, TokenError::Revoked);
    desk.authenticator = start(&desk.index).await;
    assert_eq!(desk.refused(&token).await, TokenError::Revoked);
    let again = desk
        .post(&format!("grant_type=refresh_token&refresh_token={refresh}"))
        .await;
    assert!(matches!(again, Err(Failure::WrongCredentials)));
}

#[tokio::test]
async fn an_old_password_that_is_still_remembered_here_buys_no_token() {
    let desk = Desk::new().await;
    let header = basic("alice", "correct horse");
    desk.get("", Some(&header)).await.unwrap();
    let elsewhere = desk.index.accounts();
    elsewhere
        .reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    let authorization = Some(Authorization::new(header.as_bytes()));
    desk.authenticator.authenticate(authorization, HERE).await.unwrap();
    let late = desk.get("offline_token=true", Some(&header)).await;
    assert!(matches!(late, Err(Failure::WrongCredentials)), "{late:?}");
}

#[tokio::test]
async fn a_token_survives_a_restart_and_ends_by_itself() {
    let mut desk = Desk::new().await;
    let token = desk
        .get("", Some(&basic("alice", "correct horse")))
        .await
        .unwrap()
        .token;
    desk.authenticator = start(&desk.index).await;
    desk.use_token(&token).await.unwrap();
    desk.index.clock.advance(961_000);
    desk.authenticator.accounts().unwrap().poll().await.unwrap();
    assert_eq!(desk.refused(&token).await, TokenError::Expired);
}

#[tokio::test]
async fn a_token_buys_no_other_token_and_is_no_password() {
    let desk = Desk::new().await;
    let token = desk
        .get("", Some(&basic("alice", "correct horse")))
        .await
        .unwrap()
        .token;
    let traded = desk
        .get("scope=repository:alice/app:push", Some(&format!("Bearer {token}")))
        .await;
    assert!(matches!(traded, Err(Failure::OtherKind("bearer"))));
    let as_password = desk.get("", Some(&basic("alice", &token))).await;
    assert!(matches!(as_password, Err(Failure::WrongCredentials)));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let desk = Desk::new().await;
    let token = desk
        .get("", Some(&basic("alice", "correct horse")))
        .await
        .unwrap()
        .token;
    let claims = payload(&token);
    let signature = token.rsplit('.').next().unwrap();
    let kid = desk.authenticator.token_service().unwrap().jwks()["keys"][0]["kid"].clone();
    let forge = |header: Value, claims: &Value, signature: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&header), part(claims))
    };
    let mut wider = claims.clone();
    wider["access"] = json!([{ "type": "repository", "name": "root/app", "actions": ["*"] }]);
    let header = json!({ "alg": "ES256", "kid": kid });
    assert_eq!(
        desk.refused(&forge(header, &wider, signature)).await,
        TokenError::Signature
    );
    for alg in ["none", "HS256", "RS256"] {
        let header = json!({ "alg": alg, "kid": kid });
        assert_eq!(desk.refused(&forge(header, &wider, "")).await, TokenError::Algorithm);
    }
    // Another registry's key, under its own name, under ours, and brought along.
    let (stranger, _) = SigningKey::generate().unwrap();
    let theirs = OwnTokens::new("wharf", 900, vec![stranger], random()).unwrap();
    let now = Timestamp::from_second(desk.index.clock.seconds()).unwrap();
    let principal = Principal::whole(Identity::User {
        id: 1,
        name: "alice".into(),
        is_admin: true,
    });
    let forged = theirs.sign(&principal, Some(1), &[], now).unwrap();
    assert_eq!(desk.refused(&forged).await, TokenError::UntrustedKey);
    let parts: Vec<_> = forged.split('.').collect();
    let jwk = theirs.jwks()["keys"][0].clone();
    for header in [
        json!({ "alg": "ES256", "kid": kid }),
        json!({ "alg": "ES256", "kid": kid, "jwk": jwk }),
    ] {
        let renamed = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            parts[1],
            parts[2]
        );
        assert_eq!(desk.refused(&renamed).await, TokenError::Signature);
    }
    let nameless = json!({ "alg": "ES256", "jwk": jwk });
    let nameless = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(nameless.to_string()),
        parts[1],
        parts[2]
    );
    assert_eq!(desk.refused(&nameless).await, TokenError::UntrustedKey);
}

#[tokio::test]
async fn a_token_of_another_service_with_the_same_key_is_refused() {
    let desk = Desk::new().await;
    let keys = desk.authenticator.accounts().unwrap().signing_keys().await.unwrap();
    let other = OwnTokens::new("other", 900, keys, random()).unwrap();
    let now = Timestamp::from_second(desk.index.clock.seconds()).unwrap();
    let token = other.sign(&Principal::anonymous(), None, &[], now).unwrap();
    assert_eq!(desk.refused(&token).await, TokenError::Issuer);
}

#[tokio::test]
async fn the_key_set_checks_our_tokens_and_holds_nothing_private() {
    let desk = Desk::new().await;
    let token = desk.get("", None).await.unwrap().token;
    let set = desk.authenticator.token_service().unwrap().jwks();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks");
    std::fs::write(&path, set.to_string()).unwrap();
    let issuer = crate::token::ExternalIssuer::open(&crate::token::ExternalConfig {
        service: "wharf".into(),
        issuer: "wharf".into(),
        jwks: Some(path),
        ..Default::default()
    })
    .unwrap();
    let now = Timestamp::from_second(desk.index.clock.seconds()).unwrap();
    issuer.verify(&token, now).unwrap();
    assert!(set["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn debug_shows_no_token() {
    let desk = Desk::new().await;
    let answer = desk
        .get("offline_token=true", Some(&basic("alice", "correct horse")))
        .await
        .unwrap();
    let shown = format!(
        "{answer:?} {:?} {:?}",
        desk.authenticator,
        desk.authenticator.token_service()
    );
    for secret in [
        answer.token.as_str(),
        answer.refresh_token.as_deref().unwrap(),
        "correct horse",
    ] {
        assert!(!shown.contains(secret));
    }
}

proptest! {
    /// Whatever is asked for, nothing is given that the rules do not give.
    #[test]
    fn a_cut_never_widens(names in proptest::collection::vec("(open|house|alice|root|x)(/[a-c]{1,2})?", 0..6),
                          actions in proptest::collection::vec("pull|push|delete|\\*|admin", 0..4)) {
        let principal = Principal::whole(Identity::User { id: 1, name: "alice".into(), is_admin: false });
        let scopes: Vec<Scope> = names.iter().map(|name| {
            let actions: Vec<_> = actions.iter().map(String::as_str).collect();
            Scope::repository(name, &actions)
        }).collect();
        for given in cut(&principal, &scopes, visibility) {
            let name: RepositoryName = given.name.parse().unwrap();
            for action in &given.actions {
                let action = match action.as_str() {
                    "pull" => Action::Pull,
                    "push" => Action::Push,
                    "delete" => Action::Delete,
                    other => panic!("{other}"),
                };
                assert!(decide(&principal, action, Resource::Repository(&name, visibility(&name))).is_allowed());
                assert!(actions.iter().any(|wanted| wanted == "*" || wanted == action.as_str()));
            }
        }
    }
}
