use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::{any, prop_assert, proptest};

use super::{ByteRange, ContentRange, Selection, select};
use crate::conditional::EntityTag;

fn part(start: u64, end: u64) -> Selection {
    Selection::Part(ByteRange { start, end })
}

#[test]
fn one_range_is_served_and_cut_at_the_end() {
    assert_eq!(select("bytes=0-9", 100), part(0, 9));
    assert_eq!(select("bytes=10-", 100), part(10, 99));
    assert_eq!(select("bytes=90-1000", 100), part(90, 99));
    assert_eq!(select("bytes=-10", 100), part(90, 99));
    assert_eq!(select("bytes=-1000", 100), part(0, 99));
    assert_eq!(select("Bytes = 5 - 6 ", 100), part(5, 6));
    assert_eq!(select("bytes=0-99999999999999999999999", 100), part(0, 99));
}

#[test]
fn a_range_beyond_the_end_cannot_be_satisfied() {
    for range in [
        "bytes=100-",
        "bytes=100-200",
        "bytes=-0",
        "bytes=5-4",
        "bytes=99999999999999999999999-",
    ] {
        assert_eq!(select(range, 100), Selection::Unsatisfiable, "{range}");
    }
    assert_eq!(select("bytes=200-,300-", 100), Selection::Unsatisfiable);
}

#[test]
fn several_ranges_other_units_and_nonsense_get_the_whole() {
    for range in [
        "bytes=0-1,3-4",
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=--5",
        "bytes=1",
        "bytes=+1-2",
        "",
    ] {
        assert_eq!(select(range, 100), Selection::Whole, "{range}");
    }
    assert_eq!(select("bytes=0-", 0), Selection::Whole);
    assert_eq!(select("bytes=0-1,200-", 100), part(0, 1));
}

#[test]
fn if_range_decides_whether_the_range_counts() {
    let tag = EntityTag::new("sha256:abc");
    let select = |condition: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-2"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static(condition));
        Selection::of(&headers, 10, Some(&tag))
    };
    assert_eq!(select("\"sha256:abc\""), part(1, 2));
    assert_eq!(select("W/\"sha256:abc\""), Selection::Whole);
    assert_eq!(select("\"other\""), Selection::Whole);
    assert_eq!(select("Wed, 21 Oct 2015 07:28:00 GMT"), Selection::Whole);
}

#[test]
fn header_values_name_the_part_and_the_total() {
    let range = ByteRange { start: 5, end: 9 };
    assert_eq!(range.length(), 5);
    assert_eq!(range.content_range(100), "bytes 5-9/100");
    assert_eq!(super::unsatisfied_content_range(100), "bytes */100");
}

#[test]
fn chunks_are_placed_by_every_form_that_clients_send() {
    for text in [
        "0-99",
        "bytes 0-99",
        "bytes 0-99/*",
        "bytes 0-99/100",
        "bytes=0-99",
        "BYTES 0-99",
    ] {
        let found = ContentRange::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.range, ByteRange { start: 0, end: 99 }, "{text}");
    }
    assert_eq!(ContentRange::parse("bytes 0-99/100").unwrap().total, Some(100));
}

#[test]
fn a_chunk_that_cannot_be_placed_is_refused_by_name() {
    for bad in [
        "",
        "-",
        "5",
        "5-",
        "-5",
        "9-5",
        "a-b",
        "bytes */100",
        "0-99/50",
        "0-99/x",
        "0 99",
    ] {
        assert_eq!(ContentRange::parse(bad), None, "{bad}");
    }
    let mut headers = HeaderMap::new();
    assert_eq!(ContentRange::of(&headers), Ok(None));
    headers.insert(header::CONTENT_RANGE, HeaderValue::from_static("9-5"));
    let error = ContentRange::of(&headers).unwrap_err();
    assert!(error.to_string().contains("9-5"), "{error}");
}

proptest! {
    #[test]
    fn a_selected_part_always_lies_within(value in any::<String>(), length in any::<u64>()) {
        for value in [value.clone(), format!("bytes={value}")] {
            if let Selection::Part(range) = select(&value, length) {
                prop_assert!(range.start <= range.end && range.end < length);
            }
        }
        let _ = ContentRange::parse(&value);
    }

    #[test]
    fn every_valid_range_is_cut_to_what_exists(start in 0..1000_u64, more in 0..1000_u64, length in 1..1000_u64) {
        let found = select(&format!("bytes={start}-{}", start + more), length);
        if start < length {
            prop_assert!(found == part(start, (start + more).min(length - 1)));
        } else {
            prop_assert!(found == Selection::Unsatisfiable);
        }
    }
}
