//! Which repository has which blob.

use wharf_access::Visibility;
use wharf_metadata::{blobs, links, repositories};

use super::ENGINE;
use crate::fixture::{Fixture, digest, name, sha512};

#[test]
fn a_blob_is_found_only_where_it_is_linked_and_under_both_names() {
    let fixture = Fixture::on(ENGINE);
    let (id, other) = (fixture.repository("team/app").id, fixture.repository("team/other").id);
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), Some(&sha512(1))), 10, now));
    assert!(fixture.write(move |tx| links::link(tx, id, &digest(1), now)));
    assert!(
        !fixture.write(move |tx| links::link(tx, id, &digest(2), now)),
        "no such blob"
    );
    for asked in [digest(1), sha512(1)] {
        let found = fixture.read(|tx| links::find(tx, id, &asked)).unwrap();
        assert_eq!((found.sha256, found.size), (digest(1), 10));
        assert_eq!(fixture.read(|tx| links::find(tx, other, &asked)), None);
    }
    let missing = fixture.read(|tx| links::missing(tx, id, &[digest(3), digest(1), digest(2)]));
    assert_eq!(missing, [digest(3), digest(2)]);
}

#[test]
fn a_link_under_both_names_stays_so_and_goes_as_one() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), Some(&sha512(1))), 10, now));
    fixture.write(move |tx| links::link(tx, id, &sha512(1), now));
    let later = fixture.now();
    fixture.write(move |tx| links::link(tx, id, &digest(1), later));
    let page = fixture.read(|tx| links::page(tx, id, 0, 10));
    assert_eq!(page.len(), 1);
    assert!(page[0].is_alias);
    assert_eq!(page[0].linked_at, later);
    let gone = fixture.write(move |tx| links::unlink(tx, id, &digest(1), now)).unwrap();
    assert_eq!(
        (gone.sha256, gone.sha512, gone.is_alias),
        (digest(1), Some(sha512(1)), true)
    );
    assert_eq!(fixture.write(move |tx| links::unlink(tx, id, &digest(1), now)), None);
    assert!(!fixture.read(|tx| links::is_linked(tx, id, &sha512(1))));
}

#[test]
fn a_mount_without_source_finds_a_holder_that_the_caller_may_read() {
    let fixture = Fixture::on(ENGINE);
    let secret = fixture.repository("secret/app").id;
    let public = fixture.repository("public/app").id;
    fixture.write(|tx| repositories::set_visibility(tx, "public", Visibility::Public));
    for id in [secret, public] {
        fixture.blob(id, digest(1));
    }
    let holder = |wanted: Visibility| {
        fixture.read(|tx| links::find_holder(tx, &digest(1), 10, |_, visibility| visibility == wanted))
    };
    assert_eq!(holder(Visibility::Public), Some(public));
    assert_eq!(holder(Visibility::Private), Some(secret));
    assert_eq!(holder(Visibility::Internal), None);
    let by_name = fixture.read(|tx| links::find_holder(tx, &digest(1), 10, |held, _| *held == name("public/app")));
    assert_eq!(by_name, Some(public));
    assert_eq!(
        fixture.read(|tx| links::find_holder(tx, &digest(2), 10, |_, _| true)),
        None
    );
}
