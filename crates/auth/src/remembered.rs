//! Verified credentials, remembered for a short time (consistency rule 14): bcrypt, argon2 and
//! signatures are paid once per credential and not per request.

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use quick_cache::{UnitWeighter, sync::Cache};
use wharf_access::Principal;
use zeroize::Zeroizing;

use crate::{Authorization, CredentialVersions, Random, htpasswd::HtpasswdFile};

/// No credential is remembered longer, in milliseconds.
const LONGEST: i64 = 5 * 60 * 1000;

/// Successes only, under a hash whose key lives and dies with the process.
pub struct Remembered {
    key: hmac::Key,
    cache: Cache<Fingerprint, Entry, UnitWeighter, BuildHasherDefault<First8>>,
}

/// A keyed hash of a whole `Authorization` value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// What else must still be true when a remembered credential is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    /// Nothing but time.
    Time,
    /// The account has not changed since this version was read from its row.
    Account {
        /// The row.
        id: i64,
        /// Its `credential_version` when it was verified.
        version: i64,
    },
    /// The htpasswd file is still in this state.
    Htpasswd(u64),
}

#[derive(Clone)]
struct Entry {
    principal: Arc<Principal>,
    depends: Depends,
    since: i64,
    until: i64,
}

/// What the present is compared with.
#[derive(Clone, Copy)]
pub struct Present<'a> {
    /// The time.
    pub now: Timestamp,
    /// The accounts, where there are any.
    pub versions: Option<&'a CredentialVersions>,
    /// The file, where there is one.
    pub htpasswd: Option<&'a HtpasswdFile>,
}

impl Remembered {
    /// Remembers up to `most` credentials; the least used make room.
    pub fn new(most: usize, random: &Random) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        random(&mut *key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &*key),
            cache: Cache::with(
                most,
                most as u64,
                UnitWeighter,
                BuildHasherDefault::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
        }
    }

    /// The name under which a header value is remembered.
    pub fn fingerprint(&self, authorization: Authorization<'_>) -> Fingerprint {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.key, authorization.as_bytes()).as_ref());
        Fingerprint(hash)
    }

    /// Who it was and what that depends on, if it still holds.
    pub fn find(&self, fingerprint: &Fingerprint, present: Present<'_>) -> Option<(Arc<Principal>, Depends)> {
        let entry = self.cache.get(fingerprint)?;
        if holds(&entry, present) {
            return Some((entry.principal, entry.depends));
        }
        // A version that cannot be read now may be readable again; the rest is over.
        if present.now.as_millisecond() >= entry.until {
            self.cache.remove(fingerprint);
        }
        None
    }

    /// Remembers a success until `expires`, and never longer than five minutes.
    pub fn insert(
        &self,
        fingerprint: Fingerprint,
        principal: Arc<Principal>,
        depends: Depends,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) {
        let since = now.as_millisecond();
        let longest = since.saturating_add(LONGEST);
        let until = expires.map_or(longest, |expires| longest.min(expires.as_millisecond()));
        if until > since {
            self.cache.insert(
                fingerprint,
                Entry {
                    principal,
                    depends,
                    since,
                    until,
                },
            );
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.cache.clear();
    }
}

fn holds(entry: &Entry, present: Present<'_>) -> bool {
    let now = present.now.as_millisecond();
    // A clock that was set back must not make an entry last longer.
    if !(entry.since..entry.until).contains(&now) {
        return false;
    }
    match entry.depends {
        Depends::Time => true,
        Depends::Account { id, version } => present
            .versions
            .is_some_and(|versions| versions.is_current(id, version, present.now)),
        Depends::Htpasswd(generation) => present.htpasswd.is_some_and(|file| file.generation() == generation),
    }
}

impl std::hash::Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered")
            .field("credentials", &self.cache.len())
            .finish_non_exhaustive()
    }
}

/// The key is a keyed hash already: eight of its bytes are as good as hashing it again.
#[derive(Default)]
pub(crate) struct First8(u64);

impl Hasher for First8 {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
