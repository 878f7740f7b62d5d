//! Guessing is slowed; nobody is locked out (consistency rule 14).
//!
//! - A pair of account and address may fail a few times, then waits twice as long after each failure.
//! - An address (an IPv6 /64) has a purse of failures that refills slowly, whatever accounts it tries.
//! - An account has such a purse too. When failures from everywhere have emptied it, each pair has
//!   one free try instead of a few and longer waits. So its owner, from an address that has not
//!   failed, always gets in at the first try, and a crowd of guessers gets one guess each.
//!
//! What is remembered as verified never comes here.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use quick_cache::unsync::Cache;
use zeroize::Zeroizing;

use crate::Random;

/// The figures, all in one place. Times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failures of a pair before it waits.
    pub free_failures: u32,
    /// The first wait of a pair; each further failure doubles it.
    pub first_wait: i64,
    /// The first wait of a pair while the account's purse is empty.
    pub first_wait_under_attack: i64,
    /// No wait is longer.
    pub longest_wait: i64,
    /// A pair that has been quiet for this long starts anew.
    pub forgotten_after: i64,
    /// The purse of an address: failures at once, and the time that one takes to come back.
    pub address: (u32, i64),
    /// The purse of an account.
    pub account: (u32, i64),
    /// How many pairs, addresses and accounts are kept; the least used make room.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            free_failures: 5,
            first_wait: 1000,
            first_wait_under_attack: 10_000,
            longest_wait: 5 * 60_000,
            forgotten_after: 15 * 60_000,
            address: (30, 2000),
            account: (50, 5000),
            kept: 10_000,
        }
    }
}

/// Too many failures: come back after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many failed sign-ins, try again in {} seconds", .retry_after.as_secs())]
pub struct Throttled {
    /// Whole seconds, at least one.
    pub retry_after: Duration,
}

/// The tables of failures. Bounded, and names in them are hashes.
pub struct Throttle {
    key: hmac::Key,
    limits: Limits,
    tables: Mutex<Tables>,
}

struct Tables {
    pairs: Cache<u128, Pair>,
    addresses: Cache<u128, Purse>,
    accounts: Cache<u128, Purse>,
}

#[derive(Clone, Copy, Default)]
struct Pair {
    failures: u32,
    last: i64,
    blocked_until: i64,
}

/// A token bucket, kept as the time at which it will be full again.
#[derive(Clone, Copy, Default)]
struct Purse {
    full_at: i64,
}

/// One try, counted as a failure until it turns out otherwise: a hundred guesses sent at once are
/// a hundred guesses.
#[must_use = "a try that is not finished counts as a failure"]
#[derive(Debug)]
pub struct Try {
    pair: u128,
    address: u128,
    account: u128,
    before: (u32, i64, i64),
}

impl Throttle {
    /// Empty tables.
    pub fn new(limits: Limits, random: &Random) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        random(&mut *key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &*key),
            limits,
            tables: Mutex::new(Tables {
                pairs: Cache::new(limits.kept),
                addresses: Cache::new(limits.kept),
                accounts: Cache::new(limits.kept),
            }),
        }
    }

    /// Begins a try to sign in, or says how long to wait. A refused try costs nothing more.
    pub fn begin(&self, account: &str, address: IpAddr, now: Timestamp) -> Result<Try, Throttled> {
        let (limits, now) = (self.limits, now.as_millisecond());
        let network = network(address);
        let keys = Try {
            pair: self.hash(&[b"pair", &network, account.as_bytes()]),
            address: self.hash(&[b"address", &network]),
            account: self.hash(&[b"account", account.as_bytes()]),
            before: (0, 0, 0),
        };
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pair = tables.pairs.get(&keys.pair).copied().unwrap_or_default();
        if now - pair.last >= limits.forgotten_after {
            pair = Pair::default();
        }
        let of_address = tables.addresses.get(&keys.address).copied().unwrap_or_default();
        let of_account = tables.accounts.get(&keys.account).copied().unwrap_or_default();
        let wait = (pair.blocked_until - now).max(of_address.wait(limits.address, now));
        if wait > 0 {
            return Err(Throttled::after(wait));
        }
        let is_attacked = of_account.wait(limits.account, now) > 0;
        let before = (pair.failures, pair.last, pair.blocked_until);
        pair.fail(limits, is_attacked, now);
        tables.pairs.insert(keys.pair, pair);
        tables
            .addresses
            .insert(keys.address, of_address.take(limits.address, now));
        tables
            .accounts
            .insert(keys.account, of_account.take(limits.account, now));
        Ok(Try { before, ..keys })
    }

    /// The password was right: the pair starts anew, the purses get their coin back.
    pub fn succeeded(&self, finished: &Try) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.pairs.remove(&finished.pair);
        self.give_back(&mut tables, finished);
    }

    /// The password could not be checked (busy, no database): as if nobody had tried.
    pub fn cancelled(&self, finished: &Try) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (failures, last, blocked_until) = finished.before;
        tables.pairs.insert(
            finished.pair,
            Pair {
                failures,
                last,
                blocked_until,
            },
        );
        self.give_back(&mut tables, finished);
    }

    fn give_back(&self, tables: &mut Tables, finished: &Try) {
        if let Some(mut purse) = tables.addresses.get_mut(&finished.address) {
            purse.full_at -= self.limits.address.1;
        }
        if let Some(mut purse) = tables.accounts.get_mut(&finished.account) {
            purse.full_at -= self.limits.account.1;
        }
    }

    fn hash(&self, parts: &[&[u8]]) -> u128 {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
            context.update(&[0]);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&context.sign().as_ref()[..16]);
        u128::from_ne_bytes(first)
    }
}

impl Throttled {
    fn after(milliseconds: i64) -> Self {
        let seconds = u64::try_from(milliseconds).unwrap_or(0).div_ceil(1000).max(1);
        Self {
            retry_after: Duration::from_secs(seconds),
        }
    }
}

impl Pair {
    fn fail(&mut self, limits: Limits, is_attacked: bool, now: i64) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        let (free, first) = if is_attacked {
            (0, limits.first_wait_under_attack)
        } else {
            (limits.free_failures, limits.first_wait)
        };
        if self.failures > free {
            let doublings = (self.failures - free - 1).min(16);
            self.blocked_until = now + (first << doublings).min(limits.longest_wait);
        }
    }
}

impl Purse {
    /// How long until there is a coin.
    fn wait(self, (most, each): (u32, i64), now: i64) -> i64 {
        let missing = (self.full_at - now).max(0);
        missing + each - i64::from(most) * each
    }

    /// Takes a coin; an empty purse stays empty, it does not sink deeper.
    fn take(self, (most, each): (u32, i64), now: i64) -> Self {
        let empty = now + i64::from(most) * each;
        Self {
            full_at: (self.full_at.max(now) + each).min(empty),
        }
    }
}

/// The address, or the /64 that one IPv6 subscriber has.
fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let first = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(first).octets()
        }
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
