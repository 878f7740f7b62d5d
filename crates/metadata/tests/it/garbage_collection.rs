//! The collector and what stops it (consistency rules 1, 2, 4 and 5).

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

use std::collections::BTreeSet;

use wharf_metadata::blobs::{self, Begin, Blob, State};
use wharf_metadata::garbage_collection::{self as gc, Counts, Cursor, Decision, Kind, Pass, Reason};
use wharf_metadata::manifests::ReferenceKind;
use wharf_metadata::{Timestamp, adoption, links, manifests, tags};
use wharf_oci::Digest;

use super::ENGINE;
use crate::fixture::{Fixture, change, digest, reference, tag, writing};

/// A grace period, in microseconds, that is longer than any test goes on.
const GRACE: i64 = 3_600_000_000;

/// A pass over everything, so that collecting is allowed.
fn complete(fixture: &Fixture) -> i64 {
    let now = fixture.now();
    let epoch = fixture.write(move |tx| adoption::begin_pass(tx, 0, now));
    assert!(fixture.write(move |tx| adoption::complete_pass(tx, epoch)));
    epoch
}

/// What a collector goes by that waits for nothing.
fn pass(fixture: &Fixture, epoch: i64) -> Pass {
    let now = fixture.now();
    Pass {
        owner: "collector".to_owned(),
        epoch,
        now,
        grace: 0,
        untagged_after: None,
        deadline: now.plus(GRACE),
    }
}

fn with_grace(pass: Pass) -> Pass {
    Pass { grace: GRACE, ..pass }
}

/// A blob that nothing holds.
fn orphan(fixture: &Fixture, number: u32) -> Digest {
    let now = fixture.now();
    fixture.write(move |tx| {
        let id = blobs::adopt(tx, (&digest(number), None), 10, now)?;
        gc::queue_blob(tx, id, now)
    });
    digest(number)
}

fn review_blobs(fixture: &Fixture, pass: &Pass) -> Option<gc::Blobs> {
    let pass = pass.clone();
    fixture.write(move |tx| gc::review_blobs(tx, &pass, 100))
}

fn review_links(fixture: &Fixture, pass: &Pass) -> Vec<(i64, Digest)> {
    let pass = pass.clone();
    let reviewed = fixture.write(move |tx| gc::review_links(tx, &pass, 100)).unwrap();
    let removed = reviewed.removed.into_iter();
    removed
        .map(|removed| (removed.repository_id, removed.link.sha256))
        .collect()
}

/// Reviews manifests as the collector does, and removes those that go.
fn review_manifests(fixture: &Fixture, pass: &Pass) -> Vec<(Digest, Reason)> {
    let pass = pass.clone();
    fixture.write(move |tx| {
        let mut gone = Vec::new();
        for due in gc::due_manifests(tx, &pass, 100)? {
            if let Some(Decision::Goes(manifest, reason)) = gc::review_manifest(tx, &pass, &due)? {
                manifests::delete(tx, due.repository_id, &manifest.sha256, "collector", pass.now)?;
                gone.push((manifest.sha256, reason));
            }
        }
        Ok(gone)
    })
}

fn state(fixture: &Fixture, sha256: Digest) -> Option<State> {
    fixture.read(|tx| blobs::find(tx, &sha256)).map(|blob| blob.state)
}

/// A blob that is condemned.
fn condemned(fixture: &Fixture, epoch: i64, number: u32) -> Digest {
    let orphan = orphan(fixture, number);
    review_blobs(fixture, &pass(fixture, epoch));
    assert_eq!(state(fixture, orphan), Some(State::Condemned));
    orphan
}

/// A blob whose bytes somebody is deleting.
fn deleting(fixture: &Fixture, epoch: i64, number: u32) -> (Pass, Blob) {
    condemned(fixture, epoch, number);
    let pass = pass(fixture, epoch);
    let blob = review_blobs(fixture, &pass).unwrap().deleting.remove(0);
    (pass, blob)
}

fn delete_manifest(fixture: &Fixture, repository_id: i64, number: u32) {
    let now = fixture.now();
    fixture
        .write(move |tx| manifests::delete(tx, repository_id, &digest(number), "", now))
        .unwrap();
}

fn waiting(fixture: &Fixture) -> Vec<(Kind, u64)> {
    let waiting = fixture.read(gc::waiting).into_iter();
    waiting
        .filter(|waiting| waiting.count > 0)
        .map(|waiting| (waiting.kind, waiting.count))
        .collect()
}

