//! Local accounts: who may sign in with which password.

use std::sync::Arc;

use aws_lc_rs::digest;
use wharf_access::Identity;
use wharf_metadata::{
    Error, Metadata, Tx,
    audit_log::{self, Line},
    error::Kind,
    keys, refresh_tokens,
    users::{self, NewUser, User},
};
use wharf_oci::RepositoryName;
use zeroize::Zeroizing;

use crate::{
    Clock, CredentialVersions, Random,
    authorization::Login,
    password::{self, PasswordError, PasswordQueue},
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
/// How long a refresh token works, in microseconds: docker keeps it until `docker logout`.
const REFRESH_MICROSECONDS: i64 = 365 * 24 * 3600 * 1_000_000;
/// How long a retired key still checks signatures, in microseconds: longer than any token lives.
const RETIRED_MICROSECONDS: i64 = 24 * 3600 * 1_000_000;

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
    Metadata(#[from] Error),
}

/// Who changes an account, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The login; empty for the program itself.
    pub name: &'a str,
    /// Where it comes from; empty for the program itself.
    pub address: &'a str,
}

impl Actor<'_> {
    /// The program, or whoever may run its commands on the machine.
    pub const PROGRAM: Actor<'static> = Actor { name: "", address: "" };
}

/// The accounts of the database. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    metadata: Metadata,
    passwords: PasswordQueue,
    versions: Arc<CredentialVersions>,
    clock: Clock,
    random: Random,
    nobody: Arc<str>,
}

impl Accounts {
    /// Over an index. `passwords` is shared with the [`crate::Authenticator`].
    pub fn new(metadata: Metadata, passwords: PasswordQueue, clock: Clock, random: Random) -> Self {
        let versions = CredentialVersions::new(clock());
        Self {
            metadata,
            passwords,
            versions: Arc::new(versions),
            clock,
            random,
            nobody: password::argon2id_of_nobody(),
        }
    }

    /// The account, if the password is right and it is not disabled. Unknown names take as long.
    pub async fn verify(&self, login: Login) -> Result<Option<Account>, AccountsError> {
        let user = match is_login(&login.name.to_lowercase()) {
            true => {
                let name = login.name.clone();
                self.metadata.read(move |tx| users::find(tx, &name)).await?
            }
            false => None,
        };
        let hash = user.as_ref().map(|user| user.password_hash.as_str());
        let hash = match hash.filter(|hash| !hash.is_empty()) {
            Some(hash) => Arc::from(hash),
            None => Arc::clone(&self.nobody),
        };
        let matches = self
            .passwords
            .verify(login.password, hash)
            .await
            .map_err(PasswordError::from)?;
        Ok(user.filter(|user| matches && !user.is_disabled).map(Account::from))
    }

    /// The account of a row, unless it is gone or disabled.
    pub async fn by_id(&self, id: i64) -> Result<Option<Account>, AccountsError> {
        let user = self.metadata.read(move |tx| users::by_id(tx, id)).await?;
        Ok(user.filter(|user| !user.is_disabled).map(Account::from))
    }

