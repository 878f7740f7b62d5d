//! `WWW-Authenticate`, and the scopes in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::challenge::Challenge;
use wharf_oci::scope::Scope;

fuzz_target!(|text: &str| {
    for challenge in Challenge::parse_list(text) {
        assert_eq!(Challenge::parse_list(&challenge.to_string()), [challenge]);
    }
    for scope in Scope::parse_list(text) {
        assert!(!scope.kind.is_empty() && !scope.name.is_empty());
        let printed = scope.to_string();
        assert_eq!(printed.parse::<Scope>().as_ref(), Ok(&scope), "{printed}");
    }
});
