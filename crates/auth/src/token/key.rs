//! Public keys, their names, and which signatures they can check.

use std::fmt::Write;

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use x509_parser::{prelude::FromDer, public_key, x509::SubjectPublicKeyInfo};

/// A signature algorithm of RFC 7518 (and EdDSA of RFC 8037) that public keys can check. `none` and
/// the HS family are not among them: there is nothing to confuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 section 3.1")]
pub enum Algorithm {
    Es256,
    Es384,
    Es512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A kind that signs nothing we could check (symmetric ones included).
    #[error("key type is not supported, use RSA, EC (P-256, P-384, P-521) or Ed25519")]
    Unsupported,
    /// The numbers make no key.
    #[error("key is malformed")]
    Malformed,
    /// RSA below 2048 or above 8192 bits.
    #[error("RSA key must have 2048 to 8192 bits")]
    RsaSize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// A public key with the names that issuers give it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    spki: Vec<u8>,
    /// Base64url of the numbers: `x` and `y`, `n` and `e`, or `x`.
    numbers: (String, String),
    thumbprint: String,
}

/// A JSON Web Key (RFC 7517), as far as public keys need it.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    pub(crate) kty: String,
    pub(crate) kid: Option<String>,
    pub(crate) x5c: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Algorithm {
    /// By its name in a JWT header; `None` for everything else.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    /// How to check it with a key of this kind, if the two go together.
    fn check_with(self, kind: Kind) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, kind) {
            (Self::Es256, Kind::P256) => &ECDSA_P256_SHA256_FIXED,
            (Self::Es384, Kind::P384) => &ECDSA_P384_SHA384_FIXED,
            (Self::Es512, Kind::P521) => &ECDSA_P521_SHA512_FIXED,
            (Self::Rs256, Kind::Rsa) => &RSA_PKCS1_2048_8192_SHA256,
            (Self::Rs384, Kind::Rsa) => &RSA_PKCS1_2048_8192_SHA384,
            (Self::Rs512, Kind::Rsa) => &RSA_PKCS1_2048_8192_SHA512,
            (Self::Ps256, Kind::Rsa) => &RSA_PSS_2048_8192_SHA256,
            (Self::Ps384, Kind::Rsa) => &RSA_PSS_2048_8192_SHA384,
            (Self::Ps512, Kind::Rsa) => &RSA_PSS_2048_8192_SHA512,
            (Self::EdDsa, Kind::Ed25519) => &ED25519,
            _ => return None,
        })
    }
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo, such as a certificate holds.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Malformed)?;
        if !rest.is_empty() {
            return Err(KeyError::Malformed);
        }
        let raw = info.subject_public_key.data.as_ref();
        match info.parsed() {
            Ok(public_key::PublicKey::RSA(rsa)) => Self::from_rsa(strip_zeros(rsa.modulus), strip_zeros(rsa.exponent)),
            Ok(public_key::PublicKey::EC(_)) => {
                let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let kind = match curve.map(|oid| oid.to_id_string()).as_deref() {
                    Some("1.2.840.10045.3.1.7") => Kind::P256,
                    Some("1.3.132.0.34") => Kind::P384,
                    Some("1.3.132.0.35") => Kind::P521,
                    _ => return Err(KeyError::Unsupported),
                };
                Self::from_point(kind, raw)
            }
            Ok(_) if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => Self::from_ed25519(raw),
            _ => Err(KeyError::Unsupported),
        }
    }

    /// From a JSON Web Key. Private parts, if any, are not looked at.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let number = |value: &Option<String>| {
            let text = value.as_deref().ok_or(KeyError::Malformed)?;
            let text = text.trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Malformed)
        };
        let curve = |kind: Kind| {
            let mut point = vec![4];
            for coordinate in [number(&jwk.x)?, number(&jwk.y)?] {
                let missing = kind.coordinate().checked_sub(coordinate.len());
                point.resize(point.len() + missing.ok_or(KeyError::Malformed)?, 0);
                point.extend(coordinate);
            }
            Self::from_point(kind, &point)
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Self::from_rsa(strip_zeros(&number(&jwk.n)?), strip_zeros(&number(&jwk.e)?)),
            ("EC", Some("P-256")) => curve(Kind::P256),
            ("EC", Some("P-384")) => curve(Kind::P384),
            ("EC", Some("P-521")) => curve(Kind::P521),
            ("OKP", Some("Ed25519")) => Self::from_ed25519(&number(&jwk.x)?),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn from_rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        if !(256..=1024).contains(&n.len()) {
            return Err(KeyError::RsaSize);
        }
        let key = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyError::Malformed)?;
        Self::new(Kind::Rsa, &key, (encode(n), encode(e)))
    }

    /// `raw`: 4, x, y.
    pub(crate) fn from_p256(raw: &[u8]) -> Result<Self, KeyError> {
        Self::from_point(Kind::P256, raw)
    }

    fn from_point(kind: Kind, raw: &[u8]) -> Result<Self, KeyError> {
        let algorithm: &'static dyn VerificationAlgorithm = match kind {
            Kind::P256 => &ECDSA_P256_SHA256_FIXED,
            Kind::P384 => &ECDSA_P384_SHA384_FIXED,
            _ => &ECDSA_P521_SHA512_FIXED,
        };
        let size = kind.coordinate();
        if raw.len() != 1 + 2 * size || raw[0] != 4 {
            return Err(KeyError::Malformed);
        }
        let key = ParsedPublicKey::new(algorithm, raw).map_err(|_| KeyError::Malformed)?;
        Self::new(kind, &key, (encode(&raw[1..=size]), encode(&raw[1 + size..])))
    }

    fn from_ed25519(raw: &[u8]) -> Result<Self, KeyError> {
        if raw.len() != 32 {
            return Err(KeyError::Malformed);
        }
        let key = ParsedPublicKey::new(&ED25519, raw).map_err(|_| KeyError::Malformed)?;
        Self::new(Kind::Ed25519, &key, (encode(raw), String::new()))
    }

    fn new(kind: Kind, key: &ParsedPublicKey, numbers: (String, String)) -> Result<Self, KeyError> {
        let spki = key.as_der().map_err(|_| KeyError::Malformed)?.as_ref().to_vec();
        let mut made = Self {
            kind,
            spki,
            numbers,
            thumbprint: String::new(),
        };
        // RFC 7638 section 3: the required members in the order of their names, without spaces.
        made.thumbprint = encode(digest::digest(&digest::SHA256, made.required_members().as_bytes()).as_ref());
        Ok(made)
    }

    fn required_members(&self) -> String {
        let (first, second) = &self.numbers;
        match self.kind {
            Kind::Rsa => format!(r#"{{"e":"{second}","kty":"RSA","n":"{first}"}}"#),
            Kind::Ed25519 => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{first}"}}"#),
            kind => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{first}","y":"{second}"}}"#,
                kind.curve()
            ),
        }
    }

    /// The key id of RFC 7638 (SHA-256, base64url), as distribution 3 names keys.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The key id of libtrust, as distribution 2.8 names keys: 30 bytes of the SHA-256 of the DER
    /// SubjectPublicKeyInfo in base32, in groups of four joined by colons.
    pub fn libtrust_id(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let hash = digest::digest(&digest::SHA256, &self.spki);
        let mut id = String::with_capacity(59);
        for (group, bytes) in hash.as_ref()[..30].chunks_exact(5).enumerate() {
            let bits = bytes.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
            for position in 0..8 {
                if position % 4 == 0 && (group, position) != (0, 0) {
                    id.push(':');
                }
                let index = (bits >> (35 - 5 * position)) & 31;
                id.push(char::from(ALPHABET[usize::try_from(index).unwrap_or(0)]));
            }
        }
        id
    }

    /// This key as a member of a JWK set, named by its thumbprint.
    pub fn to_jwk(&self, algorithm: &str) -> serde_json::Value {
        let mut jwk: serde_json::Value = serde_json::from_str(&self.required_members()).unwrap_or_default();
        jwk["kid"] = self.thumbprint.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = algorithm.into();
        jwk
    }

    /// Whether `signature` is this key's over `message`. Never true for an algorithm of another
    /// kind of key.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm.check_with(self.kind).is_some_and(|check| {
            UnparsedPublicKey::new(check, &self.spki)
                .verify(message, signature)
                .is_ok()
        })
    }
}

impl Kind {
    const fn coordinate(self) -> usize {
        match self {
            Self::P384 => 48,
            Self::P521 => 66,
            _ => 32,
        }
    }

    const fn curve(self) -> &'static str {
        match self {
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            _ => "P-256",
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?} ", self.kind)?;
        f.write_str(&self.thumbprint)?;
        f.write_char(')')
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    &bytes[zeros..]
}

#[cfg(test)]
mod tests;
