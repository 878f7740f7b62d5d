use super::*;
use crate::UploadState;

const PART: u64 = 5 << 20;

fn some() -> Stored {
    Stored {
        multipart: Some(Multipart {
            id: "an id/of+theirs=".to_owned(),
            part_size: PART,
            tags: [
                "\"0123456789abcdef0123456789abcdef\"",
                "\"0123456789ABCDEF0123456789ABCDEF\"",
                "0123456789abcdef0123456789abcdef",
                "<PartMetadata><e_tag>\"x\"</e_tag></PartMetadata>",
            ]
            .map(Into::into)
            .to_vec(),
        }),
        pieces: vec![
            Piece {
                name: [1; 16],
                length: 70_000,
            },
            Piece {
                name: [2; 16],
                length: 1,
            },
        ],
        rest: vec![Bytes::from_static(b"re"), Bytes::from_static(b"st")],
        old: vec![[3; 16]],
    }
}

fn bytes(stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.write(&mut bytes);
    bytes
}

#[test]
fn what_was_stored_is_read_as_it_was() {
    for mut stored in [some(), Stored::default()] {
        let read = Stored::read(&bytes(&stored)).unwrap();
        stored.rest = Some(stored.rest.concat())
            .filter(|rest| !rest.is_empty())
            .map(Bytes::from)
            .into_iter()
            .collect();
        assert_eq!(read, stored);
    }
    assert_eq!(some().length(), Some(4 * PART + 70_001 + 4));
}

#[test]
fn ten_thousand_parts_take_180_kilobytes() {
    let mut stored = some();
    if let Some(parts) = &mut stored.multipart {
        let tag = parts.tags[0].clone();
        parts.tags = vec![tag; 10_000];
    }
    assert!(bytes(&stored).len() < 181_000);
    assert!(Stored::read(&bytes(&stored)).is_some());
}

#[test]
fn broken_forms_are_refused() {
    let whole = bytes(&some());
    let rest = 4;
    for length in 0..whole.len() - rest {
        assert!(Stored::read(&whole[..length]).is_none(), "{length}");
    }
    let mut many = whole.clone();
    let tags = 1 + 8 + 2 + "an id/of+theirs=".len();
    many[tags..tags + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Stored::read(&many).is_none(), "more entries than there are bytes");
    assert!(Stored::read(&[7, 0, 0, 0, 0, 0, 0, 0, 0]).is_none());
}

#[test]
fn a_state_that_says_it_has_other_bytes_than_it_knows_of_is_refused() {
    let mut state = UploadState::new(false);
    state.add(b"rest");
    let stored = |rest: &'static [u8]| Stored {
        rest: vec![Bytes::from_static(rest)],
        ..Stored::default()
    };
    let good = state.stored_in(Some(stored(b"rest"))).to_bytes();
    assert_eq!(UploadState::from_bytes(&good).unwrap().offset(), 4);
    let bad = state.stored_in(Some(stored(b"re"))).to_bytes();
    assert!(UploadState::from_bytes(&bad).is_none());
    let mut huge = some();
    huge.pieces[0].length = u64::MAX;
    assert_eq!(huge.length(), None);
    assert!(UploadState::from_bytes(&state.stored_in(Some(huge)).to_bytes()).is_none());
}
