//! What a verification writes down, and what it repairs in the index.

use wharf_metadata::verification::{self, Damage};
use wharf_metadata::{Entry, blobs, links, manifests, mirror, tags};

use super::ENGINE;
use crate::fixture::{Fixture, digest, tag};

#[test]
fn damage_is_known_until_the_bytes_are_whole_again() {
    let fixture = Fixture::on(ENGINE);
    let repository = fixture.repository("a");
    for number in [1, 2] {
        fixture.blob(repository.id, digest(number));
    }
    let now = fixture.now();
    fixture.write(move |tx| {
        verification::mark_damaged(tx, &digest(1), Damage::Missing, "gone", now)?;
        verification::mark_damaged(tx, &digest(2), Damage::WrongSize, "short", now)?;
        // what the index does not know is nobody's loss
        verification::mark_damaged(tx, &digest(3), Damage::Missing, "gone", now)
    });
    let later = fixture.now();
    fixture.write(move |tx| verification::mark_damaged(tx, &digest(1), Damage::WrongBytes, "other", later));
    let damaged = fixture.read(|tx| verification::damaged(tx, 10));
    let told: Vec<_> = damaged
        .iter()
        .map(|found| (found.damage, found.detail.as_str(), found.found_at))
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(Damage::WrongBytes, "other", later)));
    assert!(told.contains(&(Damage::WrongSize, "short", now)));
    assert_eq!(fixture.read(verification::count_damaged), 2);
    assert_eq!(fixture.read(|tx| verification::damaged(tx, 1)).len(), 1);
    fixture.write(|tx| verification::mark_whole(tx, &digest(1)));
    assert_eq!(fixture.read(verification::count_damaged), 1);
}

#[test]
fn bytes_that_are_forgotten_go_from_every_repository_with_the_manifests_that_they_were() {
    let fixture = Fixture::on(ENGINE);
    let (one, two) = (fixture.repository("a"), fixture.repository("b"));
    let (layer, manifest, other) = (digest(1), digest(2), digest(3));
    for repository in [&one, &two] {
        fixture.blob(repository.id, layer);
        fixture.blob(repository.id, manifest);
        fixture.manifest(repository.id, manifest, &[layer]);
        fixture.manifest(repository.id, other, &[layer]);
        fixture.tag(repository.id, "v1", manifest);
        fixture.tag(repository.id, "v2", other);
    }
    let now = fixture.now();
    let seen = fixture.read(move |tx| blobs::find(tx, &manifest)).unwrap();
    // an upload brings them meanwhile: nothing goes
    assert!(fixture.write(move |tx| blobs::set_present(tx, &manifest, None, now)));
    let outdated = seen.clone();
    let kept = fixture.write(move |tx| verification::forget_bytes(tx, &outdated, now));
    assert_eq!(kept, []);
    assert!(fixture.read(move |tx| links::is_linked(tx, one.id, &manifest)));
    let seen = fixture.read(move |tx| blobs::find(tx, &manifest)).unwrap();
    let now_seen = seen.clone();
    let raised = fixture.write(move |tx| verification::forget_bytes(tx, &now_seen, now));
    for id in [one.id, two.id] {
        let expected = [
            Entry::Layer(manifest),
            Entry::Revision(manifest),
            Entry::Tag(tag("v1")),
        ];
        for entry in expected {
            assert!(raised.contains(&(id, entry.clone())), "{entry} of {id} in {raised:?}");
        }
        let left = fixture.read(|tx| {
            Ok((
                manifests::find(tx, id, &manifest)?.is_some(),
                manifests::find(tx, id, &other)?.is_some(),
                links::is_linked(tx, id, &layer)?,
                tags::get(tx, id, &tag("v2"))?.is_some(),
            ))
        });
        assert_eq!(left, (false, true, true, true));
    }
    assert!(fixture.read(move |tx| blobs::find(tx, &manifest)).is_none());
    let pending = fixture.read(|tx| mirror::pending(tx, None, 100));
    assert!(pending.len() >= raised.len(), "{pending:?}");
    // once more is nothing
    let now = fixture.now();
    let again = fixture.write(move |tx| verification::forget_bytes(tx, &seen, now));
    assert_eq!(again, []);
}

#[test]
fn blobs_are_listed_by_the_first_byte_of_their_digests_and_sizes_are_corrected() {
    let fixture = Fixture::on(ENGINE);
    let repository = fixture.repository("a");
    for number in 0..300 {
        fixture.blob(repository.id, digest(number));
    }
    let mut listed = Vec::new();
    for prefix in 0..=u8::MAX {
        let mut after = None;
        loop {
            let page = fixture.read(|tx| blobs::page_of_prefix(tx, prefix, after.as_ref(), 2));
            let Some(last) = page.last() else { break };
            after = Some(last.sha256);
            for blob in page {
                assert!(blob.sha256.hex().starts_with(&format!("{prefix:02x}")));
                listed.push(blob);
            }
        }
    }
    assert_eq!(listed.len(), 300);
    let first = listed[0].clone();
    fixture.write(move |tx| verification::correct_size(tx, first.id, 4_711));
    let sha256 = listed[0].sha256;
    let corrected = fixture.read(|tx| blobs::find(tx, &sha256));
    assert_eq!(corrected.map(|blob| blob.size), Some(4_711));
}
