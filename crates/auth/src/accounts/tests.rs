use super::*;
use crate::test_tools::{Index, password};

async fn signs_in(accounts: &Accounts, name: &str, text: &str) -> bool {
    let login = Login {
        name: name.to_owned(),
        password: password(text),
    };
    accounts.verify(login).await.unwrap().is_some()
}

async fn alice(accounts: &Accounts) -> Account {
    accounts
        .create("alice", password("correct horse"), false, Actor::PROGRAM)
        .await
        .unwrap()
}

fn error<T: std::fmt::Debug>(result: Result<T, AccountsError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn an_account_signs_in_with_its_password_in_any_case_of_its_name() {
    let index = Index::new();
    let accounts = index.accounts();
    let made = alice(&accounts).await;
    assert_eq!((made.name.as_str(), made.is_admin), ("alice", false));
    assert!(signs_in(&accounts, "alice", "correct horse").await);
    assert!(signs_in(&accounts, "Alice", "correct horse").await);
    assert!(!signs_in(&accounts, "alice", "correct horsf").await);
    assert!(!signs_in(&accounts, "alice", "").await);
    for name in ["bob", "", "../alice", "alice\0", "<token>"] {
        assert!(!signs_in(&accounts, name, "correct horse").await, "{name}");
    }
    assert!(
        error(
            accounts
                .create("alice", password("another one"), true, Actor::PROGRAM)
                .await
        )
        .contains("exists already")
    );
}

#[tokio::test]
async fn names_that_cannot_own_a_project_are_refused() {
    for name in ["a", "ci-bot", "a.b_c", "x1", &"a".repeat(255)] {
        assert!(check_login(name).is_ok(), "{name}");
    }
    for name in [
        "",
        "A",
        "a b",
        "-a",
        "a-",
        ".a",
        "a..b",
        "a/b",
        "ü",
        "a:b",
        "$a",
        "..",
        &"a".repeat(256),
    ] {
        assert!(check_login(name).is_err(), "{name}");
    }
}

#[tokio::test]
async fn passwords_that_are_too_short_or_too_long_are_refused() {
    let index = Index::new();
    let accounts = index.accounts();
    let short = accounts
        .create("alice", password("seven77"), false, Actor::PROGRAM)
        .await;
    assert_eq!(error(short), "password must have at least 8 characters");
    let umlauts = accounts.create("alice", password("üüüü"), false, Actor::PROGRAM).await;
    assert!(umlauts.is_err(), "characters count, not bytes");
    let long = accounts
        .create("alice", password(&"x".repeat(1025)), false, Actor::PROGRAM)
        .await;
    assert_eq!(error(long), "password must have at most 1024 bytes");
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_is_in_the_audit_log() {
    let index = Index::new();
    let accounts = index.accounts();
    let before = alice(&accounts).await;
    let actor = Actor {
        name: "root",
        address: "192.0.2.1",
    };
    accounts
        .reset_password("alice", password("planted secret"), actor)
        .await
        .unwrap();
    assert!(!signs_in(&accounts, "alice", "correct horse").await);
    assert!(signs_in(&accounts, "alice", "planted secret").await);
    let after = accounts.by_id(before.id).await.unwrap().unwrap();
    assert!(after.credential_version > before.credential_version);

    let log = index.open().read_blocking(|tx| audit_log::page(tx, None, 10)).unwrap();
    let line = &log[0];
    assert_eq!(
        (
            line.actor.as_str(),
            line.action.as_str(),
            line.subject.as_str(),
            line.address.as_str()
        ),
        ("root", "user.reset_password", "alice", "192.0.2.1")
    );
    assert_eq!(log[1].action, "user.create");
    assert!(!format!("{log:?}").contains("planted"));
    let unknown = accounts
        .reset_password("bob", password("whatever it is"), Actor::PROGRAM)
        .await;
    assert_eq!(error(unknown), "there is no account \"bob\"");
}

#[tokio::test]
async fn a_disabled_account_is_as_good_as_none() {
    let index = Index::new();
    let accounts = index.accounts();
    let account = alice(&accounts).await;
    accounts.set_disabled("alice", true, Actor::PROGRAM).await.unwrap();
    assert!(!signs_in(&accounts, "alice", "correct horse").await);
    assert_eq!(accounts.by_id(account.id).await.unwrap(), None);
    accounts.set_disabled("alice", false, Actor::PROGRAM).await.unwrap();
    assert!(signs_in(&accounts, "alice", "correct horse").await);
}

#[tokio::test]
async fn the_first_administrator_is_made_once_with_a_password_that_people_can_type() {
    let index = Index::new();
    let accounts = index.accounts();
    let shown = accounts.ensure_administrator(None).await.unwrap().unwrap();
    assert_eq!(shown.len(), 24);
    assert!(
        shown
            .chars()
            .all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit())
    );
    assert!(!shown.contains(['l', 'o', '0', '1']));
    assert!(signs_in(&accounts, "admin", &shown).await);
    assert!(accounts.ensure_administrator(None).await.unwrap().is_none());
    assert!(
        index.accounts().ensure_administrator(None).await.unwrap().is_none(),
        "nor after a restart"
    );
}

#[tokio::test]
async fn a_given_administrator_password_is_taken_and_not_shown() {
    let index = Index::new();
    let accounts = index.accounts();
    let shown = accounts
        .ensure_administrator(Some(password("from the environment")))
        .await
        .unwrap();
    assert!(shown.is_none());
    assert!(signs_in(&accounts, "admin", "from the environment").await);
    let user = accounts
        .metadata
        .read_blocking(|tx| users::find(tx, "admin"))
        .unwrap()
        .unwrap();
    assert!(user.is_admin && user.password_hash.starts_with("$argon2id$"));
}

#[tokio::test]
async fn another_process_learns_of_a_change_at_its_next_poll() {
    let index = Index::new();
    let (here, there) = (index.accounts(), index.accounts());
    let account = alice(&here).await;
    let now = (index.clock.clock())();
    there.poll().await.unwrap();
    let is_current = |accounts: &Accounts| {
        accounts
            .versions()
            .is_current(account.id, account.credential_version, now)
    };
    assert!(is_current(&here) && is_current(&there));
    here.reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    assert!(!is_current(&here), "at once");
    assert!(is_current(&there), "not told yet");
    there.poll().await.unwrap();
    assert!(!is_current(&there));
}

#[tokio::test]
async fn a_process_that_does_not_poll_stops_trusting_its_memory() {
    let index = Index::new();
    let accounts = index.accounts();
    let current = |accounts: &Accounts| accounts.versions().is_current(1, 1, (index.clock.clock())());
    index.clock.advance(10_000);
    assert!(!current(&accounts));
    accounts.poll().await.unwrap();
    assert!(current(&accounts));
}

#[tokio::test]
async fn the_signing_key_is_made_once_and_kept() {
    let index = Index::new();
    let first = index.accounts().signing_keys().await.unwrap();
    let again = index.accounts().signing_keys().await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].id(), again[0].id());
}

