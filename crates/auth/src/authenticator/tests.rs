use std::{fs, net::Ipv4Addr, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use wharf_access::{Action, Decision, Resource, decide};

use super::*;
use crate::{
    accounts::Actor,
    test_tools::{Index, ManualClock, password, random},
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The password is `secret`.
const HASH: &str = "$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6";
const BASE: Base<'static> = Base {
    url: "https://registry.example.com",
    is_certain: true,
};

fn tools(clock: &ManualClock) -> Tools {
    Tools {
        clock: clock.clock(),
        random: random(),
        passwords: PasswordQueue::new(2, 100),
        limits: Limits::default(),
        remembered: 1000,
        observe: Arc::new(|_| ()),
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn ask(authenticator: &Authenticator, header: &str) -> Result<Arc<Principal>, Failure> {
    let authorization = Authorization::new(header.as_bytes());
    authenticator.authenticate(Some(authorization), HERE).await
}

struct Htpasswd {
    folder: tempfile::TempDir,
    clock: ManualClock,
    authenticator: Authenticator,
}

impl Htpasswd {
    fn new(text: &str) -> Self {
        Self::with(text, PasswordQueue::new(2, 100))
    }

    fn with(text: &str, passwords: PasswordQueue) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
        let path = folder.path().join("htpasswd");
        fs::write(&path, text).unwrap();
        let config = Config::Htpasswd {
            realm: "Registry Realm".into(),
            path,
        };
        let tools = Tools {
            passwords,
            ..tools(&clock)
        };
        let authenticator = Authenticator::new(config, tools).unwrap().0;
        Self {
            folder,
            clock,
            authenticator,
        }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("htpasswd"), text).unwrap();
    }

    async fn signs_in(&self, name: &str, password: &str) -> bool {
        ask(&self.authenticator, &basic(name, password)).await.is_ok()
    }
}

#[tokio::test]
async fn an_open_registry_asks_nobody() {
    let authenticator = Authenticator::new(Config::Open, tools(&ManualClock::new())).unwrap().0;
    let nobody = authenticator.authenticate(None, HERE).await.unwrap();
    assert_eq!(nobody.identity, Identity::Unguarded);
    assert_eq!(
        ask(&authenticator, "nonsense").await.unwrap().identity,
        Identity::Unguarded
    );
}

#[tokio::test]
async fn silly_takes_any_header_but_wants_one() {
    let config = Config::Silly {
        realm: "https://auth/".into(),
        service: "s".into(),
    };
    let authenticator = Authenticator::new(config, tools(&ManualClock::new())).unwrap().0;
    assert!(authenticator.authenticate(None, HERE).await.unwrap().is_anonymous());
    let somebody = ask(&authenticator, "nonsense").await.unwrap();
    let name = "team/app".parse().unwrap();
    let resource = Resource::Repository(&name, wharf_access::Visibility::Private);
    assert_eq!(decide(&somebody, Action::Push, resource), Decision::Allowed);
    let challenge = authenticator.challenge(Reason::Credentials, &[Scope::catalog()], BASE);
    assert_eq!(
        challenge.to_string(),
        r#"Bearer realm="https://auth/",service="s",scope="registry:catalog:*""#
    );
}

#[tokio::test]
async fn an_htpasswd_user_signs_in_and_others_do_not() {
    let desk = Htpasswd::new(&format!("alice:{HASH}\nold:$apr1$x$y\n"));
    let alice = ask(&desk.authenticator, &basic("alice", "secret")).await.unwrap();
    assert_eq!(*alice, Principal::whole(Identity::Htpasswd("alice".into())));
    assert!(!desk.signs_in("alice", "Secret").await);
    assert!(!desk.signs_in("old", "secret").await);
    assert!(!desk.signs_in("bob", "secret").await);
    let failure = ask(&desk.authenticator, &basic("bob", "secret")).await.unwrap_err();
    assert_eq!(failure.to_string(), "wrong user name or password");
    assert_eq!(failure.reason(), Some(Reason::Credentials));
    let bearer = ask(&desk.authenticator, "Bearer abc").await.unwrap_err();
    assert!(matches!(bearer, Failure::OtherKind("bearer")));
    let challenge = desk.authenticator.challenge(Reason::Credentials, &[], BASE);
    assert_eq!(challenge.to_string(), r#"Basic realm="Registry Realm""#);
}

#[tokio::test]
async fn every_outcome_is_told() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let path = folder.path().join("htpasswd");
    fs::write(&path, format!("alice:{HASH}\n")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tools = Tools {
        observe: Arc::new(move |outcome| heard.lock().unwrap().push(outcome)),
        ..tools(&clock)
    };
    let realm = "r".to_owned();
    let authenticator = Authenticator::new(Config::Htpasswd { realm, path }, tools).unwrap().0;
    authenticator.authenticate(None, HERE).await.unwrap();
    for _ in 0..2 {
        ask(&authenticator, &basic("alice", "secret")).await.unwrap();
    }
    for _ in 0..7 {
        let _ = ask(&authenticator, &basic("alice", "wrong")).await;
    }
    let told = told.lock().unwrap();
    let first = [
        Outcome::Anonymous,
        Outcome::Verified,
        Outcome::Remembered,
        Outcome::Failed,
    ];
    assert_eq!((&told[..4], told.last()), (&first[..], Some(&Outcome::Limited)));
}

#[tokio::test]
async fn a_missing_htpasswd_file_gets_a_user_who_can_sign_in() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let config = Config::Htpasswd {
        realm: "r".into(),
        path: folder.path().join("htpasswd"),
    };
    let (authenticator, made) = Authenticator::new(config, tools(&clock)).unwrap();
    let made = made.unwrap();
    ask(&authenticator, &basic(made.user, &made.password)).await.unwrap();
}

#[tokio::test]
async fn a_user_taken_out_of_the_file_is_out_within_a_second_though_remembered() {
    let desk = Htpasswd::new(&format!("alice:{HASH}\n"));
    assert!(desk.signs_in("alice", "secret").await);
    desk.write("# nobody\n");
    desk.clock.advance(1000);
    assert!(!desk.signs_in("alice", "secret").await);
    desk.write(&format!("alice:{HASH}\n"));
    desk.clock.advance(1000);
    assert!(desk.signs_in("alice", "secret").await);
}

#[tokio::test]
async fn guessing_is_slowed_but_a_remembered_password_never() {
    let desk = Htpasswd::new(&format!("alice:{HASH}\n"));
    assert!(desk.signs_in("alice", "secret").await);
    for _ in 0..6 {
        assert!(!desk.signs_in("alice", "wrong").await);
    }
    let failure = ask(&desk.authenticator, &basic("alice", "wrong")).await.unwrap_err();
    assert!(matches!(failure, Failure::Throttled(_)));
    assert_eq!((failure.reason(), failure.retry_after().unwrap().as_secs()), (None, 1));
    assert!(desk.signs_in("alice", "secret").await, "remembered");
    let other_case = ask(&desk.authenticator, &basic("Alice", "wrong")).await.unwrap_err();
    assert!(
        matches!(other_case, Failure::Throttled(_)),
        "the case of a name is no way around"
    );
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    let header = basic("alice", "secret").replace("Basic", "basic");
    let authorization = Authorization::new(header.as_bytes());
    desk.authenticator
        .authenticate(Some(authorization), elsewhere)
        .await
        .unwrap();
}

#[tokio::test]
async fn many_requests_with_one_password_pay_for_one_check() {
    // Two checks at a time would be one too many for this queue.
    let desk = Htpasswd::with(&format!("alice:{HASH}\n"), PasswordQueue::new(1, 0));
    let header = basic("alice", "secret");
    let requests = (0..50).map(|_| ask(&desk.authenticator, &header)).collect();
    for result in at_once(requests).await {
        assert_eq!(result.unwrap().name(), "alice");
    }
    assert!(format!("{:?}", desk.authenticator).contains("credentials: 1"));
}

/// Begins all before it waits for any.
async fn at_once<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done = Vec::new();
    waiting.retain_mut(|future| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => done.push(result),
            std::task::Poll::Pending => return true,
        }
        false
    });
    for future in waiting {
        done.push(future.await);
    }
    done
}

