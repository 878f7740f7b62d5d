use super::{Block, PAGE, SIZE};

#[test]
fn bytes_lie_in_memory_at_the_same_step_within_a_page_as_in_the_file() {
    let mut block = Block::at(0);
    for offset in [0u64, 1, 4095, 4096, 5000, (SIZE as u64) - 1, 3 * SIZE as u64 + 7] {
        block = block.again_at(offset);
        assert_eq!(block.fill(b"some bytes"), (SIZE - offset as usize % SIZE).min(10));
        assert_eq!(block.bytes().as_ptr().addr() % PAGE, offset as usize % PAGE);
        assert_eq!(block.offset(), offset);
    }
}

#[test]
fn a_full_block_ends_where_a_multiple_of_its_size_does_and_has_never_moved() {
    let bytes: Vec<u8> = (0..2 * SIZE).map(|number| number as u8).collect();
    for (offset, room) in [(0, SIZE), (1, SIZE - 1), (SIZE as u64 - 1, 1), (SIZE as u64, SIZE)] {
        let mut block = Block::at(offset);
        assert_eq!(block.fill(&[]), 0);
        let place = block.bytes().as_ptr();
        let first = block.fill(&bytes[..room / 3]);
        let second = block.fill(&bytes[first..]);
        assert_eq!((first, first + second), (room / 3, room));
        assert!(block.is_full());
        assert_eq!(block.fill(b"more"), 0);
        assert_eq!(block.bytes(), &bytes[..room]);
        assert_eq!(block.bytes().as_ptr(), place);
    }
}