    /// Makes an account.
    pub async fn create(
        &self,
        name: &str,
        password: Zeroizing<Vec<u8>>,
        is_admin: bool,
        actor: Actor<'_>,
    ) -> Result<Account, AccountsError> {
        check_login(name)?;
        check_password(&password)?;
        let hash = Zeroizing::new(self.passwords.hash(password, Arc::clone(&self.random)).await?);
        let line = self.line(actor, "user.create", name);
        let owned = name.to_owned();
        let made = self
            .metadata
            .write(move |tx| {
                let user = NewUser {
                    name: &owned,
                    password_hash: &hash,
                    is_admin,
                    must_change: false,
                };
                users::create(tx, user, line.at)?;
                audit_log::append(tx, &line)?;
                users::find(tx, &owned)
            })
            .await;
        match made {
            Ok(Some(user)) => Ok(user.into()),
            Ok(None) => Err(AccountsError::Unknown(name.to_owned())),
            Err(error) if error.kind() == Kind::Unique => Err(AccountsError::Exists(name.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives an account a new password. What was remembered, and every token, ends: here at once.
    pub async fn reset_password(
        &self,
        name: &str,
        password: Zeroizing<Vec<u8>>,
        actor: Actor<'_>,
    ) -> Result<(), AccountsError> {
        check_password(&password)?;
        let hash = Zeroizing::new(self.passwords.hash(password, Arc::clone(&self.random)).await?);
        self.change(
            name,
            self.line(actor, "user.reset_password", name),
            move |tx, id, line| users::set_password(tx, id, &hash, false, line.at),
        )
        .await
    }

    /// Disables an account, or enables it again. Disabled, it ends as by a new password.
    pub async fn set_disabled(&self, name: &str, is_disabled: bool, actor: Actor<'_>) -> Result<(), AccountsError> {
        let action = if is_disabled { "user.disable" } else { "user.enable" };
        self.change(name, self.line(actor, action, name), move |tx, id, line| {
            users::set_disabled(tx, id, is_disabled, line.at)
        })
        .await
    }

    async fn change(
        &self,
        name: &str,
        line: Line,
        mut change: impl FnMut(&mut Tx<'_>, i64, &Line) -> Result<Option<i64>, Error> + Send + 'static,
    ) -> Result<(), AccountsError> {
        let owned = name.to_owned();
        let changed = self
            .metadata
            .write(move |tx| {
                let Some(user) = users::find(tx, &owned)? else {
                    return Ok(None);
                };
                let version = change(tx, user.id, &line)?;
                refresh_tokens::revoke_all(tx, &user.name, line.at)?;
                audit_log::append(tx, &line)?;
                Ok::<_, Error>(version.map(|version| (user.id, version)))
            })
            .await?;
        let changed = changed.ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        self.versions.raise([changed]);
        Ok(())
    }

    /// Makes the first administrator if there is no account at all. Without a `password` it gets a
    /// random one, which is returned to be shown once.
    pub async fn ensure_administrator(
        &self,
        password: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Option<Zeroizing<String>>, AccountsError> {
        if self.metadata.read(users::count).await? > 0 {
            return Ok(None);
        }
        let (password, shown) = match password {
            Some(password) => (password, None),
            None => {
                let made = readable_password(&self.random);
                (Zeroizing::new(made.as_bytes().to_vec()), Some(made))
            }
        };
        match self.create(ADMINISTRATOR, password, true, Actor::PROGRAM).await {
            // Another replica was faster; its password is the one that counts.
            Err(AccountsError::Exists(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(shown),
        }
    }

    /// Learns what other processes changed. Call it every second; when it has failed for ten, the
    /// memory of verified credentials is not used until it succeeds again.
    pub async fn poll(&self) -> Result<(), AccountsError> {
        let before = (self.clock)();
        let known = self.versions.counter();
        let changed = self.metadata.read(move |tx| {
            let counter = users::credential_counter(tx)?;
            Ok::<_, Error>(match counter == known {
                true => None,
                false => Some((counter, users::credential_versions(tx, known)?)),
            })
        });
        if let Some((counter, changes)) = changed.await? {
            self.versions.raise(changes);
            self.versions.set_counter(counter);
        }
        self.versions.confirm(before);
        Ok(())
    }

    /// What remembered credentials are compared with.
    pub(crate) fn versions(&self) -> &CredentialVersions {
        &self.versions
    }

    /// The keys of tokens, the one that signs first; makes the first one if there is none.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, AccountsError> {
        let is_active = |key: &keys::SigningKey| key.retired_at.is_none();
        let mut stored = self.metadata.read(keys::list).await?;
        if !stored.iter().any(is_active) {
            let (key, pkcs8) = SigningKey::generate()?;
            let made = keys::SigningKey {
                kid: key.id().to_owned(),
                algorithm: "ES256".to_owned(),
                private_key: pkcs8.to_vec(),
                created_at: (self.clock)().into(),
                retired_at: None,
            };
            // Looked at again inside: where two replicas start at once, one key is everyone's.
            stored = self
                .metadata
                .write(move |tx| {
                    if !keys::list(tx)?.iter().any(is_active) {
                        keys::insert(tx, &made)?;
                    }
                    keys::list(tx)
                })
                .await?;
        }
        stored.retain(|key| key.algorithm == "ES256");
        // The newest of those that sign; the sort keeps the order of the rest.
        stored.sort_by_key(|key| key.retired_at.is_some());
        let keys = stored.iter().map(|key| SigningKey::from_pkcs8(&key.private_key));
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Removes what has been over for a while: refresh tokens and retired keys. To be called daily.
    pub async fn tidy(&self) -> Result<(), AccountsError> {
        let now = wharf_metadata::Timestamp::from((self.clock)());
        let tidied = self.metadata.write(move |tx| {
            refresh_tokens::remove_expired(tx, now)?;
            keys::remove_retired(tx, now.plus(-RETIRED_MICROSECONDS))
        });
        tidied.await?;
        Ok(())
    }

    /// A new refresh token: only its hash is stored. It ends with the account's credential version.
    pub(crate) async fn issue_refresh_token(&self, account: &Account, service: &str) -> Result<String, AccountsError> {
        let token = password::random_secret(&self.random);
        let now = wharf_metadata::Timestamp::from((self.clock)());
        let row = refresh_tokens::RefreshToken {
            hash: hash_of(&token).to_vec(),
            account: account.name.clone(),
            service: service.to_owned(),
            scope: String::new(),
            credential_version: account.credential_version,
            created_at: now,
            expires_at: now.plus(REFRESH_MICROSECONDS),
            revoked_at: None,
        };
        self.metadata.write(move |tx| refresh_tokens::insert(tx, &row)).await?;
        Ok(token.to_string())
    }

    /// The account that a refresh token was made for, if it still counts.
    pub(crate) async fn by_refresh_token(&self, token: &str) -> Result<Option<Account>, AccountsError> {
        let now = wharf_metadata::Timestamp::from((self.clock)());
        let hash = hash_of(token);
        let found = self.metadata.read(move |tx| {
            let Some(token) = refresh_tokens::find(tx, &hash)? else {
                return Ok(None);
            };
            let user = users::find(tx, &token.account)?;
            Ok::<_, Error>(user.filter(|user| {
                token.revoked_at.is_none()
                    && now < token.expires_at
                    && !user.is_disabled
                    && user.credential_version == token.credential_version
            }))
        });
        Ok(found.await?.map(Account::from))
    }

    fn line(&self, actor: Actor<'_>, action: &str, subject: &str) -> Line {
        Line {
            id: 0,
            at: (self.clock)().into(),
            actor: actor.name.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: String::new(),
            address: actor.address.to_owned(),
            result: "ok".to_owned(),
        }
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            is_admin: user.is_admin,
            credential_version: user.credential_version,
        }
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
pub fn readable_password(random: &Random) -> Zeroizing<String> {
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
