use wharf_access::Identity;

use super::*;
use crate::test_tools::{ManualClock, random};

const HEADER: Authorization<'static> = Authorization::new(b"Basic YWxpY2U6c2VjcmV0");

struct Desk {
    remembered: Remembered,
    versions: CredentialVersions,
    clock: ManualClock,
}

impl Desk {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            remembered: Remembered::new(100, &random()),
            versions: CredentialVersions::new(clock.clock()()),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.clock()()
    }

    fn insert(&self, depends: Depends, expires: Option<Timestamp>) {
        let principal = Arc::new(Principal::whole(Identity::External("x".into())));
        let fingerprint = self.remembered.fingerprint(HEADER);
        self.remembered
            .insert(fingerprint, principal, depends, self.now(), expires);
    }

    fn knows(&self, header: Authorization<'_>) -> bool {
        let present = Present {
            now: self.now(),
            versions: Some(&self.versions),
            htpasswd: None,
        };
        let fingerprint = self.remembered.fingerprint(header);
        self.remembered.find(&fingerprint, present).is_some()
    }
}

const ALICE: Depends = Depends::Account { id: 1, version: 3 };

#[test]
fn nothing_is_remembered_longer_than_five_minutes_or_its_own_end() {
    let desk = Desk::new();
    desk.insert(Depends::Time, None);
    desk.clock.advance(299_999);
    assert!(desk.knows(HEADER));
    desk.clock.advance(1);
    assert!(!desk.knows(HEADER));

    let end = Timestamp::from_second(desk.clock.seconds() + 60).unwrap();
    desk.insert(Depends::Time, Some(end));
    desk.clock.advance(59_000);
    assert!(desk.knows(HEADER));
    desk.clock.advance(1000);
    assert!(!desk.knows(HEADER));
    desk.insert(Depends::Time, Some(end));
    assert!(!desk.knows(HEADER), "what has ended is not remembered at all");
}

#[test]
fn a_clock_set_back_does_not_make_it_last_longer() {
    let desk = Desk::new();
    desk.insert(Depends::Time, None);
    desk.clock.advance(-1000);
    assert!(!desk.knows(HEADER));
}

#[test]
fn only_the_very_same_header_is_known() {
    let desk = Desk::new();
    desk.insert(Depends::Time, None);
    assert!(!desk.knows(Authorization::new(b"Basic YWxpY2U6c2VjcmVU")));
    assert!(!desk.knows(Authorization::new(b"")));
}

#[test]
fn a_changed_account_is_verified_anew_at_once() {
    let desk = Desk::new();
    desk.insert(ALICE, None);
    desk.versions.raise([(2, 9), (1, 3)]);
    assert!(desk.knows(HEADER));
    desk.versions.raise([(1, 4)]);
    assert!(!desk.knows(HEADER));
    desk.versions.raise([(1, 2)]);
    assert!(!desk.knows(HEADER), "old news change nothing");
}

#[test]
fn what_was_verified_before_a_change_but_remembered_after_it_does_not_count() {
    let desk = Desk::new();
    desk.versions.raise([(1, 4)]);
    desk.insert(ALICE, None);
    assert!(!desk.knows(HEADER));
}

#[test]
fn without_news_from_the_database_for_ten_seconds_the_memory_is_not_used() {
    let desk = Desk::new();
    desk.insert(ALICE, None);
    desk.clock.advance(9_999);
    assert!(desk.knows(HEADER));
    desk.clock.advance(1);
    assert!(!desk.knows(HEADER));
    desk.versions.confirm(desk.now());
    assert!(desk.knows(HEADER));
}

#[test]
fn the_memory_is_bounded() {
    let desk = Desk::new();
    for number in 0..10_000 {
        let header = format!("Bearer {number}");
        let fingerprint = desk.remembered.fingerprint(Authorization::new(header.as_bytes()));
        let principal = Arc::new(Principal::anonymous());
        desk.remembered
            .insert(fingerprint, principal, Depends::Time, desk.now(), None);
    }
    assert!(desk.remembered.cache.len() <= 110);
}

#[test]
fn two_processes_do_not_share_fingerprints() {
    let random = random();
    let (one, two) = (Remembered::new(1, &random), Remembered::new(1, &random));
    assert!(one.fingerprint(HEADER) != two.fingerprint(HEADER));
    assert!(!format!("{one:?}{:?}", one.fingerprint(HEADER)).contains("YWxpY2U6"));
}
