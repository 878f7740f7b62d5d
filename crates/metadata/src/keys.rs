//! The token service's signing keys: shared by all replicas.

use std::fmt;

use crate::value::args;
use crate::{Error, Timestamp, Tx};

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its key id.
    pub kid: String,
    /// Its JWS algorithm, such as `ES256`.
    pub algorithm: String,
    /// The private key in the encoding that its algorithm uses.
    pub private_key: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped signing; it verifies until tokens from before have expired.
    pub retired_at: Option<Timestamp>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("created_at", &self.created_at)
            .field("retired_at", &self.retired_at)
            .finish_non_exhaustive()
    }
}

/// Records a key.
///
/// # Errors
///
/// [`Kind::Unique`](crate::error::Kind::Unique) if its id is taken.
pub fn insert(tx: &mut Tx<'_>, key: &SigningKey) -> Result<(), Error> {
    tx.execute(
        "record a signing key",
        "insert into signing_keys (kid, algorithm, private_key, created_at, retired_at) values (?, ?, ?, ?, ?)",
        args![
            &key.kid,
            &key.algorithm,
            key.private_key.as_slice(),
            key.created_at,
            key.retired_at
        ],
    )?;
    Ok(())
}

/// All keys, the newest first.
///
/// # Errors
///
/// Failures of the index.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<SigningKey>, Error> {
    tx.all(
        "list signing keys",
        "select kid, algorithm, private_key, created_at, retired_at from signing_keys order by created_at desc, kid",
        args![],
        |row| {
            Ok(SigningKey {
                kid: row.text(0)?,
                algorithm: row.text(1)?,
                private_key: row.bytes(2)?,
                created_at: row.time(3)?,
                retired_at: row.opt_time(4)?,
            })
        },
    )
}

/// Stops a key from signing; `false` if it was retired before or is not there.
///
/// # Errors
///
/// Failures of the index.
pub fn retire(tx: &mut Tx<'_>, kid: &str, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        "retire a signing key",
        "update signing_keys set retired_at = ? where kid = ? and retired_at is null",
        args![now, kid],
    )?;
    Ok(changed == 1)
}

/// Removes keys that were retired before `retired_before`; answers how many.
///
/// # Errors
///
/// Failures of the index.
pub fn remove_retired(tx: &mut Tx<'_>, retired_before: Timestamp) -> Result<u64, Error> {
    tx.execute(
        "remove retired signing keys",
        "delete from signing_keys where retired_at < ?",
        args![retired_before],
    )
}
