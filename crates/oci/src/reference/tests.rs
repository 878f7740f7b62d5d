use super::*;
use proptest::prelude::{any, proptest};

#[test]
fn a_colon_makes_it_a_digest() {
    assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
    let digest = format!("sha256:{}", "a".repeat(64));
    assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
    assert_eq!(
        "sha256:abc".parse::<Reference>(),
        Err(ReferenceError::Digest(DigestError::WrongLength))
    );
    assert_eq!("..".parse::<Reference>(), Err(ReferenceError::Tag(TagError::Malformed)));
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in any::<String>()) {
        if let Ok(reference) = text.parse::<Reference>() {
            assert_eq!(reference.to_string(), text);
        }
    }
}
