//! Local accounts: who may sign in with which password.

use std::sync::Arc;

use aws_lc_rs::digest;
use wharf_access::Identity;
use wharf_oci::RepositoryName;
use zeroize::Zeroizing;

use crate::{
    Clock, CredentialVersions, Random,
    authorization::Login,
    password::{self, PasswordError, PasswordQueue},
    store::{Store, StoreError},
    token::{SigningKey, SigningKeyError},
};

/// The first administrator.
pub const ADMINISTRATOR: &str = "admin";
/// Shorter passwords are refused, in characters (NIST SP 800-63B section 5.1.1.2).
pub const SHORTEST_PASSWORD: usize = 8;
/// Longer passwords are refused, in bytes.
pub const LONGEST_PASSWORD: usize = 1024;
/// Logins are names of personal projects and stand in paths.
const LONGEST_LOGIN: usize = 255;
/// A refresh token that nobody used for this long is over, in seconds.
const REFRESH_SECONDS: i64 = 90 * 24 * 3600;

/// A local account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its row.
    pub id: i64,
    /// Its login.
    pub name: String,
    /// Whether it is a system administrator.
    pub is_admin: bool,
    /// Rises when what it may change: password, disabling, groups.
    pub credential_version: i64,
}

/// Why an account cannot be made, changed or read.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A login that cannot be.
    #[error(
        "login {0:?} must be 1 to 255 lower-case letters, digits, '.', '_' or '-', beginning and ending with a letter or digit"
    )]
    Login(String),
    /// A password that is too easy to guess.
    #[error("password must have at least {SHORTEST_PASSWORD} characters")]
    TooShort,
    /// A password that is no password.
    #[error("password must have at most {LONGEST_PASSWORD} bytes")]
    TooLong,
    /// There is one already.
    #[error("account {0:?} exists already")]
    Exists(String),
    /// There is none.
    #[error("there is no account {0:?}")]
    Unknown(String),
    /// The password cannot be hashed, or not now.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A signing key of the database or its use.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The accounts of the database. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    passwords: PasswordQueue,
    versions: Arc<CredentialVersions>,
    clock: Clock,
    random: Random,
    nobody: Arc<str>,
}

impl Accounts {
    /// Over a database. `passwords` is shared with the [`crate::Authenticator`].
    pub fn new(store: Store, passwords: PasswordQueue, clock: Clock, random: Random) -> Self {
        Self {
            store,
            passwords,
            versions: Arc::new(CredentialVersions::new(clock())),
            clock,
            random,
            nobody: password::argon2id_of_nobody(),
        }
    }

    /// The account, if the password is right and it is not disabled. Unknown names take as long.
    pub async fn verify(&self, login: Login) -> Result<Option<Account>, AccountsError> {
        let row = match is_login(&login.name) {
            true => self.store.user_by_name(&login.name).await?,
            false => None,
        };
        let hash = row.as_ref().and_then(|row| row.password_hash.as_deref().map(Arc::from));
        let counts = hash.is_some();
        let hash = hash.unwrap_or_else(|| Arc::clone(&self.nobody));
        let matches = self
            .passwords
            .verify(login.password, hash)
            .await
            .map_err(PasswordError::from)?;
        Ok(row
            .filter(|row| matches && counts && !row.is_disabled)
            .map(|row| row.account))
    }

    /// The account of a row, unless it is gone or disabled.
    pub async fn by_id(&self, id: i64) -> Result<Option<Account>, AccountsError> {
        let row = self.store.user_by_id(id).await?;
        Ok(row.filter(|row| !row.is_disabled).map(|row| row.account))
    }

    /// Makes an account.
    pub async fn create(
        &self,
        name: &str,
        password: Zeroizing<Vec<u8>>,
        is_admin: bool,
    ) -> Result<Account, AccountsError> {
        check_login(name)?;
        check_password(&password)?;
        let hash = self.passwords.hash(password, Arc::clone(&self.random)).await?;
        let made = self.store.create_user(name, &hash, is_admin, (self.clock)()).await?;
        made.ok_or_else(|| AccountsError::Exists(name.to_owned()))
    }

    /// Gives an account a new password. What was remembered, and every token, ends: here at once.
    pub async fn reset_password(&self, name: &str, password: Zeroizing<Vec<u8>>) -> Result<(), AccountsError> {
        check_password(&password)?;
        let hash = self.passwords.hash(password, Arc::clone(&self.random)).await?;
        let changed = self.store.set_password(name, &hash, (self.clock)()).await?;
        let (id, version) = changed.ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        self.versions.raise([(id, version)]);
        Ok(())
    }

