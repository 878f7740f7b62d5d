use super::*;
use proptest::prelude::{any, proptest};

#[test]
fn names_of_the_field_are_accepted() {
    for text in [
        "busybox",
        "library/nginx",
        "a",
        "0",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a---b/c/d/e/f/g/h/i",
        "blobs/uploads",
        "tags",
    ] {
        assert_eq!(text.parse::<RepositoryName>().unwrap().as_str(), text);
    }
}

#[test]
fn names_that_are_illegal_or_climb_are_refused() {
    let malformed = [
        "A",
        "a/",
        "/a",
        "a//b",
        "..",
        "../a",
        "a/../b",
        ".",
        "a.",
        ".a",
        "a..b",
        "a___b",
        "_a",
        "a_",
        "a-",
        "-a",
        "a b",
        "a\0",
        "ä",
        "a/_uploads",
        "a/_layers/b",
        "a._b",
        "a\\b",
        "a%2fb",
        "a:b",
        "a@b",
    ];
    for text in malformed {
        assert_eq!(text.parse::<RepositoryName>(), Err(NameError::Malformed), "{text}");
    }
    assert_eq!("".parse::<RepositoryName>(), Err(NameError::Empty));
    assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
    assert_eq!("a".repeat(256).parse::<RepositoryName>(), Err(NameError::TooLong));
}

#[test]
fn a_name_of_one_component_belongs_to_library() {
    let name = |text: &str| text.parse::<RepositoryName>().unwrap();
    assert_eq!(name("busybox").project(), "library");
    assert_eq!(name("team/app/web").project(), "team");
    assert_eq!(name("busybox").library_alias(), Some(name("library/busybox")));
    assert_eq!(name("library/busybox").library_alias(), Some(name("busybox")));
    assert_eq!(name("library/a/b").library_alias(), None);
    assert_eq!(name("team/app").library_alias(), None);
}

proptest! {
    #[test]
    fn no_name_leaves_its_folder(text in any::<String>()) {
        if let Ok(name) = text.parse::<RepositoryName>() {
            assert!(name.as_str().split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '_'])));
        }
    }

    #[test]
    fn generated_names_are_accepted(text in "[a-z0-9]{1,9}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}(/[a-z0-9]{1,9}){0,5}") {
        assert_eq!(text.parse::<RepositoryName>().unwrap().as_str(), text);
    }
}
