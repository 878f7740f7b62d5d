//! How far an upload has come.

use super::stored::Stored;
use sha2::{
    Digest as _, Sha256, Sha512,
    digest::{
        OutputSizeUser,
        common::{
            BlockSizeUser,
            hazmat::{SerializableState, SerializedState},
        },
        typenum::Unsigned,
    },
};
use std::fmt;
use wharf_oci::{Algorithm, Digest};

/// The offset of an upload, the state of the hashes over the bytes before it, and where these are
/// when they are in a bucket. Small, and good to store: any process can go on from it.
#[derive(Clone)]
pub struct UploadState {
    offset: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
    /// In a bucket.
    stored: Option<Stored>,
}

/// First byte of the stored form of an upload to a file.
const VERSION: u8 = 1;
/// The same of an upload to a bucket.
const STORED: u8 = 2;
/// More bytes than this cannot be hashed: SHA-256 counts their bits in 64 bits.
const MOST: u64 = u64::MAX / 8;

impl UploadState {
    /// Of an upload without bytes. sha512 is computed beside sha256 only on request: it takes three
    /// times as long.
    pub fn new(with_sha512: bool) -> Self {
        Self {
            offset: 0,
            sha256: Sha256::new(),
            sha512: with_sha512.then(Sha512::new),
            stored: None,
        }
    }

    /// Where the bytes are, in a bucket.
    pub(super) const fn stored(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// The same state, with the bytes there.
    pub(super) fn stored_in(&self, stored: Option<Stored>) -> Self {
        Self {
            offset: self.offset,
            sha256: self.sha256.clone(),
            sha512: self.sha512.clone(),
            stored,
        }
    }

    /// How many bytes the upload has.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The sha256 of all bytes so far.
    pub fn sha256(&self) -> Digest {
        Digest::Sha256(self.sha256.clone().finalize().into())
    }

    /// The digest of all bytes so far; `None` for an algorithm that is not computed.
    pub fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        match algorithm {
            Algorithm::Sha256 => Some(self.sha256()),
            Algorithm::Sha512 => {
                let hash = self.sha512.clone()?.finalize();
                Digest::from_hash(Algorithm::Sha512, &hash).ok()
            }
        }
    }

    /// Goes on over more bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The stored form. Of an upload to a file some hundred bytes at most; of one to a bucket some
    /// thousands, and 18 for each part.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = match self.stored {
            Some(_) => vec![STORED, self.sha512.is_some().into()],
            None => vec![VERSION],
        };
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.sha256.serialize());
        if let Some(sha512) = &self.sha512 {
            bytes.extend_from_slice(&sha512.serialize());
        }
        if let Some(stored) = &self.stored {
            stored.write(&mut bytes);
        }
        bytes
    }

    /// Reads the stored form; `None` when it is none, of another version, or contradicts itself.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [VERSION, rest @ ..] => Self::read(rest, None),
            [STORED, has_sha512 @ (0 | 1), rest @ ..] => Self::read(rest, Some(*has_sha512 == 1)),
            _ => None,
        }
    }

    /// Reads what follows the version. Where bytes follow the hashes, it is told whether there are two.
    fn read(bytes: &[u8], has_sha512: Option<bool>) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let offset = Some(u64::from_le_bytes(*offset)).filter(|offset| *offset <= MOST)?;
        let (sha256, rest) = rest.split_at_checked(state_size::<Sha256>())?;
        let length = match has_sha512 {
            None => rest.len(),
            Some(false) => 0,
            Some(true) => state_size::<Sha512>(),
        };
        let (sha512, rest) = rest.split_at_checked(length)?;
        let sha512 = match sha512 {
            [] => None,
            sha512 => Some(restore::<Sha512>(sha512, offset)?),
        };
        let stored = match has_sha512 {
            None => None,
            Some(_) => Some(Stored::read(rest).filter(|stored| stored.length() == Some(offset))?),
        };
        Some(Self {
            offset,
            sha256: restore(sha256, offset)?,
            sha512,
            stored,
        })
    }
}

fn state_size<H: SerializableState>() -> usize {
    H::SerializedStateSize::USIZE
}

/// Reads the state of a hash over `offset` bytes. Behind its chaining words, which are as long as its
/// output, stands how many blocks it has seen, in a quarter of that length.
fn restore<H: SerializableState + BlockSizeUser + OutputSizeUser>(bytes: &[u8], offset: u64) -> Option<H> {
    let words = H::OutputSize::USIZE;
    let count = bytes.get(words..words + words / 4)?;
    let blocks = count.iter().rev().fold(0u128, |sum, &byte| sum << 8 | u128::from(byte));
    if blocks != u128::from(offset / H::BlockSize::U64) {
        return None;
    }
    H::deserialize(&SerializedState::<H>::try_from(bytes).ok()?).ok()
}

impl fmt::Debug for UploadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadState")
            .field("offset", &self.offset)
            .field("has_sha512", &self.sha512.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests;
