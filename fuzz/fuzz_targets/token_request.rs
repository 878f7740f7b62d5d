//! Requests to the token service: the query of a GET, the form of a POST.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_auth::TokenRequest;

fuzz_target!(|data: &[u8]| {
    let requests = [
        std::str::from_utf8(data)
            .ok()
            .and_then(|query| TokenRequest::parse_query(query).ok()),
        TokenRequest::parse_form(data).ok(),
    ];
    for request in requests.into_iter().flatten() {
        assert!(request.repositories().len() <= request.scopes.len());
    }
});
