//! The collector and what stops it (consistency rules 1, 2 and 4).

use wharf_metadata::blobs::{self, Begin, Blob, State};
use wharf_metadata::garbage_collection::{self as gc, Verdict};
use wharf_metadata::manifests::ReferenceKind;
use wharf_metadata::{Timestamp, adoption, links, manifests};
use wharf_oci::Digest;

use super::ENGINE;
use crate::fixture::{Fixture, digest, reference};

const LATER: Timestamp = Timestamp(i64::MAX - 1);

/// A pass over everything, so that collecting is allowed.
fn complete(fixture: &Fixture) -> i64 {
    let now = fixture.now();
    let epoch = fixture.write(move |tx| adoption::begin_pass(tx, 0, now));
    assert!(fixture.write(move |tx| adoption::complete_pass(tx, epoch)));
    epoch
}

fn candidate(fixture: &Fixture, sha256: Digest) -> Option<Blob> {
    let candidates = fixture.read(|tx| gc::candidates(tx, 0, LATER, 100));
    candidates.into_iter().find(|blob| blob.sha256 == sha256)
}

fn orphan(fixture: &Fixture, number: u32) -> Digest {
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&digest(number), None), 10, now));
    digest(number)
}

fn condemn(fixture: &Fixture, blob: &Blob, epoch: i64) -> Verdict {
    let (blob, now) = (blob.clone(), fixture.now());
    fixture.write(move |tx| gc::condemn(tx, &blob, epoch, now))
}

fn state(fixture: &Fixture, sha256: Digest) -> Option<State> {
    fixture.read(|tx| blobs::find(tx, &sha256)).map(|blob| blob.state)
}

fn condemned(fixture: &Fixture) -> Option<Blob> {
    fixture.read(|tx| gc::condemned(tx, 0, LATER, 10)).pop()
}

#[test]
fn a_blob_that_nothing_holds_goes_from_condemned_to_deleted() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let found = candidate(&fixture, orphan).unwrap();
    assert_eq!(condemn(&fixture, &found, epoch), Verdict::Done);
    assert_eq!(candidate(&fixture, orphan), None);
    let found = condemned(&fixture).unwrap();
    let too_young = fixture.read(|tx| gc::condemned(tx, 0, found.state_at, 10));
    assert_eq!(too_young, []);
    let (deadline, now) = (fixture.now().plus(60_000_000), fixture.now());
    let deleting = found.clone();
    let verdict = fixture.write(move |tx| gc::begin_deleting(tx, &deleting, epoch, ("process 1", deadline), now));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(state(&fixture, orphan), Some(State::Deleting { deadline }));

    // an upload that meets it waits; a push is refused
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(orphan, 10)], "process 2", now));
    assert_eq!(begun, [Begin::Deleting { deadline }]);
    assert!(!fixture.write(move |tx| blobs::set_present(tx, &orphan, None, now)));
    let absent = fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now));
    assert_eq!(absent[0].state, Some(State::Deleting { deadline }));

    let id = found.id;
    assert!(!fixture.write(move |tx| gc::finish_deleting(tx, id, "process 2")));
    assert!(fixture.write(move |tx| gc::finish_deleting(tx, id, "process 1")));
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(orphan, 10)], "process 2", now));
    assert_eq!(begun, [Begin::Fresh]);
}

#[test]
fn a_push_between_finding_and_condemning_wins() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let found = candidate(&fixture, orphan).unwrap();
    let now = fixture.now();
    fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now));
    assert_eq!(condemn(&fixture, &found, epoch), Verdict::Spared);
    assert_eq!(state(&fixture, orphan), Some(State::Present));
}

#[test]
fn a_push_between_condemning_and_deleting_wins() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let found = candidate(&fixture, orphan).unwrap();
    assert_eq!(condemn(&fixture, &found, epoch), Verdict::Done);
    let found = condemned(&fixture).unwrap();
    let now = fixture.now();
    assert_eq!(fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now)), []);
    assert_eq!(state(&fixture, orphan), Some(State::Present));
    let verdict = fixture.write(move |tx| gc::begin_deleting(tx, &found, epoch, ("process 1", LATER), now));
    assert_eq!(verdict, Verdict::Spared);
}

#[test]
fn what_a_repository_links_or_a_manifest_is_made_of_is_held() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    let orphan = orphan(&fixture, 1);
    let found = candidate(&fixture, orphan).unwrap();
    fixture.blob(id, digest(2));
    fixture.manifest(id, digest(3), &[]);
    assert_eq!(candidate(&fixture, digest(2)), None);
    assert_eq!(candidate(&fixture, digest(3)), None);
    // linked without raising the generation: counted all the same
    let now = fixture.now();
    fixture.write(move |tx| links::link(tx, id, &orphan, now));
    assert_eq!(condemn(&fixture, &found, epoch), Verdict::Spared);
}

#[test]
fn nothing_is_collected_while_the_index_is_not_complete() {
    let fixture = Fixture::on(ENGINE);
    let orphan = orphan(&fixture, 1);
    let found = candidate(&fixture, orphan).unwrap();
    assert_eq!(
        condemn(&fixture, &found, 0),
        Verdict::Incomplete,
        "before the first pass"
    );
    let epoch = complete(&fixture);
    assert_eq!(condemn(&fixture, &found, epoch - 1), Verdict::Incomplete);
    assert_eq!(condemn(&fixture, &found, epoch), Verdict::Done);
    let condemned = condemned(&fixture).unwrap();

    // a new pass: another registry may have used the blob meanwhile
    let now = fixture.now();
    let next = fixture.write(move |tx| adoption::begin_pass(tx, 0, now));
    let again = fixture.read(|tx| blobs::find(tx, &orphan)).unwrap();
    assert_eq!((again.state, again.touched_at), (State::Present, now));
    let verdict = fixture.write(move |tx| gc::begin_deleting(tx, &condemned, epoch, ("process 1", LATER), now));
    assert_eq!(verdict, Verdict::Incomplete);
    assert_eq!(condemn(&fixture, &again, next), Verdict::Incomplete);
    assert!(
        !fixture.write(move |tx| adoption::complete_pass(tx, epoch)),
        "a pass that was overtaken"
    );
    assert!(fixture.write(move |tx| adoption::complete_pass(tx, next)));
    assert_eq!(condemn(&fixture, &again, next), Verdict::Done);
}

