//! Receiving bytes into a bucket, while the bytes before them are on their way.
//!
//! They go out in parts of one multipart upload, all of one size but the last, for some stores take
//! no others. What makes no part yet is an object of its own when a request ends (a piece), or stays in
//! the state when it is little; whoever goes on reads the pieces back into the next part.
//!
//! Nothing that an older request still sends can do harm: a part has the same number for the same
//! bytes, a piece's name is made from the bytes, and what makes the upload a blob lists parts by the tags
//! that the store gave to their content.

use super::{
    PIECE, Turn, UploadState,
    stored::{Multipart, Name, Piece, Stored},
};
use crate::{
    Error, ErrorKind, Result,
    objects::{MOST_PARTS, Objects, Payload},
    paths::{self, Location},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::OwnedSemaphorePermit;
use wharf_oci::Digest;

mod publish;

pub(super) use publish::{complete, publish, read_pieces};

/// Up to so many bytes stay in the state.
const LITTLE: u64 = 16 << 10;
/// More pieces than this become one.
const MOST_PIECES: usize = 32;
/// So many parts of one upload are on their way at most.
const AT_ONCE: usize = 4;
/// Bytes are gathered in memory of this size.
const SEGMENT: usize = 256 << 10;

/// Where the objects of a session are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) objects: Objects,
    pub(super) folder: Location,
    pub(super) data: Location,
}

impl Place {
    pub(super) fn piece(&self, name: &Name) -> Location {
        paths::upload_piece(&self.folder, name)
    }
}

/// Bytes in memory.
#[derive(Debug, Default)]
struct Block {
    full: Vec<Bytes>,
    open: BytesMut,
    length: u64,
}

impl Block {
    fn add(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.open.capacity() == self.open.len() {
                let size = (self.length as usize).next_power_of_two().clamp(8 << 10, SEGMENT);
                let full = std::mem::replace(&mut self.open, BytesMut::with_capacity(size));
                self.full.extend(Some(full.freeze()).filter(|full| !full.is_empty()));
            }
            let room = self.open.capacity() - self.open.len();
            let (taken, rest) = bytes.split_at(bytes.len().min(room));
            self.open.extend_from_slice(taken);
            bytes = rest;
        }
    }

    /// All of it. The bytes are not copied.
    fn take(&mut self) -> Vec<Bytes> {
        let open = std::mem::take(&mut self.open).freeze();
        self.full.extend(Some(open).filter(|open| !open.is_empty()));
        self.length = 0;
        std::mem::take(&mut self.full)
    }

    /// All of it, which stays here too.
    fn share(&mut self) -> Vec<Bytes> {
        let length = self.length;
        let all = self.take();
        (self.full, self.length) = (all.clone(), length);
        all
    }
}