#[test]
fn a_blob_that_nothing_holds_goes_from_condemned_to_deleted() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let condemning = pass(&fixture, epoch);
    let reviewed = review_blobs(&fixture, &condemning).unwrap();
    assert_eq!(
        (reviewed.looked_at, reviewed.condemned, reviewed.deleting.len()),
        (1, 1, 0)
    );
    let deleting = pass(&fixture, epoch);
    let reviewed = review_blobs(&fixture, &deleting).unwrap();
    assert_eq!(reviewed.deleting.len(), 1);
    let deadline = deleting.deadline;
    assert_eq!(state(&fixture, orphan), Some(State::Deleting { deadline }));

    // an upload that meets it waits; a push is refused
    let now = fixture.now();
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(orphan, 10)], writing("process 2", now)));
    assert_eq!(begun, [Begin::Deleting { deadline }]);
    assert!(!fixture.write(move |tx| blobs::set_present(tx, &orphan, None, now)));
    let absent = fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now));
    assert_eq!(absent[0].state, Some(State::Deleting { deadline }));

    let gone = reviewed.deleting;
    let others = gone.clone();
    assert_eq!(
        fixture.write(move |tx| gc::finish_deleting(tx, &others, "process 2")),
        0
    );
    assert_eq!(fixture.write(move |tx| gc::finish_deleting(tx, &gone, "collector")), 1);
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(orphan, 10)], writing("process 2", now)));
    assert_eq!(begun, [Begin::Fresh]);
    assert_eq!(waiting(&fixture), []);
}

#[test]
fn nothing_goes_before_it_was_left_alone_for_the_grace_period() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let young = with_grace(pass(&fixture, epoch));
    assert_eq!(review_blobs(&fixture, &young).unwrap().looked_at, 0);
    let after = |pass: Pass| {
        with_grace(Pass {
            now: pass.now.plus(GRACE),
            ..pass
        })
    };
    let first = after(pass(&fixture, epoch));
    assert_eq!(review_blobs(&fixture, &first).unwrap().condemned, 1);
    let too_early = Pass {
        now: first.now.plus(GRACE - 1),
        ..first.clone()
    };
    assert_eq!(review_blobs(&fixture, &too_early).unwrap().looked_at, 0);
    let second = Pass {
        now: first.now.plus(GRACE),
        ..first
    };
    assert_eq!(review_blobs(&fixture, &second).unwrap().deleting.len(), 1);
    assert!(matches!(state(&fixture, orphan), Some(State::Deleting { .. })));
}

#[test]
fn whoever_asks_for_a_blob_has_it_left_alone_for_another_grace_period() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = orphan(&fixture, 1);
    let due = pass(&fixture, epoch);
    let due = with_grace(Pass {
        now: due.now.plus(GRACE),
        ..due
    });
    let asked = due.now.plus(-1);
    fixture.write(move |tx| blobs::touch(tx, &[orphan], asked));
    let reviewed = review_blobs(&fixture, &due).unwrap();
    assert_eq!((reviewed.looked_at, reviewed.condemned), (1, 0));
    let later = Pass {
        now: asked.plus(GRACE),
        ..due
    };
    assert_eq!(review_blobs(&fixture, &later).unwrap().condemned, 1);
}

#[test]
fn a_push_between_condemning_and_deleting_wins() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = condemned(&fixture, epoch, 1);
    let now = fixture.now();
    assert_eq!(fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now)), []);
    assert_eq!(state(&fixture, orphan), Some(State::Present));
    // it has to be condemned anew
    let reviewed = review_blobs(&fixture, &pass(&fixture, epoch)).unwrap();
    assert_eq!((reviewed.condemned, reviewed.deleting), (1, vec![]));
}

#[test]
fn an_upload_of_bytes_that_are_there_keeps_them_until_it_has_ended() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = condemned(&fixture, epoch, 1);
    let now = fixture.now();
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(orphan, 10)], writing("process 2", now)));
    assert_eq!(begun, [Begin::Present]);
    let reviewed = review_blobs(&fixture, &pass(&fixture, epoch)).unwrap();
    assert_eq!((reviewed.looked_at, reviewed.condemned), (1, 0));
    // somebody else's push in between takes nothing away from it
    fixture.write(move |tx| blobs::lock_present(tx, &[orphan], now));
    assert_eq!(review_blobs(&fixture, &pass(&fixture, epoch)).unwrap().condemned, 0);
    let reserved = pass(&fixture, epoch);
    let lapsed = Pass {
        now: reserved.now.plus(1_000_000),
        ..reserved
    };
    assert_eq!(review_blobs(&fixture, &lapsed).unwrap().condemned, 1);
}

