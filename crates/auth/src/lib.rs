//! Credentials in, principals out.
//!
//! [`Authenticator`] is the way in: it takes an `Authorization` header and an address and says who
//! that is, by no rule at all, an htpasswd file, tokens of an external issuer, or our own accounts with
//! the built-in [token service](TokenService). What was verified is [remembered](remembered) for a
//! short time; what fails is [slowed](throttle). No HTTP and no clock: both are parameters.

use std::sync::Arc;

mod accounts;
mod authenticator;
mod authorization;
mod flights;
pub mod htpasswd;
pub mod password;
pub mod remembered;
#[cfg(test)]
mod test_tools;
pub mod throttle;
pub mod token;
mod versions;

pub use accounts::{ADMINISTRATOR, Account, Accounts, AccountsError, Actor, check_login, readable_password};
pub use authenticator::{Authenticator, Base, Config, ConfigError, Failure, Observe, Outcome, Reason, Tools};
pub use authorization::{Authorization, AuthorizationError, Credentials, Login};
pub use password::PasswordQueue;
pub use throttle::{Limits, Throttled};
pub use token::{Asker, OwnTokens, TokenAnswer, TokenError, TokenRequest, TokenService};
pub use versions::CredentialVersions;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Where randomness comes from: fills the whole slice with bytes that nobody can guess.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
