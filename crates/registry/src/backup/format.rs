//! A backup as bytes.
//!
//! It begins with a magic and continues with frames: a kind, a length, that many bytes, and the
//! SHA-256 over the hash of the frame before and all of this one. The first frame is the header,
//! then come compressed rows, and the last one counts them. So a file that was cut off, altered,
//! or put together from two is noticed wherever it happened.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wharf_metadata::transfer::Chunk;

use super::error::{Error, Result};

/// What a plain backup begins with.
pub(super) const MAGIC: &[u8; 12] = b"WHARFBACKUP1";
/// The newest format; a reader refuses newer ones.
pub(super) const FORMAT: u32 = 1;

const HEADER: u8 = b'H';
const ROWS: u8 = b'R';
const END: u8 = b'E';

/// The longest frame, and the longest rows of one when they are unpacked, in bytes.
const LONGEST: usize = 64 << 20;

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format of the file.
    pub format: u32,
    /// The version of Wharf that made it.
    pub wharf: String,
    /// How many steps its schema has.
    pub schema: i64,
    /// The identity of the storage that it was made beside.
    pub storage: Option<String>,
    /// The epoch of the index (consistency rule 1).
    pub epoch: i64,
    /// Whether the index knew all that was in the storage.
    pub is_complete: bool,
    /// When it was made.
    pub at: jiff::Timestamp,
}

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows of each table that has any.
    pub rows: BTreeMap<String, u64>,
    /// The last number that was given to a row of each table that is numbered.
    pub sequences: BTreeMap<String, i64>,
}

impl Totals {
    /// Counts the rows of a chunk.
    pub(super) fn add(&mut self, chunk: &Chunk) {
        *self.rows.entry(chunk.table().to_owned()).or_default() += chunk.rows();
    }
}

/// Compresses rows.
pub(super) fn pack(rows: &[u8]) -> Result<Vec<u8>> {
    let mut packed = DeflateEncoder::new(Vec::with_capacity(rows.len() / 2), Compression::fast());
    packed.write_all(rows)?;
    Ok(packed.finish()?)
}

/// Undoes [`pack`].
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    let read = DeflateDecoder::new(packed)
        .take(LONGEST as u64 + 1)
        .read_to_end(&mut rows);
    match read {
        Ok(length) if length <= LONGEST => Ok(rows),
        _ => Err(Error::Damaged("rows cannot be unpacked")),
    }
}

/// Writes a backup.
pub(super) struct Writer<W> {
    inner: W,
    chain: [u8; 32],
    totals: Totals,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut inner: W, header: &Header) -> Result<Self> {
        inner.write_all(MAGIC)?;
        let mut writer = Self {
            inner,
            chain: first(),
            totals: Totals::default(),
        };
        writer.frame(HEADER, &json(header)?)?;
        Ok(writer)
    }

    pub(super) fn rows(&mut self, chunk: &Chunk) -> Result<()> {
        self.totals.add(chunk);
        self.frame(ROWS, &pack(&chunk.encode())?)
    }

    /// Writes the end and gives the file back.
    pub(super) fn finish(mut self, sequences: Vec<(String, i64)>) -> Result<(W, Totals)> {
        self.totals.sequences = sequences.into_iter().collect();
        let end = json(&self.totals)?;
        self.frame(END, &end)?;
        Ok((self.inner, self.totals))
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len())
            .ok()
            .filter(|_| content.len() <= LONGEST)
            .ok_or(Error::Damaged("a row is too large to be saved"))?;
        let head = head(kind, length);
        self.chain = link(&self.chain, &head, content);
        self.inner.write_all(&head)?;
        self.inner.write_all(content)?;
        self.inner.write_all(&self.chain)?;
        Ok(())
    }
}

/// Reads a backup.
pub(super) struct Reader<R> {
    inner: R,
    chain: [u8; 32],
    found: Totals,
}

impl<R: Read> Reader<R> {
    /// Behind the magic.
    pub(super) fn new(inner: R) -> Result<(Self, Header)> {
        let mut reader = Self {
            inner,
            chain: first(),
            found: Totals::default(),
        };
        let (kind, content) = reader.frame()?;
        if kind != HEADER {
            return Err(Error::Damaged("it does not begin with its header"));
        }
        Ok((reader, header(&content)?))
    }

    /// The next rows; `None` at the end, when everything was there. [`Reader::totals`] then says
    /// what it was.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>> {
        let (kind, content) = self.frame()?;
        match kind {
            ROWS => {
                let chunk = Chunk::decode(&unpack(&content)?)?;
                self.found.add(&chunk);
                Ok(Some(chunk))
            }
            END => {
                let totals: Totals = parse(&content)?;
                if totals.rows != self.found.rows {
                    return Err(Error::Damaged("it does not hold the rows that it counts"));
                }
                if read_up_to(&mut self.inner, &mut [0])? > 0 {
                    return Err(Error::Damaged("there is something behind its end"));
                }
                self.found = totals;
                Ok(None)
            }
            _ => Err(Error::Damaged("a part of it is of no known kind")),
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.found
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        const CUT: Error = Error::Damaged("its end is missing: it was not written or copied to the end");
        let mut head = [0; 5];
        if read_up_to(&mut self.inner, &mut head)? < head.len() {
            return Err(CUT);
        }
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(Error::Damaged("a part of it was altered"));
        }
        let mut content = Vec::new();
        (&mut self.inner)
            .take(length as u64)
            .read_to_end(&mut content)
            .map_err(told)?;
        let mut chain = [0; 32];
        if content.len() < length || read_up_to(&mut self.inner, &mut chain)? < chain.len() {
            return Err(CUT);
        }
        self.chain = link(&self.chain, &head, &content);
        if self.chain != chain {
            return Err(Error::Damaged("a part of it was altered"));
        }
        Ok((kind, content))
    }
}

/// The header, if this version can read what follows it.
fn header(content: &[u8]) -> Result<Header> {
    let value: serde_json::Value = parse(content)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    let found = format.and_then(|format| u32::try_from(format).ok()).unwrap_or(u32::MAX);
    if found > FORMAT {
        return Err(Error::NewerFormat { found, known: FORMAT });
    }
    serde_json::from_value(value).map_err(|_| Error::Damaged("its header is not one"))
}

/// Bytes that were read until the end or until there was no more room.
pub(super) fn read_up_to(from: &mut impl Read, into: &mut [u8]) -> Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match from.read(&mut into[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(told(error)),
        }
    }
    Ok(count)
}

/// What the decryption below found wrong is damage, not a failing disk.
fn told(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::InvalidData {
        return Error::Damaged("a part of it was altered, or its end is missing");
    }
    Error::Io(error)
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Io(error.into()))
}

pub(super) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T> {
    serde_json::from_slice(content).map_err(|_| Error::Damaged("what it says about itself cannot be read"))
}

fn first() -> [u8; 32] {
    Sha256::digest(MAGIC).into()
}

fn head(kind: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [kind, a, b, c, d]
}

fn link(before: &[u8; 32], head: &[u8], content: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(head);
    hash.update(content);
    hash.finalize().into()
}