#[test]
fn what_a_repository_links_or_a_manifest_is_made_of_is_held() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    let orphan = condemned(&fixture, epoch, 1);
    fixture.manifest(id, digest(3), &[]);
    let now = fixture.now();
    fixture.write(move |tx| {
        let manifest = blobs::find(tx, &digest(3))?.unwrap();
        gc::queue_blob(tx, manifest.id, now)?;
        // linked without raising the generation: counted all the same
        links::link(tx, id, &orphan, now)
    });
    let reviewed = review_blobs(&fixture, &pass(&fixture, epoch)).unwrap();
    assert_eq!(
        (reviewed.looked_at, reviewed.condemned, reviewed.deleting),
        (2, 0, vec![])
    );
    assert_eq!(state(&fixture, orphan), Some(State::Present));
    assert_eq!(state(&fixture, digest(3)), Some(State::Present));
    assert_eq!(waiting(&fixture), [(Kind::Link, 1)]);
}

#[test]
fn nothing_is_collected_while_the_index_is_not_complete() {
    let fixture = Fixture::on(ENGINE);
    let orphan = orphan(&fixture, 1);
    let id = fixture.repository("team/app").id;
    fixture.blob(id, digest(2));
    let refused = |epoch| {
        let pass = pass(&fixture, epoch);
        let (links, blobs) = (pass.clone(), pass.clone());
        fixture.write(move |tx| gc::review_links(tx, &links, 100)).is_none()
            && fixture.write(move |tx| gc::review_blobs(tx, &blobs, 100)).is_none()
    };
    assert!(refused(0), "before the first pass");
    let epoch = complete(&fixture);
    assert!(refused(epoch - 1));
    assert_eq!(review_blobs(&fixture, &pass(&fixture, epoch)).unwrap().condemned, 1);

    // a new pass: another registry may have used the blob meanwhile
    let now = fixture.now();
    let next = fixture.write(move |tx| adoption::begin_pass(tx, 0, now));
    let again = fixture.read(|tx| blobs::find(tx, &orphan)).unwrap();
    assert_eq!((again.state, again.touched_at), (State::Present, now));
    assert!(refused(epoch) && refused(next));
    assert!(
        !fixture.write(move |tx| adoption::complete_pass(tx, epoch)),
        "a pass that was overtaken"
    );
    assert!(fixture.write(move |tx| adoption::complete_pass(tx, next)));
    assert_eq!(review_blobs(&fixture, &pass(&fixture, next)).unwrap().condemned, 1);
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
fn a_blob_that_was_found_again_in_storage_is_not_condemned_any_more() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let orphan = condemned(&fixture, epoch, 1);
    let now = fixture.now();
    fixture.write(move |tx| blobs::adopt(tx, (&orphan, None), 10, now));
    assert_eq!(state(&fixture, orphan), Some(State::Present));
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
    assert_eq!(review_links(&fixture, &with_grace(pass(&fixture, epoch))), []);
    // a push names it after it was uploaded
    fixture.manifest(other, digest(11), &[digest(2)]);
    let removed = review_links(&fixture, &pass(&fixture, epoch));
    assert_eq!(removed, [(other, digest(1)), (id, digest(2))]);
    assert_eq!(review_links(&fixture, &pass(&fixture, epoch)), [], "all were looked at");
    // both blobs are linked once still
    assert_eq!(review_blobs(&fixture, &pass(&fixture, epoch)).unwrap().condemned, 0);

    delete_manifest(&fixture, id, 10);
    assert_eq!(review_links(&fixture, &pass(&fixture, epoch)), [(id, digest(1))]);
    let reviewed = review_blobs(&fixture, &pass(&fixture, epoch)).unwrap();
    assert_eq!(reviewed.condemned, 2, "the layer and the manifest's own bytes");
    assert_eq!(state(&fixture, digest(2)), Some(State::Present));
}