    /// Makes the first administrator if there is no account at all. Without a `password` it gets a
    /// random one, which is returned to be shown once.
    pub async fn ensure_administrator(
        &self,
        password: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Option<Zeroizing<String>>, AccountsError> {
        if self.store.has_users().await? {
            return Ok(None);
        }
        let made = match password {
            Some(_) => None,
            None => Some(readable_password(&self.random)),
        };
        let password = match (password, &made) {
            (Some(password), _) => password,
            (None, Some(made)) => Zeroizing::new(made.as_bytes().to_vec()),
            (None, None) => Zeroizing::default(),
        };
        match self.create(ADMINISTRATOR, password, true).await {
            // Another replica was faster; its password is the one that counts.
            Err(AccountsError::Exists(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(made),
        }
    }

    /// Learns what other processes changed. Call it every second; when it has failed for ten, the
    /// memory of verified credentials is not used until it succeeds again.
    pub async fn poll(&self) -> Result<(), AccountsError> {
        let before = (self.clock)();
        let changes = self.store.versions_changed_since(&self.versions).await?;
        self.versions.raise(changes);
        self.versions.confirm(before);
        Ok(())
    }

    /// What remembered credentials are compared with.
    pub(crate) fn versions(&self) -> &CredentialVersions {
        &self.versions
    }

    /// The keys that sign tokens, the active one first; makes the first one if there is none.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, AccountsError> {
        let mut stored = self.store.signing_keys().await?;
        if stored.is_empty() {
            let (key, pkcs8) = SigningKey::generate()?;
            self.store
                .add_first_signing_key(key.id(), &pkcs8, (self.clock)())
                .await?;
            // Read again: where two replicas start at once, one key is everyone's.
            stored = self.store.signing_keys().await?;
        }
        let keys = stored.iter().map(|pkcs8| SigningKey::from_pkcs8(pkcs8));
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// A new refresh token: only its hash is stored. It ends with the account's credential version.
    pub(crate) async fn issue_refresh_token(&self, account: &Account, client: &str) -> Result<String, AccountsError> {
        let token = password::random_secret(&self.random);
        self.store
            .add_refresh_token(&hash_of(&token), account, client, (self.clock)())
            .await?;
        Ok(token.to_string())
    }

    /// The account that a refresh token was made for, if it still counts.
    pub(crate) async fn by_refresh_token(&self, token: &str) -> Result<Option<Account>, AccountsError> {
        let now = (self.clock)();
        let found = self
            .store
            .use_refresh_token(&hash_of(token), now, REFRESH_SECONDS)
            .await?;
        let Some((user, version)) = found else { return Ok(None) };
        let account = self.by_id(user).await?;
        Ok(account.filter(|account| account.credential_version == version))
    }
}

impl Account {
    /// Who it is for the rules.
    pub fn into_identity(self) -> Identity {
        Identity::User {
            id: self.id,
            name: self.name,
            is_admin: self.is_admin,
        }
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// Refuses logins that could not be the first component of a repository name
/// (distribution-spec "Pulling manifests": path components).
pub fn check_login(name: &str) -> Result<(), AccountsError> {
    if is_login(name) {
        Ok(())
    } else {
        Err(AccountsError::Login(name.to_owned()))
    }
}

fn is_login(name: &str) -> bool {
    name.len() <= LONGEST_LOGIN
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        && name.parse::<RepositoryName>().is_ok()
}

fn check_password(password: &[u8]) -> Result<(), AccountsError> {
    let characters = String::from_utf8_lossy(password).chars().count();
    if characters < SHORTEST_PASSWORD {
        Err(AccountsError::TooShort)
    } else if password.len() > LONGEST_PASSWORD {
        Err(AccountsError::TooLong)
    } else {
        Ok(())
    }
}

/// Five groups of four from 32 characters that are not mistaken for each other: 100 bits.
fn readable_password(random: &Random) -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = Zeroizing::new([0; 20]);
    random(&mut *bytes);
    let mut password = Zeroizing::new(String::with_capacity(24));
    for (position, byte) in bytes.iter().enumerate() {
        if position > 0 && position % 4 == 0 {
            password.push('-');
        }
        password.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    password
}

/// A refresh token has 256 random bits: a plain hash of it is as good as a slow one.
fn hash_of(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests;
