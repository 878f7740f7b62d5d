//! What no statement of ours answers in passing.

use super::numeric;

fn words(words: &[i16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn whole_numerics_are_read() {
    assert_eq!(numeric(&words(&[0, 0, 0, 0])), Some(0));
    assert_eq!(numeric(&words(&[1, 0, 0, 0, 42])), Some(42));
    assert_eq!(numeric(&words(&[2, 1, 0, 0, 3, 7])), Some(30_007));
    assert_eq!(
        numeric(&words(&[1, 2, 0, 0, 5])),
        Some(500_000_000),
        "zeros at the end are not sent"
    );
    assert_eq!(numeric(&words(&[1, 0, 0x4000, 0, 42])), Some(-42));
    assert_eq!(
        numeric(&words(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5807])),
        Some(i64::MAX)
    );
    assert_eq!(
        numeric(&words(&[5, 4, 0x4000, 0, 922, 3372, 368, 5477, 5808])),
        Some(i64::MIN)
    );
}

#[test]
fn other_numerics_are_refused() {
    assert_eq!(numeric(&words(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5808])), None);
    assert_eq!(numeric(&words(&[2, 0, 0, 1, 1, 5000])), None, "one and a half");
    let not_a_number = i16::from_be_bytes([0xc0, 0]);
    assert_eq!(numeric(&words(&[0, 0, not_a_number, 0])), None);
    assert_eq!(numeric(&[1]), None);
}