#[test]
fn a_link_is_kept_for_who_was_told_that_the_blob_is_there() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    fixture.blob(id, digest(1));
    let due = pass(&fixture, epoch);
    let due = with_grace(Pass {
        now: due.now.plus(GRACE),
        ..due
    });
    let asked = due.now.plus(-1);
    assert!(fixture.write(move |tx| gc::keep_link(tx, id, &digest(1), asked)));
    assert_eq!(review_links(&fixture, &due), []);
    let later = Pass {
        now: asked.plus(GRACE),
        ..due
    };
    assert_eq!(review_links(&fixture, &later), [(id, digest(1))]);
    assert!(!fixture.write(move |tx| gc::keep_link(tx, id, &digest(1), asked)));
    assert!(!fixture.write(move |tx| gc::keep_link(tx, id, &digest(9), asked)));
}

#[test]
fn a_referrer_goes_with_its_subject_and_never_before() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    // a signature, a signature of that, one that is tagged, one whose subject has not come
    fixture.push(id, digest(2), Some(digest(1)), vec![]);
    fixture.push(id, digest(3), Some(digest(2)), vec![]);
    fixture.push(id, digest(4), Some(digest(1)), vec![]);
    fixture.tag(id, "signed", digest(4));
    fixture.push(id, digest(5), Some(digest(50)), vec![]);
    assert_eq!(review_manifests(&fixture, &pass(&fixture, epoch)), []);

    delete_manifest(&fixture, id, 1);
    assert_eq!(review_manifests(&fixture, &with_grace(pass(&fixture, epoch))), []);
    let gone = |pass: &Pass| review_manifests(&fixture, pass);
    assert_eq!(gone(&pass(&fixture, epoch)), [(digest(2), Reason::SubjectGone)]);
    assert_eq!(gone(&pass(&fixture, epoch)), [(digest(3), Reason::SubjectGone)]);
    assert_eq!(gone(&pass(&fixture, epoch)), []);
    // when its tag goes it follows
    let now = fixture.now();
    fixture.write(move |tx| {
        let name = tag("signed");
        tags::delete(tx, &change(id, &name, tags::Action::Deleted, now))
    });
    assert_eq!(gone(&pass(&fixture, epoch)), [(digest(4), Reason::SubjectGone)]);
    // the one that waits for its subject stays, and goes with it when it has come and gone
    fixture.manifest(id, digest(50), &[]);
    delete_manifest(&fixture, id, 50);
    assert_eq!(gone(&pass(&fixture, epoch)), [(digest(5), Reason::SubjectGone)]);
}

#[test]
fn a_referrer_stays_when_its_subject_comes_back() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.push(id, digest(2), Some(digest(1)), vec![]);
    delete_manifest(&fixture, id, 1);
    fixture.manifest(id, digest(1), &[]);
    assert_eq!(review_manifests(&fixture, &pass(&fixture, epoch)), []);
}

#[test]
fn manifests_without_a_tag_stay_unless_they_are_told_to_go() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.tag(id, "latest", digest(1));
    fixture.manifest(id, digest(2), &[]);
    fixture.tag(id, "latest", digest(2));
    assert_eq!(review_manifests(&fixture, &pass(&fixture, epoch)), []);
    assert_eq!(waiting(&fixture), [], "nothing is written for a rule that is off");
}

/// Manifests: 1 nothing refers to, 2 is tagged, 3 is a child of the tagged index 4, 5 is a signature
/// before its subject, 6 one of a subject that is here, 7 one whose subject is gone.
fn untagged(fixture: &Fixture) -> i64 {
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.manifest(id, digest(2), &[]);
    fixture.tag(id, "latest", digest(2));
    fixture.manifest(id, digest(3), &[]);
    fixture.push(id, digest(4), None, vec![reference(ReferenceKind::Child, digest(3))]);
    fixture.tag(id, "list", digest(4));
    fixture.push(id, digest(5), Some(digest(50)), vec![]);
    fixture.push(id, digest(6), Some(digest(2)), vec![]);
    fixture.push(id, digest(7), Some(digest(70)), vec![]);
    fixture.manifest(id, digest(70), &[]);
    delete_manifest(fixture, id, 70);
    id
}