/// A part that has arrived.
struct Sent {
    tag: String,
    /// The hashes up to its end.
    hashes: UploadState,
    /// Pieces that are in it.
    pieces: Vec<Name>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Adds bytes to the objects of one session.
pub(super) struct RemoteWriter {
    place: Place,
    turn: Turn,
    expected: Option<u64>,
    /// After the last part or piece that is stored.
    state: UploadState,
    stored: Stored,
    /// Objects that nothing needs any more, for the state that the writer began with is kept somewhere.
    unneeded: Vec<Name>,
    /// After the last byte received.
    received: UploadState,
    /// Pieces that no part on its way has in it, and the bytes after them.
    pieces: Vec<Piece>,
    block: Block,
    sending: FuturesOrdered<BoxFuture<'static, Result<Sent>>>,
}

impl std::fmt::Debug for RemoteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWriter")
            .field("folder", &self.place.folder)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl RemoteWriter {
    pub(super) fn open(place: Place, turn: Turn, state: UploadState) -> Result<Self> {
        let mut stored = match state.stored() {
            Some(stored) => stored.clone(),
            None if state.offset() == 0 => Stored::default(),
            // of a session whose bytes are in a file
            None => return Err(Error::new(ErrorKind::NotFound, "resume", &place.folder)),
        };
        let mut block = Block::default();
        stored.rest.iter().for_each(|bytes| block.add(bytes));
        Ok(Self {
            received: state.stored_in(None),
            unneeded: std::mem::take(&mut stored.old),
            pieces: stored.pieces.clone(),
            place,
            turn,
            expected: None,
            state,
            stored,
            block,
            sending: FuturesOrdered::new(),
        })
    }

    pub(super) fn expect(&mut self, total: u64) {
        self.expected = Some(total);
    }

    pub(super) const fn state(&self) -> &UploadState {
        &self.state
    }

    pub(super) const fn received(&self) -> u64 {
        self.received.offset()
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        // what has arrived by now, without waiting
        while let Some(Some(sent)) = self.sending.next().now_or_never() {
            self.note(sent?);
        }
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
            let (piece, after) = rest.split_at(rest.len().min(PIECE).min(room));
            self.received.add(piece);
            self.block.add(piece);
            rest = after;
            if self.room() == 0 {
                self.submit().await?;
            } else if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// How many bytes the next part still takes.
    fn room(&self) -> u64 {
        let pieces: u64 = self.pieces.iter().map(|piece| piece.length).sum();
        self.part_size().saturating_sub(pieces + self.block.length)
    }

    fn part_size(&self) -> u64 {
        match &self.stored.multipart {
            Some(parts) => parts.part_size,
            None => {
                // a configuration may have changed since the bytes came
                let tail = self.stored.tail_length().unwrap_or(0);
                let least = if tail == 0 {
                    0
                } else {
                    (tail + 1).next_multiple_of(1 << 20)
                };
                self.place.objects.parts().size(self.expected).max(least)
            }
        }
    }

    /// Sends a full part. While it is on its way the next one is gathered, if there is memory for that.
    async fn submit(&mut self) -> Result<()> {
        drop(self.turn.hold().await?);
        let (id, number) = self.next_part().await?;
        let size = self.part_size();
        let memory = self.place.objects.parts().memory(size);
        let has_memory = memory.is_some();
        let (pieces, block) = (std::mem::take(&mut self.pieces), self.block.take());
        let (place, hashes) = (self.place.clone(), self.received.clone());
        let sent = async move {
            let mut bytes = read_pieces(&place, &pieces).await?;
            bytes.extend(block);
            let tag = place
                .objects
                .put_part((&place.data, &id), number, Payload::from_iter(bytes));
            Ok(Sent {
                tag: tag.await?,
                hashes,
                pieces: pieces.iter().map(|piece| piece.name).collect(),
                _memory: memory,
            })
        };
        self.sending.push_back(sent.boxed());
        let most = if has_memory { AT_ONCE } else { 1 };
        while self.sending.len() >= most {
            self.wait().await?;
        }
        // begins it
        while let Some(Some(sent)) = self.sending.next().now_or_never() {
            self.note(sent?);
        }
        Ok(())
    }

    /// The multipart upload, begun with the first part, and the index of the part that comes next.
    async fn next_part(&mut self) -> Result<(String, usize)> {
        let part_size = self.part_size();
        if self.stored.multipart.is_none() {
            let id = self.place.objects.begin_parts(&self.place.data).await?;
            let multipart = Multipart {
                id,
                part_size,
                tags: Vec::new(),
            };
            self.stored.multipart = Some(multipart);
            self.keep();
        }
        let Some(parts) = &self.stored.multipart else {
            return Err(Error::new(ErrorKind::Other, "write", &self.place.data));
        };
        let number = parts.tags.len() + self.sending.len();
        if number as u64 >= MOST_PARTS {
            let reason =
                format!("{MOST_PARTS} parts of {part_size} bytes are the most there may be: set a larger chunksize");
            return Err(Error::because(ErrorKind::Invalid, "write", &self.place.data, reason));
        }
        Ok((parts.id.clone(), number))
    }

    /// Waits for the oldest part on its way, if there is one.
    async fn wait(&mut self) -> Result<()> {
        if let Some(sent) = self.sending.next().await {
            self.note(sent?);
        }
        Ok(())
    }

    fn note(&mut self, sent: Sent) {
        if let Some(parts) = &mut self.stored.multipart {
            parts.tags.push(sent.tag.into());
        }
        self.stored.pieces.clear();
        self.stored.rest.clear();
        self.stored.old.extend(sent.pieces);
        self.state = sent.hashes;
        self.keep();
    }

    /// Makes the state say where the bytes are.
    fn keep(&mut self) {
        let mut stored = self.stored.clone();
        // what the beginning of this writer needs is needed until a later state is kept
        stored.old.extend(&self.unneeded);
        self.state = self.state.stored_in(Some(stored));
    }

    pub(super) async fn finish(&mut self, is_last: bool) -> Result<UploadState> {
        while !self.sending.is_empty() {
            self.wait().await?;
        }
        if self.received.offset() > self.state.offset() {
            let _hold = self.turn.hold().await?;
            self.forget_old().await?;
            if is_last || self.block.length <= LITTLE {
                self.stored.rest = self.block.share();
            } else {
                self.store_piece().await?;
            }
            self.stored.pieces = self.pieces.clone();
            self.state = self.received.clone();
            self.keep();
        }
        Ok(self.state.clone())
    }

    /// Stores the bytes in memory as a piece.
    async fn store_piece(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        let mut length = self.block.length;
        if self.pieces.len() >= MOST_PIECES {
            bytes = read_pieces(&self.place, &self.pieces).await?;
            length += self.pieces.iter().map(|piece| piece.length).sum::<u64>();
            self.stored.old.extend(self.pieces.drain(..).map(|piece| piece.name));
        }
        bytes.extend(self.block.share());
        let name = name(&self.received);
        let place = self.place.piece(&name);
        self.place.objects.write(&place, Payload::from_iter(bytes)).await?;
        self.block.take();
        self.stored.rest.clear();
        self.pieces.push(Piece { name, length });
        Ok(())
    }

    /// Removes what only states before the first one of this writer needed.
    async fn forget_old(&mut self) -> Result<()> {
        let old: Vec<Location> = self.unneeded.iter().map(|name| self.place.piece(name)).collect();
        self.place.objects.remove(old).await?;
        self.unneeded.clear();
        Ok(())
    }
}

/// What a piece is called that ends where a state stands.
fn name(state: &UploadState) -> Name {
    let mut name = Name::default();
    if let Digest::Sha256(hash) = state.sha256() {
        name.iter_mut().zip(hash).for_each(|(byte, hash)| *byte = hash);
    }
    name
}

/// Makes a state whose last bytes are in memory one that is good to keep: they are stored.
pub(super) async fn settle(place: &Place, state: &UploadState) -> Result<UploadState> {
    let Some(stored) = state.stored() else {
        return Ok(state.clone());
    };
    let length = stored.rest.iter().map(|bytes| bytes.len() as u64).sum();
    if length <= LITTLE {
        return Ok(state.clone());
    }
    let mut stored = stored.clone();
    let name = name(state);
    let rest = std::mem::take(&mut stored.rest);
    place
        .objects
        .write(&place.piece(&name), Payload::from_iter(rest))
        .await?;
    stored.pieces.push(Piece { name, length });
    Ok(state.stored_in(Some(stored)))
}
