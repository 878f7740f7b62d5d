//! Digests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::Digest;

fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.hex().len(), digest.algorithm().hex_length());
        assert_eq!(Digest::from_hash(digest.algorithm(), digest.bytes()), Ok(digest));
    }
});
