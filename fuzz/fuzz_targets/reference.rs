//! What stands behind `/manifests/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::Reference;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string(), text);
    }
});
