use super::*;
use proptest::prelude::{any, proptest};

#[test]
fn tags_of_the_field_are_accepted() {
    for text in ["latest", "v1.2.3", "_", "1.0_build-7", "sha256-0123.sig", "A"] {
        assert_eq!(text.parse::<Tag>().unwrap().as_str(), text);
    }
    assert!("a".repeat(128).parse::<Tag>().is_ok());
}

#[test]
fn tags_that_are_illegal_or_climb_are_refused() {
    for text in [
        ".", "..", "../x", "-a", "a/b", "a b", "a\0", "a+b", "ä", "a:b", "%2e%2e",
    ] {
        assert_eq!(text.parse::<Tag>(), Err(TagError::Malformed), "{text}");
    }
    assert_eq!("".parse::<Tag>(), Err(TagError::Empty));
    assert_eq!("a".repeat(129).parse::<Tag>(), Err(TagError::TooLong));
}

proptest! {
    #[test]
    fn no_tag_leaves_its_folder(text in any::<String>()) {
        if let Ok(tag) = text.parse::<Tag>() {
            assert!(!tag.as_str().contains('/') && !tag.as_str().starts_with('.'));
        }
    }
}
