//! Bearer tokens of an external issuer. The key set is the public key of RFC 7517 A.1, and the fuzzer does not
//! know how to sign with it: every token must be refused.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wharf_auth::token::{ExternalConfig, ExternalIssuer};

static ISSUER: LazyLock<ExternalIssuer> = LazyLock::new(|| {
    let config = ExternalConfig {
        realm: "https://issuer.example/token".to_owned(),
        service: "registry".to_owned(),
        issuer: "issuer".to_owned(),
        rootcertbundle: None,
        jwks: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/jwks.json")),
        signing_algorithms: Vec::new(),
        autoredirect: None,
    };
    ExternalIssuer::open(&config).expect("the fixture is a key set")
});

fuzz_target!(|token: &str| {
    let refused = ISSUER
        .verify(token, jiff::Timestamp::UNIX_EPOCH)
        .expect_err("nobody signed this");
    // shorter ones may be a part of the message by chance
    assert!(token.len() < 64 || !refused.to_string().contains(token));
});
