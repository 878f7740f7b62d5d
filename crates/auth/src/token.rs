//! Bearer tokens: the built-in token service, and tokens of an external issuer.
//!
//! Signatures are made and checked with aws-lc-rs directly. The JWT libraries at hand know neither
//! ES512 nor keys of certificates, and what is left (three base64 parts, one rule per claim) is less
//! than what they would need around them.

mod certificate;
pub mod external;
mod jwt;
mod key;
mod own;
pub mod request;
pub mod service;

pub use external::{ExternalConfig, ExternalError, ExternalIssuer};
pub use jwt::TokenError;
pub use key::{Algorithm, KeyError, PublicKey};
pub use own::{OwnTokens, SigningKey, SigningKeyError};
pub use request::{Grant, RequestError, TokenRequest};
pub use service::{Asker, TokenAnswer, TokenService};
