//! Signed URLs of CloudFront with a canned policy, by SHA-256 (docs.aws.amazon.com/AmazonCloudFront/latest/
//! DeveloperGuide/private-content-creating-signed-url-canned-policy.html).

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config;

/// Signs URLs with a key that the distribution trusts.
pub(super) struct CloudFront {
    base_url: String,
    key_pair_id: String,
    duration: Duration,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl fmt::Debug for CloudFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFront")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl CloudFront {
    /// Reads the private key.
    pub(super) fn new(settings: &config::CloudFront) -> Result<Self> {
        let file = settings.private_key.display();
        let key = PrivateKeyDer::from_pem_file(&settings.private_key)
            .with_context(|| format!("the private key {file} of the middleware cloudfront cannot be read"))?;
        let key = parse(&key).with_context(|| format!("the private key {file} of the middleware cloudfront"))?;
        Ok(Self {
            base_url: settings.base_url.clone(),
            key_pair_id: settings.key_pair_id.clone(),
            duration: settings.duration,
            key,
        })
    }

    /// The URL of the object `key`, good from `now` on.
    pub(super) fn url(&self, key: &str, now: Timestamp) -> String {
        let url = format!("{}{key}", self.base_url);
        let seconds = i64::try_from(self.duration.as_secs()).unwrap_or(i64::MAX);
        let expires = now.as_second().saturating_add(seconds);
        // nothing in a key of ours or in a base URL has to be escaped in JSON
        let policy = format!(
            r#"{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#
        );
        let signature = STANDARD.encode(self.key.sign(policy.as_bytes()));
        let signature = signature.replace('+', "-").replace('=', "_").replace('/', "~");
        let id = &self.key_pair_id;
        format!("{url}?Expires={expires}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256")
    }
}

fn parse(key: &PrivateKeyDer<'_>) -> Result<Key> {
    let wrong = |_| anyhow!("it is neither an RSA key nor an ECDSA key on P-256");
    match key {
        PrivateKeyDer::Pkcs1(der) => Ok(Key::Rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(wrong)?)),
        PrivateKeyDer::Pkcs8(der) => match RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()) {
            Ok(key) => Ok(Key::Rsa(key)),
            Err(_) => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der());
                Ok(Key::Ecdsa(key.map_err(wrong)?))
            }
        },
        PrivateKeyDer::Sec1(der) => {
            let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_sec1_der());
            Ok(Key::Ecdsa(key.map_err(wrong)?))
        }
        _ => bail!("keys of this kind are not known"),
    }
}

impl Key {
    /// Nothing to send where the generator of random numbers fails, which it does not after the start.
    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                match key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature) {
                    Ok(()) => signature,
                    Err(_) => Vec::new(),
                }
            }
            Self::Ecdsa(key) => match key.sign(&random, text) {
                Ok(signature) => signature.as_ref().to_vec(),
                Err(_) => Vec::new(),
            },
        }
    }
}
