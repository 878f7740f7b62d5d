//! Accounts, keys, tokens and the audit log.

use wharf_metadata::audit_log::{self, Line};
use wharf_metadata::error::Kind;
use wharf_metadata::keys::{self, SigningKey};
use wharf_metadata::refresh_tokens::{self, RefreshToken};
use wharf_metadata::users::{self, NewUser};
use wharf_metadata::{Error, Timestamp};

use super::ENGINE;
use crate::fixture::Fixture;

fn create(fixture: &Fixture, name: &'static str) -> Result<i64, Error> {
    let now = fixture.now();
    fixture.metadata.write_blocking(move |tx| {
        let user = NewUser {
            name,
            password_hash: "hash of a secret",
            is_admin: false,
            must_change: true,
        };
        users::create(tx, user, now)
    })
}

#[test]
fn a_login_is_found_in_any_case_and_can_be_taken_once() {
    let fixture = Fixture::on(ENGINE);
    let id = create(&fixture, "Alice").unwrap();
    let found = fixture.read(|tx| users::find(tx, "aLICE")).unwrap();
    assert_eq!((found.id, found.name.as_str(), found.must_change), (id, "alice", true));
    assert_eq!(create(&fixture, "ALICE").unwrap_err().kind(), Kind::Unique);
    assert_eq!(fixture.read(|tx| users::find(tx, "bob")), None);
    create(&fixture, "bob").unwrap();
    assert_eq!(fixture.read(users::count), 2);
    let rest = fixture.read(|tx| users::page(tx, Some("alice"), 10));
    assert_eq!(rest[0].name, "bob");
}

#[test]
fn every_change_of_a_credential_raises_its_version_and_the_counter_that_replicas_poll() {
    let fixture = Fixture::on(ENGINE);
    let alice = create(&fixture, "alice").unwrap();
    create(&fixture, "bob").unwrap();
    let counter = fixture.read(users::credential_counter);
    assert_eq!(fixture.read(|tx| users::credential_versions(tx, counter)), []);
    let now = fixture.now();
    let first = fixture
        .write(move |tx| users::set_password(tx, alice, "other hash", false, now))
        .unwrap();
    let second = fixture
        .write(move |tx| users::set_disabled(tx, alice, true, now))
        .unwrap();
    let third = fixture.write(move |tx| users::set_admin(tx, alice, true, now)).unwrap();
    assert!(counter < first && first < second && second < third);
    assert_eq!(fixture.read(users::credential_counter), third);
    assert_eq!(
        fixture.read(|tx| users::credential_versions(tx, counter)),
        [(alice, third)]
    );
    let found = fixture.read(|tx| users::by_id(tx, alice)).unwrap();
    assert_eq!(found.password_hash, "other hash");
    assert!(found.is_disabled && found.is_admin && !found.must_change);
    assert_eq!(
        fixture.write(move |tx| users::set_password(tx, 99, "x", false, now)),
        None
    );
}

#[test]
fn a_stronger_hash_of_the_same_password_does_not_overtake_a_change() {
    let fixture = Fixture::on(ENGINE);
    let alice = create(&fixture, "alice").unwrap();
    let version = fixture.read(|tx| users::by_id(tx, alice)).unwrap().credential_version;
    assert!(fixture.write(move |tx| users::rehash(tx, alice, version, "stronger")));
    let now = fixture.now();
    fixture.write(move |tx| users::set_password(tx, alice, "new", false, now));
    assert!(!fixture.write(move |tx| users::rehash(tx, alice, version, "late")));
    assert_eq!(fixture.read(|tx| users::by_id(tx, alice)).unwrap().password_hash, "new");
}

#[test]
fn no_secret_shows_in_debug_output() {
    let fixture = Fixture::on(ENGINE);
    let alice = create(&fixture, "alice").unwrap();
    let user = fixture.read(|tx| users::by_id(tx, alice)).unwrap();
    let text = format!("{user:?} {:?} {:?}", key("k1", 1), token(1));
    assert!(!text.contains("secret") && !text.contains("115, 101"), "{text}");
}

