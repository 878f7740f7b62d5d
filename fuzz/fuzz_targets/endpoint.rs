//! Paths under `/v2/`, percent-encoded as they came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_api_distribution::Endpoint;

fuzz_target!(|path: &str| {
    match Endpoint::parse(path) {
        Ok(endpoint) => {
            assert!(!endpoint.handler().is_empty() && !endpoint.allowed().is_empty());
            let name = match endpoint {
                Endpoint::Base | Endpoint::Catalog => return,
                Endpoint::Tags(name)
                | Endpoint::Manifest(name, _)
                | Endpoint::Blob(name, _)
                | Endpoint::Uploads(name)
                | Endpoint::Upload(name, _)
                | Endpoint::Referrers(name, _) => name,
            };
            assert!(!name.as_str().contains("..") && !name.as_str().starts_with('/'));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