struct BuiltIn {
    index: Index,
    authenticator: Authenticator,
}

impl BuiltIn {
    async fn new() -> Self {
        let index = Index::new();
        let authenticator = Self::start(&index).await;
        let accounts = authenticator.accounts().unwrap();
        accounts
            .create("alice", password("correct horse"), false, Actor::PROGRAM)
            .await
            .unwrap();
        Self { index, authenticator }
    }

    async fn start(index: &Index) -> Authenticator {
        let accounts = index.accounts();
        let keys = accounts.signing_keys().await.unwrap();
        let tokens = OwnTokens::new("wharf", 900, keys, random()).unwrap();
        Authenticator::new(Config::BuiltIn { accounts, tokens }, tools(&index.clock))
            .unwrap()
            .0
    }
}

#[tokio::test]
async fn a_local_account_signs_in_and_a_reset_ends_what_was_remembered_at_once() {
    let desk = BuiltIn::new().await;
    let header = basic("alice", "correct horse");
    let alice = ask(&desk.authenticator, &header).await.unwrap();
    assert_eq!(alice.name(), "alice");
    ask(&desk.authenticator, &header).await.unwrap();
    let accounts = desk.authenticator.accounts().unwrap();
    accounts
        .reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    assert!(matches!(
        ask(&desk.authenticator, &header).await,
        Err(Failure::WrongCredentials)
    ));
    ask(&desk.authenticator, &basic("alice", "another horse"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_reset_elsewhere_ends_what_was_remembered_after_a_poll_or_ten_seconds() {
    let desk = BuiltIn::new().await;
    let elsewhere = desk.index.accounts();
    let old = basic("alice", "correct horse");
    ask(&desk.authenticator, &old).await.unwrap();
    elsewhere
        .reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    ask(&desk.authenticator, &old).await.unwrap();
    desk.authenticator.accounts().unwrap().poll().await.unwrap();
    assert!(matches!(
        ask(&desk.authenticator, &old).await,
        Err(Failure::WrongCredentials)
    ));

    let new = basic("alice", "another horse");
    ask(&desk.authenticator, &new).await.unwrap();
    elsewhere
        .reset_password("alice", password("a third horse"), Actor::PROGRAM)
        .await
        .unwrap();
    desk.index.clock.advance(10_000);
    assert!(matches!(
        ask(&desk.authenticator, &new).await,
        Err(Failure::WrongCredentials)
    ));
}

#[tokio::test]
async fn the_challenge_names_the_token_service_unless_the_scheme_is_doubtful() {
    let desk = BuiltIn::new().await;
    let scopes = [
        Scope::repository("team/app", &["pull", "push"]),
        Scope::repository("base", &["pull"]),
    ];
    let challenge = desk.authenticator.challenge(Reason::InsufficientScope, &scopes, BASE);
    assert_eq!(
        challenge.to_string(),
        r#"Bearer realm="https://registry.example.com/service/token",service="wharf",scope="repository:team/app:pull,push repository:base:pull",error="insufficient_scope""#
    );
    let plain = desk.authenticator.challenge(Reason::Credentials, &[], BASE);
    assert_eq!(
        plain.to_string(),
        r#"Bearer realm="https://registry.example.com/service/token",service="wharf""#
    );
    let doubtful = Base {
        url: "http://registry.example.com",
        is_certain: false,
    };
    let challenge = desk.authenticator.challenge(Reason::Credentials, &scopes, doubtful);
    assert_eq!(challenge.to_string(), r#"Basic realm="wharf""#);
}

#[tokio::test]
async fn basic_credentials_are_of_no_use_with_an_external_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks");
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    fs::write(&jwks, key).unwrap();
    let mut config = ExternalConfig {
        realm: "https://auth/token".into(),
        service: "registry".into(),
        jwks: Some(jwks),
        ..ExternalConfig::default()
    };
    let clock = ManualClock::new();
    let open = |config: &ExternalConfig| {
        Authenticator::new(Config::Token(config.clone()), tools(&clock))
            .unwrap()
            .0
    };
    let authenticator = open(&config);
    let failure = ask(&authenticator, &basic("alice", "secret")).await.unwrap_err();
    assert_eq!(failure.reason(), Some(Reason::Credentials));
    let failure = ask(&authenticator, "Bearer a.b.c").await.unwrap_err();
    assert_eq!(failure.reason(), Some(Reason::InvalidToken));
    let challenge = authenticator.challenge(Reason::InvalidToken, &[], BASE);
    assert_eq!(
        challenge.to_string(),
        r#"Bearer realm="https://auth/token",service="registry",error="invalid_token""#
    );
    config.autoredirect = Some("/auth/token".into());
    let challenge = open(&config).challenge(Reason::Credentials, &[], BASE);
    assert_eq!(
        challenge.parameter("realm"),
        Some("https://registry.example.com/auth/token")
    );
}

#[tokio::test]
async fn a_full_queue_answers_busy_and_does_not_count_as_a_failure() {
    let desk = BuiltIn::new().await;
    let mut tools = tools(&desk.index.clock);
    tools.passwords = PasswordQueue::new(1, 0);
    let config = Config::BuiltIn {
        accounts: Accounts::new(
            desk.index.open(),
            tools.passwords.clone(),
            tools.clock.clone(),
            random(),
        ),
        tokens: OwnTokens::new(
            "wharf",
            900,
            vec![crate::token::SigningKey::generate().unwrap().0],
            random(),
        )
        .unwrap(),
    };
    let authenticator = Authenticator::new(config, tools).unwrap().0;
    let headers: Vec<_> = (0..20)
        .map(|number| basic("alice", &format!("wrong {number}")))
        .collect();
    let requests = headers.iter().map(|header| ask(&authenticator, header)).collect();
    let mut results = at_once(requests).await;
    let checked = results.pop();
    assert!(matches!(checked, Some(Err(Failure::WrongCredentials))), "{checked:?}");
    assert!(
        results.iter().all(|result| matches!(result, Err(Failure::Busy(_)))),
        "{results:?}"
    );
    assert_eq!(
        results[0].as_ref().unwrap_err().retry_after(),
        Some(Duration::from_secs(1))
    );
}
