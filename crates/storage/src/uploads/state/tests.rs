use super::*;

/// A state after `length` bytes.
fn state(length: usize, with_sha512: bool) -> UploadState {
    let mut state = UploadState::new(with_sha512);
    state.add(&vec![b'x'; length]);
    state
}

#[test]
fn a_stored_state_goes_on_where_it_was() {
    for length in [0, 1, 63, 64, 65, 127, 128, 1_000_000] {
        for with_sha512 in [false, true] {
            let stored = state(length, with_sha512).to_bytes();
            let mut restored = UploadState::from_bytes(&stored).unwrap();
            assert_eq!(restored.to_bytes(), stored);
            let mut whole = state(length, with_sha512);
            restored.add(b"more");
            whole.add(b"more");
            assert_eq!(restored.offset(), length as u64 + 4);
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                assert_eq!(restored.digest(algorithm), whole.digest(algorithm));
            }
        }
    }
}

#[test]
fn a_state_that_hashed_another_number_of_bytes_is_refused() {
    let stored = state(200, true).to_bytes();
    assert!(UploadState::from_bytes(&stored).is_some());
    // the offset, and the block counts of sha256 and sha512
    for position in [2, 1 + 8 + 32, 1 + 8 + state_size::<Sha256>() + 64] {
        let mut broken = stored.clone();
        broken[position] ^= 1;
        assert!(UploadState::from_bytes(&broken).is_none(), "byte {position}");
    }
}

#[test]
fn an_offset_that_no_hash_can_count_is_refused() {
    let mut stored = state(0, false).to_bytes();
    let offset = u64::MAX;
    stored[1..9].copy_from_slice(&offset.to_le_bytes());
    stored[41..49].copy_from_slice(&(offset / 64).to_le_bytes());
    assert!(UploadState::from_bytes(&stored).is_none());
}
