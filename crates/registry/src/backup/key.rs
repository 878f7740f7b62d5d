//! The key that backups and snapshots are encrypted with. The operator holds it; nothing of it is
//! kept beside what it opens.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use crate::Random;

/// What a key begins with as text, so that nothing else is taken for one.
const PREFIX: &str = "wharf-backup-key-1:";
/// Bytes of a key.
const LENGTH: usize = 32;

/// A key of 256 bits.
pub struct BackupKey {
    secret: Zeroizing<[u8; LENGTH]>,
    id: String,
}

impl BackupKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`Error::Sealing`] when the cryptography library refuses.
    pub fn generate(random: &Random) -> Result<Self> {
        let mut secret = Zeroizing::new([0; LENGTH]);
        random(secret.as_mut_slice());
        Self::new(secret)
    }

    /// The key that [`BackupKey::to_text`] wrote; space around it does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedKey`], which does not say what was there instead.
    pub fn parse(text: &str) -> Result<Self> {
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(Error::MalformedKey("it does not begin with wharf-backup-key-1:"))?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map(Zeroizing::new)
            .map_err(|_| Error::MalformedKey("what follows the colon is not base64"))?;
        let secret = <[u8; LENGTH]>::try_from(bytes.as_slice())
            .map_err(|_| Error::MalformedKey("what follows the colon is not 32 bytes"))?;
        Self::new(Zeroizing::new(secret))
    }

    fn new(secret: Zeroizing<[u8; LENGTH]>) -> Result<Self> {
        let mut id = [0; 8];
        expand(&secret, b"", b"id", &mut id)?;
        let id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { secret, id })
    }

    /// The key as the operator keeps it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.secret.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}", encoded.as_str()))
    }

    /// A name of the key that tells nothing about it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A key for one file.
    pub(super) fn file_key(&self, salt: &[u8], header: &[u8]) -> Result<Zeroizing<[u8; LENGTH]>> {
        let mut key = Zeroizing::new([0; LENGTH]);
        expand(&self.secret, salt, &[b"file ", header].concat(), key.as_mut_slice())?;
        Ok(key)
    }

    /// A name for content that only who has the key can compute, 64 hexadecimal digits.
    pub(super) fn name_of(&self, content: &[u8]) -> Result<String> {
        let mut key = Zeroizing::new([0; LENGTH]);
        expand(&self.secret, b"", b"names", key.as_mut_slice())?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), content);
        Ok(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256.
fn expand(secret: &[u8; LENGTH], salt: &[u8], info: &[u8], into: &mut [u8]) -> Result<()> {
    let failed = |_| Error::Sealing("a key cannot be derived");
    let derived: Prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [b"wharf backup ", info];
    let expanded = derived.expand(&info, Length(into.len())).map_err(failed)?;
    expanded.fill(into).map_err(failed)
}
