//! Local accounts. Names compare without regard to case: they are kept in lower case.

use std::fmt;

use crate::value::{Row, args};
use crate::{Error, Timestamp, Tx};

/// One account.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its row; never used again for another.
    pub id: i64,
    /// Its login, in lower case.
    pub name: String,
    /// The hash of its password; empty for an account that has none.
    pub password_hash: String,
    /// Whether it is a system administrator.
    pub is_admin: bool,
    /// Whether it may not sign in.
    pub is_disabled: bool,
    /// Whether it must choose another password first.
    pub must_change: bool,
    /// Raised by everything that makes remembered credentials wrong (consistency rule 14).
    pub credential_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("is_admin", &self.is_admin)
            .field("is_disabled", &self.is_disabled)
            .field("credential_version", &self.credential_version)
            .finish_non_exhaustive()
    }
}

/// An account that is to be made.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// Its login, in any case.
    pub name: &'a str,
    /// The hash of its password.
    pub password_hash: &'a str,
    /// Whether it is a system administrator.
    pub is_admin: bool,
    /// Whether it must choose another password first.
    pub must_change: bool,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, name, password_hash, is_admin, is_disabled, must_change, credential_version, ",
            "created_at, updated_at from users ",
            $rest
        )
    };
}

/// Makes an account; answers its id.
///
/// # Errors
///
/// [`Kind::Unique`](crate::error::Kind::Unique) if the name is taken.
pub fn create(tx: &mut Tx<'_>, user: NewUser<'_>, now: Timestamp) -> Result<i64, Error> {
    let version = tx.next("credentials")?;
    tx.insert(
        "create a user",
        "insert into users (name, password_hash, is_admin, is_disabled, must_change, credential_version, \
         created_at, updated_at) values (?, ?, ?, 0, ?, ?, ?, ?)",
        args![
            &user.name.to_lowercase(),
            user.password_hash,
            user.is_admin,
            user.must_change,
            version,
            now,
            now
        ],
    )
}

/// The account of a login in any case.
///
/// # Errors
///
/// Failures of the index.
pub fn find(tx: &mut Tx<'_>, name: &str) -> Result<Option<User>, Error> {
    tx.one(
        "find a user",
        select!("where name = ?"),
        args![&name.to_lowercase()],
        user,
    )
}

/// The account with an id.
///
/// # Errors
///
/// Failures of the index.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<User>, Error> {
    tx.one("find a user by id", select!("where id = ?"), args![id], user)
}

/// Sets a password hash; answers the new credential version, `None` if there is no such account.
///
/// # Errors
///
/// Failures of the index.
pub fn set_password(
    tx: &mut Tx<'_>,
    id: i64,
    password_hash: &str,
    must_change: bool,
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    let version = tx.next("credentials")?;
    let changed = tx.execute(
        "set a password",
        "update users set password_hash = ?, must_change = ?, credential_version = ?, updated_at = ? where id = ?",
        args![password_hash, must_change, version, now, id],
    )?;
    Ok((changed == 1).then_some(version))
}

/// Replaces the hash of the same password by a stronger one, if the account has not changed since
/// `credential_version`. What is remembered of it stays right.
///
/// # Errors
///
/// Failures of the index.
pub fn rehash(tx: &mut Tx<'_>, id: i64, credential_version: i64, password_hash: &str) -> Result<bool, Error> {
    let changed = tx.execute(
        "renew a password hash",
        "update users set password_hash = ? where id = ? and credential_version = ?",
        args![password_hash, id, credential_version],
    )?;
    Ok(changed == 1)
}

/// Disables or enables an account; answers the new credential version, `None` if there is no such
/// account.
///
/// # Errors
///
/// Failures of the index.
pub fn set_disabled(tx: &mut Tx<'_>, id: i64, is_disabled: bool, now: Timestamp) -> Result<Option<i64>, Error> {
    set_flag(
        tx,
        "update users set is_disabled = ?, credential_version = ?, updated_at = ? where id = ?",
        (id, is_disabled),
        now,
    )
}

/// Makes an account a system administrator, or no longer; answers as [`set_disabled`].
///
/// # Errors
///
/// Failures of the index.
pub fn set_admin(tx: &mut Tx<'_>, id: i64, is_admin: bool, now: Timestamp) -> Result<Option<i64>, Error> {
    set_flag(
        tx,
        "update users set is_admin = ?, credential_version = ?, updated_at = ? where id = ?",
        (id, is_admin),
        now,
    )
}

fn set_flag(
    tx: &mut Tx<'_>,
    sql: &'static str,
    (id, value): (i64, bool),
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    let version = tx.next("credentials")?;
    let changed = tx.execute("change a user", sql, args![value, version, now, id])?;
    Ok((changed == 1).then_some(version))
}

/// Accounts by name, after `after`.
///
/// # Errors
///
/// Failures of the index.
pub fn page(tx: &mut Tx<'_>, after: Option<&str>, limit: usize) -> Result<Vec<User>, Error> {
    tx.all(
        "list users",
        select!("where name > ? order by name limit ?"),
        args![after.unwrap_or_default(), limit],
        user,
    )
}

/// How many accounts there are.
///
/// # Errors
///
/// Failures of the index.
pub fn count(tx: &mut Tx<'_>) -> Result<u64, Error> {
    tx.count("count users", "select count(*) from users", args![])
}

/// A number that every change of any credential raises: one cheap poll tells a replica whether
/// [`credential_versions`] is worth reading (consistency rule 14).
///
/// # Errors
///
/// Failures of the index.
pub fn credential_counter(tx: &mut Tx<'_>) -> Result<i64, Error> {
    let counter = tx.one(
        "read the credential counter",
        "select value from counters where name = 'credentials'",
        args![],
        |row| row.int(0),
    )?;
    Ok(counter.unwrap_or_default())
}

/// Accounts whose credentials changed after `counter`, with their versions.
///
/// # Errors
///
/// Failures of the index.
pub fn credential_versions(tx: &mut Tx<'_>, counter: i64) -> Result<Vec<(i64, i64)>, Error> {
    tx.all(
        "list credential versions",
        "select id, credential_version from users where credential_version > ?",
        args![counter],
        |row| Ok((row.int(0)?, row.int(1)?)),
    )
}

fn user(row: &Row<'_>) -> Result<User, Error> {
    Ok(User {
        id: row.int(0)?,
        name: row.text(1)?,
        password_hash: row.text(2)?,
        is_admin: row.bool(3)?,
        is_disabled: row.bool(4)?,
        must_change: row.bool(5)?,
        credential_version: row.int(6)?,
        created_at: row.time(7)?,
        updated_at: row.time(8)?,
    })
}
