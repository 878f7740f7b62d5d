//! What storage reads back: link files, the names of its own files, the state of uploads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::Algorithm;
use wharf_storage::{StateName, UploadState, paths};

fuzz_target!(|data: &[u8]| {
    if let Some(digest) = paths::parse_link(data) {
        assert!(data.starts_with(digest.to_string().as_bytes()));
    }
    if let Some(state) = UploadState::from_bytes(data) {
        assert_eq!(state.to_bytes(), data);
        let _ = state.sha256();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(name) = StateName::new(text) {
        let location = paths::state(&name);
        assert!(
            location
                .as_str()
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..")
        );
    }
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        if let Some(digest) = paths::parse_digest(algorithm, text) {
            assert_eq!(digest.hex(), text);
        }
    }
});
