//! Passwords: hashing, verification, and the queue that keeps both off the I/O threads.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{sync::Semaphore, task};
use zeroize::Zeroizing;

use crate::Random;

/// The bcrypt cost of new entries when none is asked for: distribution's.
pub const BCRYPT_COST: u32 = 10;
/// What bcrypt looks at: longer passwords are equal when these bytes are.
const BCRYPT_BYTES: usize = 72;
/// A hash that no password has, with the parameters of new ones, for names that do not exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password cannot be hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing to hash.
    #[error("password is empty")]
    Empty,
    /// bcrypt would ignore the rest.
    #[error("password has {0} bytes, bcrypt reads no more than 72")]
    TooLongForBcrypt(usize),
    /// Implementations in C stop there.
    #[error("password holds a zero byte")]
    ZeroByte,
    /// A cost that bcrypt does not know.
    #[error("bcrypt cost {0} is not in 4 to 31")]
    Cost(u32),
    /// The library refused.
    #[error("password cannot be hashed: {0}")]
    Hashing(String),
    /// Too many are waiting already.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Why the queue did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// As many are waiting as may wait.
    #[error("too many passwords are being checked, try again")]
    Full,
    /// The program is ending.
    #[error("password check was interrupted")]
    Interrupted,
}

/// Hashes with argon2id and OWASP's parameters (19 MiB, 2 passes, 1 lane) into a PHC string.
pub fn hash_argon2id(password: &[u8], random: &Random) -> Result<String, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    let mut salt = [0; 16];
    random(&mut salt);
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password, &salt)
        .map_err(|error| PasswordError::Hashing(error.to_string()))?;
    Ok(hash.to_string())
}

/// Hashes with bcrypt into `$2y$…`, as `htpasswd -B` does. Refuses what bcrypt would cut off.
pub fn hash_bcrypt(password: &[u8], cost: u32, random: &Random) -> Result<String, PasswordError> {
    match password {
        [] => return Err(PasswordError::Empty),
        long if long.len() > BCRYPT_BYTES => return Err(PasswordError::TooLongForBcrypt(long.len())),
        odd if odd.contains(&0) => return Err(PasswordError::ZeroByte),
        _ => {}
    }
    let mut salt = [0; 16];
    random(&mut salt);
    match bcrypt::hash_with_salt(password, cost, salt) {
        Ok(parts) => Ok(parts.format_for_version(bcrypt::Version::TwoY)),
        Err(bcrypt::BcryptError::CostNotAllowed(cost)) => Err(PasswordError::Cost(cost)),
        Err(error) => Err(PasswordError::Hashing(error.to_string())),
    }
}

/// Whether `password` has this hash: an argon2 PHC string or bcrypt's `$2a$`, `$2b$`, `$2y$`.
///
/// bcrypt reads 72 bytes and ignores the rest, as everywhere. Unreadable hashes match nothing.
pub fn verify(password: &[u8], hash: &str) -> bool {
    if is_bcrypt(hash) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash).is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok())
}

/// The cost of a readable bcrypt hash.
pub(crate) fn bcrypt_cost(hash: &str) -> Option<u32> {
    let parts: bcrypt::HashParts = is_bcrypt(hash).then(|| hash.parse().ok())??;
    Some(parts.get_cost())
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

/// A bcrypt hash that no password has: checking it takes as long as a real one of this cost.
pub(crate) fn bcrypt_of_nobody(cost: u32) -> Arc<str> {
    format!("$2y${cost:02}${}", ".".repeat(53)).into()
}

/// An argon2id hash that no password has.
pub(crate) fn argon2id_of_nobody() -> Arc<str> {
    NOBODY.into()
}

/// A password that a machine made: 32 random bytes in base64url, as distribution writes it.
pub(crate) fn random_secret(random: &Random) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

/// A bounded queue: few passwords at once, on threads that may block, and few that wait.
///
/// argon2id takes 19 MiB each, so `at_once` bounds the memory as well.
#[derive(Clone)]
pub struct PasswordQueue {
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

impl PasswordQueue {
    /// Checks `at_once` passwords (at least one) while no more than `most_waiting` wait.
    pub fn new(at_once: usize, most_waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Arc::new(AtomicUsize::new(0)),
            most_waiting,
        }
    }

    /// [`verify`], in turn.
    pub async fn verify(&self, password: Zeroizing<Vec<u8>>, hash: Arc<str>) -> Result<bool, QueueError> {
        self.run(move || verify(&password, &hash)).await
    }

    /// [`hash_argon2id`], in turn.
    pub async fn hash(&self, password: Zeroizing<Vec<u8>>, random: Random) -> Result<String, PasswordError> {
        self.run(move || hash_argon2id(&password, &random)).await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, QueueError> {
        let place = Place::take(&self.waiting, self.most_waiting);
        let permit = match (Arc::clone(&self.running).try_acquire_owned(), place) {
            (Ok(permit), _) => permit,
            (Err(_), None) => return Err(QueueError::Full),
            (Err(_), Some(_place)) => Arc::clone(&self.running)
                .acquire_owned()
                .await
                .map_err(|_| QueueError::Interrupted)?,
        };
        // The permit goes along: a client that hangs up must not make room while its hash still runs.
        let done = task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| QueueError::Interrupted)
    }
}

impl fmt::Debug for PasswordQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordQueue")
            .field("free", &self.running.available_permits())
            .field("waiting", &self.waiting.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A place among those that wait, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now < most).then_some(now + 1)
            })
            .ok()
            .map(|_| Self(Arc::clone(waiting)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
