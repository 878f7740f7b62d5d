//! Where the bytes of an upload to a bucket are.

use bytes::Bytes;

/// The bytes of an upload, in their order: parts of equal size, then pieces, then a rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// From the first full part on.
    pub(super) multipart: Option<Multipart>,
    /// Objects with what came after the last full part.
    pub(super) pieces: Vec<Piece>,
    /// What came after these: few bytes, or the last ones before the upload becomes a blob.
    pub(super) rest: Vec<Bytes>,
    /// Objects that only an earlier state needs. They go when a state is made after this one.
    pub(super) old: Vec<Name>,
}

/// Parts that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Multipart {
    pub(super) id: String,
    /// Bytes in each.
    pub(super) part_size: u64,
    /// What the store calls the content of each.
    pub(super) tags: Vec<Box<str>>,
}

/// An object of its own with some of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) name: Name,
    pub(super) length: u64,
}

/// What a piece is called: made from all bytes up to its end, so that two writers that know not of each
/// other never give one name to different bytes.
pub(super) type Name = [u8; 16];

/// More parts are not put together.
const MOST_TAGS: usize = 10_000;
/// An entity tag of 32 hexadecimal digits in quotes is stored as 16 bytes.
const TAG: usize = 34;

impl Stored {
    /// How many bytes these are; `None` for more than anybody has.
    pub(super) fn length(&self) -> Option<u64> {
        let parts = match &self.multipart {
            Some(parts) => parts.part_size.checked_mul(parts.tags.len() as u64)?,
            None => 0,
        };
        parts.checked_add(self.tail_length()?)
    }

    /// How many come after the last full part.
    pub(super) fn tail_length(&self) -> Option<u64> {
        let rest = self.rest.iter().map(|bytes| bytes.len() as u64).sum();
        self.pieces
            .iter()
            .try_fold(rest, |sum: u64, piece| sum.checked_add(piece.length))
    }

    /// Objects of the upload by their names.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.pieces
            .iter()
            .map(|piece| piece.name)
            .chain(self.old.iter().copied())
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        match &self.multipart {
            None => bytes.push(0),
            Some(parts) => {
                bytes.push(1);
                bytes.extend_from_slice(&parts.part_size.to_le_bytes());
                write_text(bytes, &parts.id);
                bytes.extend_from_slice(&(parts.tags.len() as u32).to_le_bytes());
                for tag in &parts.tags {
                    match short(tag) {
                        Some(short) => {
                            bytes.extend_from_slice(&[0, 0]);
                            bytes.extend_from_slice(&short);
                        }
                        None => write_text(bytes, tag),
                    }
                }
            }
        }
        bytes.extend_from_slice(&(self.pieces.len() as u32).to_le_bytes());
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.name);
            bytes.extend_from_slice(&piece.length.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.old.len() as u32).to_le_bytes());
        self.old.iter().for_each(|name| bytes.extend_from_slice(name));
        self.rest.iter().for_each(|rest| bytes.extend_from_slice(rest));
    }

    /// Reads what [`write`](Self::write) wrote; the rest is what remains.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut left = Left(bytes);
        let multipart = match left.take(1)? {
            [0] => None,
            [1] => Some(read_multipart(&mut left)?),
            _ => return None,
        };
        let count = left.count(24)?;
        let mut pieces = Vec::with_capacity(count);
        for _ in 0..count {
            pieces.push(Piece {
                name: left.array()?,
                length: u64::from_le_bytes(left.array()?),
            });
        }
        let count = left.count(16)?;
        let mut old = Vec::with_capacity(count);
        for _ in 0..count {
            old.push(left.array()?);
        }
        let rest = Bytes::copy_from_slice(left.0);
        Some(Self {
            multipart,
            pieces,
            old,
            rest: Some(rest).filter(|rest| !rest.is_empty()).into_iter().collect(),
        })
    }
}

fn read_multipart(left: &mut Left<'_>) -> Option<Multipart> {
    let part_size = u64::from_le_bytes(left.array()?);
    let length = u16::from_le_bytes(left.array()?);
    let id = left.text(length.into())?;
    let count = left.count(2).filter(|count| *count <= MOST_TAGS)?;
    let mut tags = Vec::with_capacity(count);
    for _ in 0..count {
        let tag = match u16::from_le_bytes(left.array()?) {
            0 => long(left.array()?),
            length => left.text(length.into())?,
        };
        tags.push(tag.into());
    }
    Some(Multipart { id, part_size, tags })
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    // what a server calls an upload or a part has some hundred bytes at most
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes().get(..length.into()).unwrap_or_default());
}

/// The bytes of a usual entity tag.
fn short(tag: &str) -> Option<[u8; 16]> {
    let hex = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = tag.len() == TAG && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let value = u128::from_str_radix(hex, 16).ok()?;
    is_plain.then(|| value.to_be_bytes())
}

fn long(short: [u8; 16]) -> String {
    format!("\"{:032x}\"", u128::from_be_bytes(short))
}

/// Bytes that are still to be read.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn text(&mut self, length: usize) -> Option<String> {
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// The number of entries that follow, each of which has so many bytes at least.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
        (count.checked_mul(least)? <= self.0.len()).then_some(count)
    }
}

#[cfg(test)]
mod tests;