#[test]
fn untagged_manifests_are_spared_while_an_index_or_a_subject_needs_them() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    assert!(fixture.write(|tx| gc::set_untagged_after(tx, Some(0))));
    assert!(!fixture.write(|tx| gc::set_untagged_after(tx, Some(0))));
    let id = untagged(&fixture);
    let on = |pass: Pass| Pass {
        untagged_after: Some(0),
        ..pass
    };
    let gone = || {
        let gone = review_manifests(&fixture, &on(pass(&fixture, epoch)));
        gone.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>()
    };
    assert_eq!(review_manifests(&fixture, &with_grace(on(pass(&fixture, epoch)))), []);
    assert_eq!(gone(), [digest(1), digest(7)]);
    assert_eq!(gone(), []);
    // the index goes, and with it what held its child
    delete_manifest(&fixture, id, 4);
    assert_eq!(gone(), [digest(3)]);
    // a tag moves
    fixture.manifest(id, digest(8), &[]);
    fixture.tag(id, "latest", digest(8));
    assert_eq!(gone(), [digest(2)]);
    assert_eq!(gone(), [digest(6)], "the signature follows its subject");
}

#[test]
fn a_sweep_finds_what_no_change_has_queued() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = untagged(&fixture);
    let now = fixture.now();
    fixture.write(move |tx| {
        // as an older version left it: links and blobs that nobody queued
        for number in 20..25 {
            blobs::adopt(tx, (&digest(number), None), 10, now)?;
        }
        links::adopt(tx, id, &digest(20), now)?;
        links::adopt(tx, id, &digest(21), now)?;
        Ok(())
    });
    fixture.manifest(id, digest(9), &[digest(20)]);
    fixture.write(Cursor::begin);
    let mut looked_at = 0;
    while let Some(cursor) = fixture.read(Cursor::load) {
        // one row at a time: it goes on where it stopped
        looked_at += fixture.write(move |tx| gc::sweep(tx, cursor, true, 1)).looked_at;
    }
    assert!(looked_at > 15, "{looked_at}");
    let all = Pass {
        untagged_after: Some(0),
        ..pass(&fixture, epoch)
    };
    let gone: BTreeSet<Digest> = review_manifests(&fixture, &all)
        .into_iter()
        .map(|(digest, _)| digest)
        .collect();
    assert_eq!(gone, BTreeSet::from([digest(1), digest(7), digest(9)]));
    assert_eq!(
        review_links(&fixture, &pass(&fixture, epoch)),
        [(id, digest(20)), (id, digest(21))]
    );
    let reviewed = review_blobs(&fixture, &pass(&fixture, epoch)).unwrap();
    // those five, and the bytes of the four manifests that went
    assert_eq!(reviewed.condemned, 9);
}

#[test]
fn links_that_were_read_from_a_folder_are_queued_when_nothing_needs_them() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    let now = fixture.now();
    fixture.write(move |tx| {
        for number in 1..4 {
            blobs::adopt(tx, (&digest(number), None), 10, now)?;
            links::adopt(tx, id, &digest(number), now)?;
        }
        Ok(())
    });
    fixture.manifest(id, digest(10), &[digest(2)]);
    let (mut after, mut rounds) = (Some(0), 0);
    while let Some(from) = after {
        after = fixture.write(move |tx| gc::queue_unneeded_links(tx, id, from, 2));
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert_eq!(waiting(&fixture), [(Kind::Link, 2)]);
    let removed = review_links(&fixture, &pass(&fixture, epoch));
    assert_eq!(removed, [(id, digest(1)), (id, digest(3))]);
}

#[test]
fn bytes_that_never_came_are_forgotten_unless_somebody_still_brings_them() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let begin = |digest: Digest| {
        let now = fixture.now();
        fixture.write(move |tx| blobs::begin_writing(tx, &[(digest, 10)], writing("process 2", now)))
    };
    begin(digest(1));
    begin(digest(2));
    let stale = fixture.now();
    assert_eq!(begin(digest(2)), [Begin::Writing]);
    let queue = |before| fixture.write(move |tx| gc::queue_stale_writing(tx, before, 10));
    assert_eq!(queue(stale), 1);
    let first = pass(&fixture, epoch);
    assert_eq!(review_blobs(&fixture, &first).unwrap().condemned, 1);
    assert_eq!(
        review_blobs(&fixture, &pass(&fixture, epoch)).unwrap().deleting.len(),
        1
    );
    assert_eq!(state(&fixture, digest(2)), Some(State::Writing));
}

