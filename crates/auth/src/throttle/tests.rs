use super::*;
use crate::test_tools::{ManualClock, random};

struct Desk {
    throttle: Throttle,
    clock: ManualClock,
}

impl Desk {
    fn new() -> Self {
        Self {
            throttle: Throttle::new(Limits::default(), &random()),
            clock: ManualClock::new(),
        }
    }

    fn begin(&self, account: &str, address: &str) -> Result<Try, Throttled> {
        let now = self.clock.clock()();
        self.throttle.begin(account, address.parse().unwrap(), now)
    }

    /// Fails once; the seconds to wait if that is refused.
    fn fail(&self, account: &str, address: &str) -> Option<u64> {
        self.begin(account, address)
            .err()
            .map(|refused| refused.retry_after.as_secs())
    }

    fn succeed(&self, account: &str, address: &str) -> bool {
        let tried = self.begin(account, address);
        tried.map(|tried| self.throttle.succeeded(&tried)).is_ok()
    }
}

#[test]
fn a_few_typing_errors_cost_nothing_then_the_waits_double() {
    let desk = Desk::new();
    for _ in 0..5 {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
    for wait in [1, 2, 4, 8] {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None, "the wait before it is over");
        assert_eq!(desk.fail("alice", "192.0.2.1"), Some(wait));
        desk.clock.advance(1000 * i64::try_from(wait).unwrap());
    }
}

#[test]
fn no_wait_is_longer_than_five_minutes_and_silence_is_forgiven() {
    let desk = Desk::new();
    for _ in 0..40 {
        desk.clock.advance(300_000);
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
    assert_eq!(desk.fail("alice", "192.0.2.1"), Some(300));
    desk.clock.advance(15 * 60_000);
    for _ in 0..5 {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
}

#[test]
fn a_success_starts_the_pair_anew_and_costs_nothing() {
    let desk = Desk::new();
    for _ in 0..200 {
        for _ in 0..3 {
            assert!(desk.succeed("alice", "192.0.2.1"));
        }
    }
    for _ in 0..4 {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
    assert!(desk.succeed("alice", "192.0.2.1"));
    for _ in 0..5 {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
}

#[test]
fn an_address_that_tries_many_accounts_is_slowed_as_a_whole() {
    let desk = Desk::new();
    for number in 0..30 {
        assert_eq!(desk.fail(&format!("user{number}"), "192.0.2.1"), None);
    }
    assert_eq!(desk.fail("someone", "192.0.2.1"), Some(2));
    assert_eq!(
        desk.fail("someone", "192.0.2.2"),
        None,
        "another address is not concerned"
    );
    desk.clock.advance(2000);
    assert_eq!(desk.fail("someone", "192.0.2.1"), None);
    assert_eq!(desk.fail("someone", "192.0.2.1"), Some(2));
}

#[test]
fn guesses_sent_at_once_count_before_their_answers() {
    let desk = Desk::new();
    let tries: Vec<_> = (0..100).map(|_| desk.begin("alice", "192.0.2.1")).collect();
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 6);
}

#[test]
fn an_account_under_attack_is_slowed_for_guessers_but_its_owner_gets_in() {
    let desk = Desk::new();
    for number in 0..200 {
        let guesser = format!("198.51.{}.{}", number / 200, number % 200);
        assert_eq!(desk.fail("alice", &guesser), None, "each has a first guess");
    }
    assert_eq!(desk.fail("alice", "198.51.0.199"), Some(10), "but no second one soon");
    assert!(
        desk.succeed("alice", "203.0.113.7"),
        "the owner at an address without failures"
    );
    assert_eq!(desk.fail("bob", "203.0.113.8"), None);
    assert_eq!(
        desk.fail("bob", "203.0.113.8"),
        None,
        "other accounts keep their free tries"
    );
}

#[test]
fn one_ipv6_subscriber_is_one_address() {
    let desk = Desk::new();
    for number in 0..6 {
        assert_eq!(desk.fail("alice", &format!("2001:db8:0:1::{number}")), None);
    }
    assert_eq!(desk.fail("alice", "2001:db8:0:1:ffff::1"), Some(1));
    assert_eq!(desk.fail("alice", "2001:db8:0:2::1"), None);
    for _ in 0..6 {
        assert_eq!(desk.fail("bob", "192.0.2.9"), None);
    }
    assert_eq!(
        desk.fail("bob", "::ffff:192.0.2.9"),
        Some(1),
        "a mapped address is the same one"
    );
}

#[test]
fn a_check_that_could_not_be_made_counts_for_nothing() {
    let desk = Desk::new();
    for _ in 0..100 {
        let tried = desk.begin("alice", "192.0.2.1").unwrap();
        desk.throttle.cancelled(&tried);
    }
    for _ in 0..5 {
        assert_eq!(desk.fail("alice", "192.0.2.1"), None);
    }
}

#[test]
fn the_tables_stay_bounded() {
    let limits = Limits {
        kept: 100,
        ..Limits::default()
    };
    let throttle = Throttle::new(limits, &random());
    let now = ManualClock::new().clock()();
    for number in 0..10_000_u32 {
        let _ = throttle.begin(&format!("u{number}"), IpAddr::V4(number.into()), now);
    }
    let tables = throttle.tables.lock().unwrap();
    assert!(tables.pairs.len() <= 110 && tables.addresses.len() <= 110 && tables.accounts.len() <= 110);
}
