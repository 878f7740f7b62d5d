//! Blob rows: bytes that appear, stay, and are asked for (consistency rules 4 and 5).

use wharf_metadata::blobs::{self, Begin, State};
use wharf_metadata::error::Kind;
use wharf_oci::Digest;

use super::ENGINE;
use crate::fixture::{Fixture, digest, sha512, writing};

fn begin(fixture: &Fixture, digests: &[Digest]) -> Vec<Begin> {
    let now = fixture.now();
    let blobs: Vec<_> = digests.iter().map(|digest| (*digest, 10)).collect();
    fixture.write(move |tx| blobs::begin_writing(tx, &blobs, writing("process 1", now)))
}

#[test]
fn a_row_comes_before_the_bytes_and_tells_after_a_crash_which_were_on_their_way() {
    let fixture = Fixture::on(ENGINE);
    assert_eq!(begin(&fixture, &[digest(1), digest(2)]), [Begin::Fresh, Begin::Fresh]);
    assert_eq!(
        begin(&fixture, &[digest(1)]),
        [Begin::Writing],
        "two pushes of the same bytes"
    );
    let now = fixture.now();
    assert!(fixture.write(move |tx| blobs::set_present(tx, &digest(1), None, now)));
    assert_eq!(begin(&fixture, &[digest(1)]), [Begin::Present]);
    let left = fixture.read(|tx| blobs::writing(tx, 0, 10));
    assert_eq!(left.iter().map(|blob| blob.sha256).collect::<Vec<_>>(), [digest(2)]);
    assert!(fixture.write(|tx| blobs::abandon_writing(tx, &digest(2))));
    assert!(!fixture.write(|tx| blobs::abandon_writing(tx, &digest(2))));
    assert!(
        !fixture.write(|tx| blobs::abandon_writing(tx, &digest(1))),
        "present bytes stay"
    );
    assert!(!fixture.write(move |tx| blobs::set_present(tx, &digest(2), None, now)));
}

#[test]
fn a_blob_has_two_names_once_the_second_is_known() {
    let fixture = Fixture::on(ENGINE);
    begin(&fixture, &[digest(1), digest(2)]);
    let now = fixture.now();
    assert!(fixture.write(move |tx| blobs::set_present(tx, &digest(1), Some(&sha512(1)), now)));
    let found = fixture.read(|tx| blobs::find(tx, &sha512(1))).unwrap();
    assert_eq!((found.sha256, found.sha512), (digest(1), Some(sha512(1))));
    assert_eq!(found.state, State::Present);
    let error = fixture
        .metadata
        .write_blocking(move |tx| blobs::set_present(tx, &digest(2), Some(&sha512(1)), now))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unique, "two contents cannot have one name");
    let unchanged = fixture.read(|tx| blobs::find(tx, &digest(2))).unwrap();
    assert_eq!(unchanged.state, State::Writing);
}

#[test]
fn locking_names_every_blob_that_is_not_there_and_raises_the_others_generations() {
    let fixture = Fixture::on(ENGINE);
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), None), 10, now));
    begin(&fixture, &[digest(2)]);
    let before = fixture.read(|tx| blobs::find(tx, &digest(1))).unwrap();
    let asked = [digest(3), digest(1), digest(2), digest(1)];
    let now = fixture.now();
    let absent = fixture.write(move |tx| blobs::lock_present(tx, &asked, now));
    let told: Vec<_> = absent.iter().map(|absent| (absent.digest, absent.state)).collect();
    assert_eq!(told, [(digest(2), Some(State::Writing)), (digest(3), None)]);
    let after = fixture.read(|tx| blobs::find(tx, &digest(1))).unwrap();
    assert_eq!(
        after.generation,
        before.generation + 1,
        "once, although it was named twice"
    );
    assert_eq!((after.touched_at, after.state_at), (now, before.state_at));
}

#[test]
fn touching_renews_what_is_there_and_ignores_what_is_not() {
    let fixture = Fixture::on(ENGINE);
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), None), 10, now));
    let later = fixture.now();
    fixture.write(move |tx| blobs::touch(tx, &[digest(1), digest(7)], later));
    let found = fixture.read(|tx| blobs::find(tx, &digest(1))).unwrap();
    assert_eq!(found.touched_at, later);
    assert_eq!(fixture.read(|tx| blobs::find(tx, &digest(7))), None);
}

#[test]
fn adopting_leaves_a_known_blob_as_it_is_but_learns_its_second_name() {
    let fixture = Fixture::on(ENGINE);
    let now = fixture.now();
    let first = fixture.write(move |tx| blobs::adopt(tx, (&digest(1), None), 10, now));
    let again = fixture.write(move |tx| blobs::adopt(tx, (&digest(1), Some(&sha512(1))), 10, now));
    assert_eq!(first, again);
    let page = fixture.read(|tx| blobs::page(tx, 0, 10));
    assert_eq!(page.len(), 1);
    assert_eq!((page[0].sha512, page[0].size), (Some(sha512(1)), 10));
    assert_eq!(fixture.read(|tx| blobs::page(tx, first, 10)), []);
}