#[test]
fn a_deletion_whose_owner_died_is_taken_over_or_given_up() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let (stalled, blob) = deleting(&fixture, epoch, 1);
    let other = Pass {
        owner: "process 2".to_owned(),
        ..pass(&fixture, epoch)
    };
    let take = |before: Timestamp| {
        let other = other.clone();
        fixture.write(move |tx| gc::deleting_overdue(tx, &other, before, 10))
    };
    assert_eq!(take(stalled.deadline), []);
    let taken = take(stalled.deadline.plus(1));
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sha256, blob.sha256);
    let (late, now) = (vec![blob.clone()], fixture.now());
    assert_eq!(
        fixture.write(move |tx| gc::finish_deleting(tx, &late, "collector")),
        0,
        "the former owner is late"
    );
    assert_eq!(
        fixture.write(move |tx| gc::abandon_deleting(tx, &taken, "process 2", (now, now))),
        1
    );
    let again = fixture.read(|tx| blobs::find(tx, &blob.sha256)).unwrap();
    assert_eq!((again.state, again.touched_at), (State::Present, now));
    assert_eq!(waiting(&fixture), [(Kind::Blob, 1)], "it is looked at again");
}

#[test]
fn an_upload_takes_over_from_a_deletion_that_must_have_ended() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let (stalled, blob) = deleting(&fixture, epoch, 1);
    let sha256 = blob.sha256;
    let now = stalled.deadline.plus(1_000_001);
    let begun = fixture.write(move |tx| blobs::begin_writing(tx, &[(sha256, 10)], writing("process 2", now)));
    assert_eq!(begun, [Begin::TakenOver]);
    assert_eq!(
        fixture.write(move |tx| gc::finish_deleting(tx, std::slice::from_ref(&blob), "collector")),
        0
    );
    assert!(fixture.write(move |tx| blobs::set_present(tx, &sha256, None, now)));
    assert_eq!(state(&fixture, sha256), Some(State::Present));
}

#[test]
fn a_blob_that_was_linked_while_its_bytes_went_keeps_its_row() {
    let fixture = Fixture::on(ENGINE);
    let epoch = complete(&fixture);
    let id = fixture.repository("team/app").id;
    let (_, blob) = deleting(&fixture, epoch, 1);
    let now = fixture.now();
    fixture.write(move |tx| links::link(tx, id, &digest(1), now));
    assert_eq!(
        fixture.write(move |tx| gc::finish_deleting(tx, std::slice::from_ref(&blob), "collector")),
        0
    );
    assert!(state(&fixture, digest(1)).is_some());
}

#[test]
fn holders_tell_who_needs_a_blob() {
    let fixture = Fixture::on(ENGINE);
    let (id, other) = (fixture.repository("team/app").id, fixture.repository("team/other").id);
    fixture.blob(id, digest(1));
    fixture.blob(other, digest(1));
    fixture.manifest(id, digest(10), &[digest(1)]);
    fixture.tag(id, "v1", digest(10));
    let holders = |number, limit| {
        fixture.read(|tx| {
            let blob = blobs::find(tx, &digest(number))?.unwrap();
            gc::holders(tx, &blob, limit)
        })
    };
    let found = holders(1, 10);
    let told: Vec<_> = found
        .repositories
        .iter()
        .map(|holder| holder.repository.as_str())
        .collect();
    assert_eq!(told, ["team/app", "team/other"]);
    assert_eq!(found.repositories[0].referenced_by, [digest(10)]);
    assert_eq!(found.repositories[1].referenced_by, []);
    assert!(!found.is_cut && holders(1, 1).is_cut);
    let manifest = holders(10, 10).repositories.remove(0).manifest.unwrap();
    assert_eq!(manifest.tags, [tag("v1")]);
}

#[test]
fn runs_are_told_the_latest_first() {
    let fixture = Fixture::on(ENGINE);
    let now = fixture.now();
    let first = fixture.write(move |tx| gc::begin_run(tx, "schedule", now));
    let second = fixture.write(move |tx| gc::begin_run(tx, "alice", now));
    let counts = Counts {
        blobs: 3,
        bytes: 300,
        ..Counts::default()
    };
    fixture.write(move |tx| gc::end_run(tx, first, &counts, ("done", now)));
    let runs = fixture.read(|tx| gc::latest_runs(tx, None, 10));
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!((runs[0].outcome.as_str(), runs[0].ended_at), ("running", None));
    assert_eq!(
        (runs[1].outcome.as_str(), runs[1].ended_at, runs[1].counts),
        ("done", Some(now), counts)
    );
    let before = fixture.read(|tx| gc::latest_runs(tx, Some(second), 10));
    assert_eq!(before.len(), 1);
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
