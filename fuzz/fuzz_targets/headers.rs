//! Queries, pages, `Forwarded`, `X-Forwarded-For`, entity tags.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_api_common::{EntityTag, Page, forwarded, paging, query};

fuzz_target!(|text: &str| {
    for (name, value) in query::pairs(text) {
        let mut again = String::new();
        query::append(&mut again, &name, &value);
        assert_eq!(query::first(&again, &name).as_deref(), Some(&*value), "{again}");
    }
    let _ = Page::parse(text);
    let _ = forwarded::parse(text);
    let _ = forwarded::parse_node(text);
    if let Some(link) = paging::link_next("/v2/_catalog", 10, text, &[("artifactType", text)]) {
        let link = link.to_str().expect("a link is visible ASCII");
        assert!(paging::next_target(link).is_some(), "{link}");
    }
    let _ = paging::next_target(text);
    let _ = EntityTag::new("sha256:00").matches_strongly(text.as_bytes());
});
