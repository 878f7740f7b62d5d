//! Repository names and tags: what is accepted never climbs out of a folder and prints as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_oci::{RepositoryName, Tag};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<RepositoryName>() {
        assert_eq!(name.as_str(), text);
        assert!(
            text.split('/')
                .all(|part| !part.is_empty() && !part.starts_with(['.', '_']))
        );
        assert!(!name.project().contains('/'));
        let folder = wharf_storage::paths::repository(&name);
        assert_eq!(wharf_storage::paths::parse_repository(&folder).as_ref(), Some(&name));
        if let Some(alias) = name.library_alias() {
            assert!(alias.library_alias().is_none_or(|back| back == name));
        }
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        assert!(!text.contains('/') && text != "." && text != "..");
    }
});
