//! Manifests: the first line is the content type, the rest the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::{Kind, Manifest};

fuzz_target!(|data: &[u8]| {
    let (header, body) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (None, data),
    };
    match Manifest::parse(header, body) {
        Ok(manifest) => {
            assert!(!manifest.media_type.is_empty());
            assert!(manifest.required_blobs().count() <= manifest.references().count());
            if manifest.kind == Kind::Opaque {
                assert_eq!(manifest.references().count(), 0);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
