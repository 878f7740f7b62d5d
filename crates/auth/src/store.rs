//! The rows behind accounts and tokens.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::{Account, CredentialVersions};

/// Why the rows cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("database: {0}")]
pub struct StoreError(String);

/// A handle on the tables of users, signing keys and refresh tokens.
#[derive(Clone, Default)]
pub struct Store {
    rows: Arc<Mutex<Rows>>,
}

#[derive(Default)]
struct Rows {
    users: Vec<UserRow>,
    keys: Vec<Vec<u8>>,
    refresh: Vec<([u8; 32], i64, i64, i64)>,
}

/// An account with what only sign-in needs.
#[derive(Clone)]
pub(crate) struct UserRow {
    pub(crate) account: Account,
    pub(crate) password_hash: Option<String>,
    pub(crate) is_disabled: bool,
}

#[expect(clippy::unused_async, reason = "the database will be asked here")]
impl Store {
    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn user_by_name(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        Ok(self.rows().users.iter().find(|row| row.account.name == name).cloned())
    }

    pub(crate) async fn user_by_id(&self, id: i64) -> Result<Option<UserRow>, StoreError> {
        Ok(self.rows().users.iter().find(|row| row.account.id == id).cloned())
    }

    pub(crate) async fn has_users(&self) -> Result<bool, StoreError> {
        Ok(!self.rows().users.is_empty())
    }

    pub(crate) async fn create_user(
        &self,
        name: &str,
        hash: &str,
        is_admin: bool,
        _now: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let mut rows = self.rows();
        if rows.users.iter().any(|row| row.account.name == name) {
            return Ok(None);
        }
        let account = Account {
            id: i64::try_from(rows.users.len()).unwrap_or(0) + 1,
            name: name.to_owned(),
            is_admin,
            credential_version: 1,
        };
        rows.users.push(UserRow {
            account: account.clone(),
            password_hash: Some(hash.to_owned()),
            is_disabled: false,
        });
        Ok(Some(account))
    }

    pub(crate) async fn set_password(
        &self,
        name: &str,
        hash: &str,
        _now: Timestamp,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let mut rows = self.rows();
        let Some(row) = rows.users.iter_mut().find(|row| row.account.name == name) else {
            return Ok(None);
        };
        row.password_hash = Some(hash.to_owned());
        row.account.credential_version += 1;
        Ok(Some((row.account.id, row.account.credential_version)))
    }

    pub(crate) async fn versions_changed_since(&self, _: &CredentialVersions) -> Result<Vec<(i64, i64)>, StoreError> {
        let rows = self.rows();
        Ok(rows
            .users
            .iter()
            .map(|row| (row.account.id, row.account.credential_version))
            .collect())
    }

    pub(crate) async fn signing_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.rows().keys.clone())
    }

    pub(crate) async fn add_first_signing_key(&self, _: &str, pkcs8: &[u8], _: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.keys.is_empty() {
            rows.keys.push(pkcs8.to_vec());
        }
        Ok(())
    }

    pub(crate) async fn add_refresh_token(
        &self,
        hash: &[u8; 32],
        account: &Account,
        _client: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.rows()
            .refresh
            .push((*hash, account.id, account.credential_version, now.as_second()));
        Ok(())
    }

    pub(crate) async fn use_refresh_token(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
        seconds: i64,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let rows = self.rows();
        Ok(rows
            .refresh
            .iter()
            .find(|row| row.0 == *hash && now.as_second() - row.3 < seconds)
            .map(|row| (row.1, row.2)))
    }
}
