//! `Authorization`; what is read is never shown by `Debug`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_auth::{Authorization, Credentials};

fuzz_target!(|data: &[u8]| {
    if let Ok(credentials) = Authorization::new(data).parse() {
        let shown = format!("{credentials:?}");
        match credentials {
            Credentials::Basic(login) => assert!(!login.name.contains(':')),
            Credentials::Bearer(token) => assert!(token.len() < 8 || !shown.contains(token)),
        }
    }
});
