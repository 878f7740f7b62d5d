//! Encryption of a whole file in pieces: AES-256-GCM with a key of its own for each file, the
//! number of the piece and whether it is the last one in the nonce. So pieces cannot be left out,
//! moved, added or cut off, and a file cannot be given another header.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::error::{Error, Result};
use super::key::BackupKey;
use crate::Random;

/// What a sealed file begins with: this, then the key's id (16 bytes), then the salt.
pub(super) const MAGIC: &[u8; 12] = b"WHARFSEALED1";
const KEY_ID: usize = 16;
const SALT: usize = 32;
/// Bytes before the first piece.
const HEADER: usize = MAGIC.len() + KEY_ID + SALT;
/// Plain bytes of a piece.
const PIECE: usize = 64 << 10;
/// Bytes that a sealed piece is longer by.
const TAG: usize = 16;

/// Encrypts what is written to it. Nothing is whole before [`Sealer::finish`].
pub(super) struct Sealer<W> {
    inner: W,
    key: LessSafeKey,
    counter: u32,
    piece: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(mut inner: W, key: &BackupKey, random: &Random) -> Result<Self> {
        let mut salt = [0; SALT];
        random(&mut salt);
        let header = [MAGIC.as_slice(), key.id().as_bytes(), &salt].concat();
        inner.write_all(&header)?;
        Ok(Self {
            inner,
            key: piece_key(key, &header)?,
            counter: 0,
            piece: Vec::with_capacity(PIECE + TAG),
        })
    }

    /// Writes the last piece and gives the file back.
    pub(super) fn finish(mut self) -> Result<W> {
        self.seal(true)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = nonce(self.counter, is_last);
        self.counter = self.counter.checked_add(1).ok_or_else(|| failed("it is too large"))?;
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.piece)
            .map_err(|_| failed("a piece cannot be encrypted"))?;
        self.inner.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.seal(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts a sealed file. What it hands out is what was written at that place, though the end
/// may be missing yet: only a read that answers 0 says that all of it was there.
pub(super) struct Opener<R> {
    inner: R,
    key: LessSafeKey,
    counter: u32,
    /// The plain bytes of the present piece, and how many of them were handed out.
    piece: Vec<u8>,
    taken: usize,
    /// The first byte of the next piece.
    ahead: Option<u8>,
    is_last: bool,
}

/// The id of the key that a file was sealed with; `begin` is what follows its magic.
fn key_id(begin: &[u8]) -> Result<String> {
    let id = begin.get(..KEY_ID).unwrap_or_default();
    if !id.iter().all(u8::is_ascii_hexdigit) {
        return Err(Error::Damaged("the id of its key is not one"));
    }
    Ok(String::from_utf8_lossy(id).into_owned())
}

impl<R: Read> Opener<R> {
    /// Behind the magic.
    pub(super) fn new(mut inner: R, key: Option<&BackupKey>) -> Result<Self> {
        let mut header = [0; HEADER];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        inner
            .read_exact(&mut header[MAGIC.len()..])
            .map_err(|_| Error::Damaged("it ends too early"))?;
        let needed = key_id(&header[MAGIC.len()..])?;
        let key = match key {
            None => return Err(Error::NeedsKey { needed }),
            Some(key) if key.id() != needed => {
                let given = key.id().to_owned();
                return Err(Error::WrongKey { needed, given });
            }
            Some(key) => key,
        };
        Ok(Self {
            inner,
            key: piece_key(key, &header)?,
            counter: 0,
            piece: Vec::new(),
            taken: 0,
            ahead: None,
            is_last: false,
        })
    }

    fn open(&mut self) -> io::Result<()> {
        self.piece.clear();
        self.piece.extend(self.ahead.take());
        let room = PIECE + TAG - self.piece.len();
        self.inner.by_ref().take(room as u64).read_to_end(&mut self.piece)?;
        if self.piece.len() == PIECE + TAG {
            let mut next = [0];
            self.ahead = match self.inner.read(&mut next)? {
                0 => None,
                _ => Some(next[0]),
            };
        }
        self.is_last = self.ahead.is_none();
        let nonce = nonce(self.counter, self.is_last);
        self.counter = self.counter.checked_add(1).ok_or_else(|| failed("it is too large"))?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::empty(), &mut self.piece)
            .map_err(|_| failed("a part of it was altered, or its end is missing"))?;
        let length = plain.len();
        self.piece.truncate(length);
        self.taken = 0;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            if self.is_last {
                return Ok(0);
            }
            self.open()?;
        }
        let rest = &self.piece[self.taken..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

fn failed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn piece_key(key: &BackupKey, header: &[u8]) -> Result<LessSafeKey> {
    let secret = key.file_key(&header[header.len() - SALT..], header)?;
    let unbound =
        UnboundKey::new(&AES_256_GCM, secret.as_slice()).map_err(|_| Error::Sealing("the key is not accepted"))?;
    Ok(LessSafeKey::new(unbound))
}

/// Used once: every file has a key of its own.
fn nonce(counter: u32, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}
