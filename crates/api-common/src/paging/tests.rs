use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Page, PageError, link_next, next_target};

#[test]
fn a_page_has_a_size_and_a_beginning() {
    let page = Page::parse("n=10&last=foo%2Fbar&ns=docker.io").unwrap();
    assert_eq!(page.n, Some(10));
    assert_eq!(page.last.as_deref(), Some("foo/bar"));
    assert_eq!(Page::parse("").unwrap(), Page::default());
    assert_eq!(Page::parse("n=&last=").unwrap(), Page::default());
    assert_eq!(Page::parse("n=0").unwrap().n, Some(0));
    assert_eq!(Page::parse("n=5&n=x").unwrap().n, Some(5));
    assert_eq!(Page::parse("n=99999999999999999999").unwrap().n, Some(u64::MAX));
}

#[test]
fn a_size_that_is_no_number_is_named() {
    for bad in ["-1", "x", "1.5", "0x10", "1e3"] {
        let error = Page::parse(&format!("n={bad}")).unwrap_err();
        assert_eq!(error, PageError::Number { n: bad.into() });
    }
    let long = format!("last={}", "x".repeat(1025));
    assert_eq!(Page::parse(&long).unwrap_err(), PageError::Last);
}

#[test]
fn the_link_leads_to_the_next_page_and_keeps_the_filter() {
    let link = link_next("/v2/foo/tags/list", 2, "1.0+x", &[]).unwrap();
    assert_eq!(link, "</v2/foo/tags/list?last=1.0%2Bx&n=2>; rel=\"next\"");
    let filtered = link_next("/v2/a/referrers/d", 5, "z", &[("artifactType", "a/b")]).unwrap();
    let filtered = filtered.to_str().unwrap();
    assert_eq!(
        next_target(filtered),
        Some("/v2/a/referrers/d?artifactType=a%2Fb&last=z&n=5")
    );
    assert!(link_next("/v2/a\nb", 1, "x", &[]).is_none());
}

#[test]
fn the_next_link_is_found_among_others() {
    let value = "</a>; rel=\"prev\", </b?x=1,2>; title=\"a, b\"; rel=\"first next\", </c>; rel=next";
    assert_eq!(next_target(value), Some("/b?x=1,2"));
    for none in ["", "<", "</a>", "</a>; rel=prev", "rel=next"] {
        assert_eq!(next_target(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn no_query_or_link_makes_it_panic(text in any::<String>()) {
        let _ = Page::parse(&text);
        let _ = next_target(&text);
    }

    #[test]
    fn every_last_survives_the_way_through_the_link(last in "[ -~]{1,60}", n in any::<u64>()) {
        let link = link_next("/v2/_catalog", n, &last, &[]).unwrap();
        let target = next_target(link.to_str().unwrap()).unwrap().to_owned();
        let page = Page::parse(target.split_once('?').unwrap().1).unwrap();
        prop_assert_eq!(page.n, Some(n));
        prop_assert_eq!(page.last, Some(last));
    }
}