#[test]
fn a_pass_is_newer_than_the_one_that_the_storage_remembers() {
    let fixture = Fixture::on(ENGINE);
    let now = fixture.now();
    assert_eq!(fixture.write(move |tx| adoption::begin_pass(tx, 41, now)), 42);
    assert_eq!(fixture.write(move |tx| adoption::begin_pass(tx, 3, now)), 43);
    let state = fixture.read(adoption::completeness);
    assert_eq!((state.epoch, state.is_complete), (43, false));
}

#[test]
fn links_are_collected_per_repository_and_a_push_meanwhile_wins() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let (id, other) = (fixture.repository("team/app").id, fixture.repository("team/other").id);
    for repository in [id, other] {
        fixture.blob(repository, digest(1));
        fixture.blob(repository, digest(2));
    }
    fixture.manifest(id, digest(10), &[digest(1)]);
    let unneeded = |repository| {
        let links = fixture.read(|tx| gc::unneeded_links(tx, repository, 0, LATER, 10));
        links.into_iter().map(|link| link.sha256).collect::<Vec<_>>()
    };
    assert_eq!(unneeded(id), [digest(2)]);
    assert_eq!(unneeded(other), [digest(1), digest(2)]);
    let young = fixture.read(|tx| gc::unneeded_links(tx, other, 0, Timestamp(0), 10));
    assert_eq!(young, []);

    fixture.manifest(other, digest(11), &[digest(2)]);
    let remove =
        |repository, sha256, epoch| fixture.write(move |tx| gc::remove_link(tx, repository, &sha256, LATER, epoch));
    assert_eq!(remove(other, digest(2), epoch), Verdict::Spared);
    assert_eq!(remove(other, digest(1), epoch + 1), Verdict::Incomplete);
    assert_eq!(remove(other, digest(1), epoch), Verdict::Done);
    assert_eq!(remove(other, digest(1), epoch), Verdict::Spared);
    assert!(fixture.read(|tx| links::is_linked(tx, id, &digest(1))));
}

#[test]
fn untagged_manifests_are_spared_while_an_index_or_a_subject_needs_them() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.manifest(id, digest(2), &[]);
    fixture.tag(id, "latest", digest(2));
    fixture.manifest(id, digest(3), &[]);
    fixture.push(id, digest(4), None, vec![reference(ReferenceKind::Child, digest(3))]);
    fixture.tag(id, "list", digest(4));
    // a signature before its subject, one of a subject that is here, one whose subject went
    fixture.push(id, digest(5), Some(digest(50)), vec![]);
    fixture.push(id, digest(6), Some(digest(2)), vec![]);
    fixture.push(id, digest(7), Some(digest(70)), vec![]);
    fixture.manifest(id, digest(70), &[]);
    let untagged = || {
        let found = fixture.read(|tx| gc::untagged(tx, id, None, LATER, 10));
        found.into_iter().map(|manifest| manifest.sha256).collect::<Vec<_>>()
    };
    assert_eq!(untagged(), [digest(1), digest(70)]);
    let now = fixture.now();
    fixture.write(move |tx| manifests::delete(tx, id, &digest(70), "", now));
    assert_eq!(untagged(), [digest(1), digest(7)]);
    let young = fixture.read(|tx| gc::untagged(tx, id, None, Timestamp(0), 10));
    assert_eq!(young, []);
    let rest = fixture.read(|tx| gc::untagged(tx, id, Some(&digest(1)), LATER, 10));
    assert_eq!(rest.len(), 1);
}

#[test]
fn a_deletion_whose_owner_died_is_taken_over_or_given_up() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    for number in [1, 2] {
        let orphan = orphan(&fixture, number);
        let found = candidate(&fixture, orphan).unwrap();
        condemn(&fixture, &found, epoch);
        let found = condemned(&fixture).unwrap();
        let (deadline, now) = (Timestamp(i64::from(number) * 1_000), fixture.now());
        fixture.write(move |tx| gc::begin_deleting(tx, &found, epoch, ("process 1", deadline), now));
    }
    let take = |now| fixture.write(move |tx| gc::take_over(tx, ("process 2", LATER), now, 10));
    assert_eq!(take(Timestamp(1_000)), []);
    let taken = take(Timestamp(1_001));
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sha256, digest(1));
    let (id, now) = (taken[0].id, fixture.now());
    assert!(
        !fixture.write(move |tx| gc::finish_deleting(tx, id, "process 1")),
        "the former owner is late"
    );
    assert!(fixture.write(move |tx| gc::abandon_deleting(tx, id, "process 2", now)));
    assert_eq!(state(&fixture, digest(1)), Some(State::Present));
}

#[test]
fn counts_tell_how_much_there_is() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.tag(id, "a", digest(1));
    fixture.tag(id, "b", digest(1));
    let counts = fixture.read(adoption::counts);
    let expected = adoption::Counts {
        repositories: 1,
        manifests: 1,
        tags: 2,
        blobs: 1,
    };
    assert_eq!(counts, expected);
}
