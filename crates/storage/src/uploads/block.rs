//! Memory that received bytes are gathered in on their way to a file.

/// A full block ends where a multiple of this many bytes does in the file. Larger blocks did not
/// make writes past the page cache cheaper, smaller ones did cost (docs/performance.md).
pub(super) const SIZE: usize = 1 << 20;

/// Memory is asked for with room to begin anywhere within a page.
const PAGE: usize = 4096;

/// Up to [`SIZE`] bytes that belong at one place in a file. In memory they begin at the same step
/// within a page as in the file, which is what a write past the page cache needs.
#[derive(Debug)]
pub(super) struct Block {
    offset: u64,
    /// Has the capacity for everything from the beginning: what is in it never moves.
    memory: Vec<u8>,
    /// Where the bytes begin in `memory`.
    start: usize,
    /// How many bytes it takes.
    room: usize,
}

impl Block {
    /// An empty one for the bytes that belong at `offset`.
    pub(super) fn at(offset: u64) -> Self {
        let memory = Vec::with_capacity(SIZE + PAGE);
        let block = Self {
            offset,
            memory,
            start: 0,
            room: 0,
        };
        block.again_at(offset)
    }

    /// The same memory, empty, for another place.
    pub(super) fn again_at(mut self, offset: u64) -> Self {
        self.memory.clear();
        let address = self.memory.as_ptr().addr();
        self.start = (PAGE + step(offset, PAGE) - address % PAGE) % PAGE;
        self.memory.resize(self.start, 0);
        self.room = SIZE - step(offset, SIZE);
        Self { offset, ..self }
    }

    /// Takes as many of `bytes` as there is room for, and says how many.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room);
        self.memory.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.room -= taken;
        taken
    }

    /// Whether there is no room left.
    pub(super) const fn is_full(&self) -> bool {
        self.room == 0
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }
}

/// How far behind a multiple of `size` an offset lies.
fn step(offset: u64, size: usize) -> usize {
    usize::try_from(offset % size as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
