//! Refresh tokens of the token service: kept as hashes only.

use std::fmt;

use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// One token.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The hash of the token.
    pub hash: Vec<u8>,
    /// The account it stands for.
    pub account: String,
    /// The service it was made for.
    pub service: String,
    /// The scopes it may give, as text; empty for any.
    pub scope: String,
    /// The account's credential version when it was made.
    pub credential_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken")
            .field("account", &self.account)
            .field("service", &self.service)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// Records a token.
///
/// # Errors
///
/// [`Kind::Unique`](crate::error::Kind::Unique) if its hash is there already.
pub fn insert(tx: &mut Tx<'_>, token: &RefreshToken) -> Result<(), Error> {
    tx.execute(
        "record a refresh token",
        "insert into refresh_tokens (hash, account, service, scope, credential_version, created_at, expires_at, \
         revoked_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
        args![
            token.hash.as_slice(),
            &token.account,
            &token.service,
            &token.scope,
            token.credential_version,
            token.created_at,
            token.expires_at,
            token.revoked_at
        ],
    )?;
    Ok(())
}

/// The token with a hash, expired and revoked ones too.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, hash: &[u8]) -> Result<Option<RefreshToken>, Error> {
    tx.one(
        "find a refresh token",
        "select hash, account, service, scope, credential_version, created_at, expires_at, revoked_at \
         from refresh_tokens where hash = ?",
        args![hash],
        |row| {
            Ok(RefreshToken {
                hash: row.bytes(0)?,
                account: row.text(1)?,
                service: row.text(2)?,
                scope: row.text(3)?,
                credential_version: row.int(4)?,
                created_at: row.time(5)?,
                expires_at: row.time(6)?,
                revoked_at: row.opt_time(7)?,
            })
        },
    )
}

/// Revokes a token; `false` if it was revoked before or is not there.
///
/// # Errors
///
/// Failures of the index.
pub fn revoke(tx: &mut Tx<'_>, hash: &[u8], now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "revoke a refresh token",
        "update refresh_tokens set revoked_at = ? where hash = ? and revoked_at is null",
        args![now, hash],
    )?;
    Ok(changed == 1)
}

/// Revokes all tokens of an account; answers how many.
///
/// # Errors
///
/// Failures of the index.
pub fn revoke_all(tx: &mut Tx<'_>, account: &str, now: Timestamp) -> Result<u64, Error> {
    tx.execute(
        "revoke refresh tokens",
        "update refresh_tokens set revoked_at = ? where account = ? and revoked_at is null",
        args![now, account],
    )
}

/// Removes tokens that expired before `expired_before`; answers how many.
///
/// # Errors
///
/// Failures of the index.
pub fn remove_expired(tx: &mut Tx<'_>, expired_before: Timestamp) -> Result<u64, Error> {
    tx.execute(
        "remove expired refresh tokens",
        "delete from refresh_tokens where expires_at < ?",
        args![expired_before],
    )
}