#[tokio::test]
async fn a_retired_key_checks_for_a_day_and_signs_no_more() {
    let index = Index::new();
    let accounts = index.accounts();
    let old = accounts.signing_keys().await.unwrap()[0].id().to_owned();
    let now = wharf_metadata::Timestamp::from((index.clock.clock())());
    let retired = old.clone();
    accounts
        .metadata
        .write(move |tx| keys::retire(tx, &retired, now))
        .await
        .unwrap();
    let keys = accounts.signing_keys().await.unwrap();
    assert_eq!((keys.len(), keys[1].id()), (2, old.as_str()));
    index.clock.advance(25 * 3600 * 1000);
    accounts.tidy().await.unwrap();
    assert_eq!(accounts.signing_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refresh_token_survives_a_restart_and_ends_with_the_password() {
    let index = Index::new();
    let accounts = index.accounts();
    let account = alice(&accounts).await;
    let token = accounts.issue_refresh_token(&account, "wharf").await.unwrap();
    let accounts = index.accounts();
    assert_eq!(accounts.by_refresh_token(&token).await.unwrap(), Some(account));
    for wrong in ["", "x", &token[1..]] {
        assert_eq!(accounts.by_refresh_token(wrong).await.unwrap(), None);
    }
    accounts
        .reset_password("alice", password("another horse"), Actor::PROGRAM)
        .await
        .unwrap();
    assert_eq!(accounts.by_refresh_token(&token).await.unwrap(), None);
    assert_eq!(index.accounts().by_refresh_token(&token).await.unwrap(), None);
}

#[tokio::test]
async fn a_refresh_token_ends_after_a_year_and_is_stored_as_a_hash() {
    let index = Index::new();
    let accounts = index.accounts();
    let account = alice(&accounts).await;
    let token = accounts.issue_refresh_token(&account, "wharf").await.unwrap();
    let rows = index
        .open()
        .read_blocking(|tx| refresh_tokens::find(tx, token.as_bytes()))
        .unwrap();
    assert_eq!(rows, None, "not by itself");
    index.clock.advance(365 * 24 * 3600 * 1000 + 1);
    assert_eq!(accounts.by_refresh_token(&token).await.unwrap(), None);
    accounts.tidy().await.unwrap();
    let hash = hash_of(&token);
    assert_eq!(
        index
            .open()
            .read_blocking(|tx| refresh_tokens::find(tx, &hash))
            .unwrap(),
        None
    );
}
