//! Content digests (OCI image-spec, descriptor.md "Digests").

use std::{fmt, str::FromStr};

/// The algorithms that a registered digest may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`, the canonical one: bytes are stored under it.
    Sha256,
    /// `sha512`.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal characters follow the colon.
    pub const fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnknownAlgorithm),
        }
    }
}

/// A well-formed digest such as `sha256:e3b0c4…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// A SHA-256 digest.
    Sha256([u8; 32]),
    /// A SHA-512 digest.
    Sha512([u8; 64]),
}

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no colon between algorithm and value.
    #[error("digest has no ':' between algorithm and value")]
    NoSeparator,
    /// The algorithm is neither sha256 nor sha512.
    #[error("digest algorithm is not supported: use sha256 or sha512")]
    UnknownAlgorithm,
    /// The value has the wrong number of characters.
    #[error("digest value has the wrong length for its algorithm")]
    WrongLength,
    /// The value holds something else than `0-9a-f`.
    #[error("digest value must be lowercase hexadecimal")]
    NotHexadecimal,
}

impl Digest {
    /// The algorithm that made it.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw bytes: 32 or 64 of them.
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// The part after the colon.
    pub fn hex(&self) -> String {
        let bytes = self.bytes();
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 15));
        }
        text
    }

    /// The digest of a raw hash value, when its length fits the algorithm.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Result<Self, DigestError> {
        match algorithm {
            Algorithm::Sha256 => hash.try_into().map(Self::Sha256),
            Algorithm::Sha512 => hash.try_into().map(Self::Sha512),
        }
        .map_err(|_| DigestError::WrongLength)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::NoSeparator)?;
        let algorithm: Algorithm = algorithm.parse()?;
        if hex.len() != algorithm.hex_length() {
            return Err(DigestError::WrongLength);
        }
        let mut hash = [0u8; 64];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = (hex_value(pair[0])? << 4) | hex_value(pair[1])?;
        }
        Self::from_hash(algorithm, &hash[..hex.len() / 2])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 7 + 128];
        let bytes = self.bytes();
        text[..7].copy_from_slice(match self.algorithm() {
            Algorithm::Sha256 => b"sha256:",
            Algorithm::Sha512 => b"sha512:",
        });
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(bytes) {
            pair[0] = hex_digit(byte >> 4) as u8;
            pair[1] = hex_digit(byte & 15) as u8;
        }
        let text = std::str::from_utf8(&text[..7 + bytes.len() * 2]).map_err(|_| fmt::Error)?;
        f.pad(text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn hex_digit(nibble: u8) -> char {
    (if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }) as char
}

const fn hex_value(character: u8) -> Result<u8, DigestError> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(DigestError::NotHexadecimal),
    }
}

#[cfg(test)]
mod tests;
