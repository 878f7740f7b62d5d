//! `Range` and `Content-Range`: eight bytes are the length, the rest is the header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_api_common::range::{ContentRange, Selection, select};

fuzz_target!(|input: (u64, &str)| {
    let (length, value) = input;
    if let Selection::Part(range) = select(value, length) {
        assert!(range.start <= range.end && range.end < length);
        assert!(range.length() <= length);
    }
    if let Some(chunk) = ContentRange::parse(value) {
        assert!(chunk.range.start <= chunk.range.end);
        assert!(chunk.total.is_none_or(|total| chunk.range.end < total));
        assert!(chunk.range.length() > 0);
    }
});