fn key(kid: &str, created_at: i64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: "ES256".to_owned(),
        private_key: b"secret".to_vec(),
        created_at: Timestamp(created_at),
        retired_at: None,
    }
}

#[test]
fn a_retired_key_verifies_until_it_is_removed() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(|tx| keys::insert(tx, &key("old", 1)));
    fixture.write(|tx| keys::insert(tx, &key("new", 2)));
    let error = fixture
        .metadata
        .write_blocking(|tx| keys::insert(tx, &key("new", 3)))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unique);
    assert!(fixture.write(|tx| keys::retire(tx, "old", Timestamp(10))));
    assert!(!fixture.write(|tx| keys::retire(tx, "old", Timestamp(11))));
    let listed = fixture.read(keys::list);
    assert_eq!(listed[0], key("new", 2));
    assert_eq!(listed[1].retired_at, Some(Timestamp(10)));
    assert_eq!(fixture.write(|tx| keys::remove_retired(tx, Timestamp(10))), 0);
    assert_eq!(fixture.write(|tx| keys::remove_retired(tx, Timestamp(11))), 1);
    assert_eq!(fixture.read(keys::list).len(), 1);
}

fn token(number: u8) -> RefreshToken {
    RefreshToken {
        hash: [b"secret".as_slice(), &[number]].concat(),
        account: "alice".to_owned(),
        service: "registry".to_owned(),
        scope: String::new(),
        credential_version: 3,
        created_at: Timestamp(1),
        expires_at: Timestamp(100 + i64::from(number)),
        revoked_at: None,
    }
}

#[test]
fn refresh_tokens_are_revoked_one_by_one_or_by_account_and_expire() {
    let fixture = Fixture::on(ENGINE);
    for number in 0..3 {
        fixture.write(move |tx| refresh_tokens::insert(tx, &token(number)));
    }
    let find = |number| fixture.read(|tx| refresh_tokens::find(tx, &token(number).hash));
    assert_eq!(find(0), Some(token(0)));
    assert_eq!(find(9), None);
    assert!(fixture.write(|tx| refresh_tokens::revoke(tx, &token(0).hash, Timestamp(5))));
    assert!(!fixture.write(|tx| refresh_tokens::revoke(tx, &token(0).hash, Timestamp(6))));
    assert_eq!(find(0).unwrap().revoked_at, Some(Timestamp(5)));
    assert_eq!(
        fixture.write(|tx| refresh_tokens::revoke_all(tx, "alice", Timestamp(7))),
        2
    );
    assert_eq!(
        fixture.write(|tx| refresh_tokens::remove_expired(tx, Timestamp(102))),
        2
    );
    assert_eq!(find(1), None);
    assert!(find(2).is_some());
}

#[test]
fn the_audit_log_pages_from_the_newest_line() {
    let fixture = Fixture::on(ENGINE);
    let line = |subject: &str| Line {
        id: 0,
        at: Timestamp(1),
        actor: "alice".to_owned(),
        action: "tag.delete".to_owned(),
        subject: subject.to_owned(),
        detail: String::new(),
        address: "192.0.2.1".to_owned(),
        result: "ok".to_owned(),
    };
    for subject in ["a", "b", "c"] {
        let line = line(subject);
        fixture.write(move |tx| audit_log::append(tx, &line));
    }
    let page = fixture.read(|tx| audit_log::page(tx, None, 2));
    assert_eq!(
        page.iter().map(|line| line.subject.as_str()).collect::<Vec<_>>(),
        ["c", "b"]
    );
    let rest = fixture.read(|tx| audit_log::page(tx, Some(page[1].id), 2));
    assert_eq!(
        rest,
        [Line {
            id: rest[0].id,
            ..line("a")
        }]
    );
}
