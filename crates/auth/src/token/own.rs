//! Our own tokens: ES256, signed with a key that all replicas share.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;
use wharf_access::{Identity, Principal};
use wharf_oci::scope::Scope;
use zeroize::Zeroizing;

use super::{
    jwt::{self, Access, Claims, OwnClaims, TokenError, Unverified},
    key::{Algorithm, PublicKey},
};
use crate::{Accounts, Failure, Random, authenticator::Verified, remembered::Depends};

/// No token lives shorter: clients take 60 s for granted.
const SHORTEST: i64 = 60;

/// A key that cannot be used or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Not a P-256 key in PKCS #8.
    #[error("stored signing key is not a P-256 key in PKCS #8")]
    Malformed,
    /// The library refused.
    #[error("signing key cannot be made")]
    Generate,
    /// The library refused.
    #[error("token cannot be signed")]
    Sign,
    /// There is no key.
    #[error("there is no key to sign tokens with")]
    None,
}

/// A private key. `Debug` shows its public name.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// Signs and checks our tokens.
pub struct OwnTokens {
    service: String,
    seconds: i64,
    random: Random,
    keys: ArcSwap<Keys>,
}

struct Keys {
    /// The one that signs.
    active: SigningKey,
    /// All that may have signed a token that still lives, by thumbprint.
    trusted: HashMap<String, PublicKey>,
}

impl SigningKey {
    /// Makes a new key (the library draws its own randomness for that); returns it with its PKCS #8
    /// form for the database.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), SigningKeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SigningKeyError::Generate)?;
        let document = pair.to_pkcs8v1().map_err(|_| SigningKeyError::Generate)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::from_pkcs8(&pkcs8)?, pkcs8))
    }

    /// Reads a key from the database.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| SigningKeyError::Malformed)?;
        let public = PublicKey::from_p256(pair.public_key().as_ref()).map_err(|_| SigningKeyError::Malformed)?;
        Ok(Self { pair, public })
    }

    /// Its RFC 7638 thumbprint: the `kid` of the tokens it signs.
    pub fn id(&self) -> &str {
        self.public.thumbprint()
    }
}

impl OwnTokens {
    /// `service` is the name of this registry in tokens and challenges; `keys` all known keys, the
    /// one that signs first. Tokens live for `seconds`, at least 60.
    pub fn new(service: &str, seconds: i64, keys: Vec<SigningKey>, random: Random) -> Result<Self, SigningKeyError> {
        Ok(Self {
            service: service.to_owned(),
            seconds: seconds.max(SHORTEST),
            random,
            keys: ArcSwap::from_pointee(Keys::new(keys)?),
        })
    }

    /// Takes new keys, the one that signs first (another replica may have made one).
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<(), SigningKeyError> {
        self.keys.store(Keys::new(keys)?.into());
        Ok(())
    }

    /// The name of this registry in tokens and challenges.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How long tokens live, in seconds.
    pub const fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The public keys as a JWK set (RFC 7517 section 5).
    pub fn jwks(&self) -> serde_json::Value {
        let keys = self.keys.load();
        let mut list: Vec<_> = keys.trusted.values().collect();
        list.sort_by_key(|key| key.thumbprint());
        let list: Vec<_> = list.iter().map(|key| key.to_jwk("ES256")).collect();
        json!({ "keys": list })
    }

    /// A token for `principal`, which must be nobody or a local user.
    pub(crate) fn sign(
        &self,
        principal: &Principal,
        version: Option<i64>,
        scopes: &[Scope],
        now: Timestamp,
    ) -> Result<String, SigningKeyError> {
        let keys = self.keys.load();
        let mut id = [0; 16];
        (self.random)(&mut id);
        let now = now.as_second();
        let account = match (&principal.identity, version) {
            (Identity::User { id, .. }, Some(version)) => Some(OwnClaims { user: *id, version }),
            _ => None,
        };
        let claims = Claims {
            iss: self.service.clone(),
            sub: principal.name().to_owned(),
            aud: vec![self.service.clone()],
            exp: now + self.seconds,
            nbf: now,
            iat: now,
            jti: URL_SAFE_NO_PAD.encode(id),
            access: scopes.iter().map(Access::from).collect(),
            wharf: account,
        };
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": keys.active.id() });
        let mut claims = serde_json::to_value(claims).map_err(|_| SigningKeyError::Sign)?;
        // A string, not a list of one: older clients and proxies expect that.
        claims["aud"] = self.service.as_str().into();
        jwt::encode(&header, &claims, |message| {
            let signature = keys.active.pair.sign(&SystemRandom::new(), message);
            signature
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SigningKeyError::Sign)
        })
    }

    /// Who a token of ours stands for. The account is read again: a token does not outlive a reset,
    /// not even over a restart.
    pub(crate) async fn verify(&self, token: &str, accounts: &Accounts, now: Timestamp) -> Result<Verified, Failure> {
        let claims = self.claims(token, now)?;
        let scopes = Some(claims.scopes());
        let expires = claims.expires();
        let Some(own) = claims.wharf else {
            return Ok(Verified {
                principal: Principal {
                    identity: Identity::Anonymous,
                    scopes,
                },
                depends: Depends::Time,
                expires,
            });
        };
        let account = accounts.by_id(own.user).await?.ok_or(TokenError::Revoked)?;
        if account.credential_version != own.version {
            return Err(TokenError::Revoked.into());
        }
        Ok(Verified {
            principal: Principal {
                identity: account.into_identity(),
                scopes,
            },
            depends: Depends::Account {
                id: own.user,
                version: own.version,
            },
            expires,
        })
    }

    fn claims(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let unverified = Unverified::parse(token)?;
        if unverified.algorithm() != Algorithm::Es256 {
            return Err(TokenError::Algorithm);
        }
        // Only the name of the key is looked at; what else the header brings along is not ours.
        let keys = self.keys.load();
        let id = unverified.header.kid.as_ref().ok_or(TokenError::UntrustedKey)?;
        let key = keys.trusted.get(id).ok_or(TokenError::UntrustedKey)?;
        let claims = unverified.verify(key)?;
        claims.check(&self.service, std::slice::from_ref(&self.service), now)?;
        Ok(claims)
    }
}

impl Keys {
    fn new(keys: Vec<SigningKey>) -> Result<Self, SigningKeyError> {
        let trusted = keys
            .iter()
            .map(|key| (key.id().to_owned(), key.public.clone()))
            .collect();
        let active = keys.into_iter().next().ok_or(SigningKeyError::None)?;
        Ok(Self { active, trusted })
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id()).finish()
    }
}

impl std::fmt::Debug for OwnTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnTokens")
            .field("service", &self.service)
            .field("active", &self.keys.load().active)
            .finish_non_exhaustive()
    }
}
