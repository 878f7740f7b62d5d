//! The trash, and repositories that are being deleted.

use wharf_metadata::error::Kind as Failure;
use wharf_metadata::manifests::ReferenceKind;
use wharf_metadata::repositories::{self, State};
use wharf_metadata::trash::{self, Deleted, Deletion, Filter, Key, Kind, Usage};
use wharf_metadata::{Entry, Timestamp, links, manifests, mirror, tags};
use wharf_oci::Digest;

use super::ENGINE;
use crate::fixture::{Fixture, digest, name, reference, sha512, tag};

const LATER: Timestamp = Timestamp(i64::MAX - 1);

fn deletion(fixture: &Fixture, expires_at: Option<Timestamp>) -> Deletion {
    Deletion {
        by: "bob".to_owned(),
        at: fixture.now(),
        reason: "deleted".to_owned(),
        expires_at,
    }
}

fn delete(fixture: &Fixture, repository_id: i64, repository: &str, digest: Digest, expires_at: Option<Timestamp>) {
    let (name, deletion) = (name(repository), deletion(fixture, expires_at));
    let gone = fixture.write(move |tx| trash::delete_manifest(tx, (repository_id, &name), &digest, &deletion));
    assert!(gone.is_some(), "there is no such manifest");
}

fn all(fixture: &Fixture) -> Vec<trash::Trashed> {
    fixture.read(|tx| trash::page(tx, &Filter::default(), None, 100))
}

#[test]
fn a_deleted_manifest_leaves_all_that_restoring_it_needs() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("a").id;
    fixture.blob(id, digest(1));
    fixture.manifest(id, digest(10), &[digest(1)]);
    fixture.tag(id, "v1", digest(10));
    let (place, how) = (name("a"), deletion(&fixture, Some(LATER)));
    let gone = fixture.write(move |tx| trash::delete_manifest(tx, (id, &place), &digest(10), &how));
    let key = Key::new(&name("a"), &digest(10));
    let expected = Deleted {
        file: Some(key.clone()),
        entries: vec![Entry::Tag(tag("v1")), Entry::Revision(digest(10))],
    };
    assert_eq!(gone.unwrap(), expected);
    for entry in expected.entries {
        assert!(fixture.read(move |tx| mirror::version(tx, id, &entry)).is_some());
    }
    assert_eq!(fixture.read(|tx| trash::pending_files(tx, 10)), std::slice::from_ref(&key));
    let [one, two, three, four] = std::array::from_fn(|_| key.clone());
    let version = fixture.read(move |tx| trash::file_version(tx, &one)).unwrap();
    let again = fixture.write(move |tx| trash::raise_file(tx, &two));
    assert!(again > version);
    assert!(!fixture.write(move |tx| trash::settle_file(tx, &three, version)));
    assert!(fixture.write(move |tx| trash::settle_file(tx, &four, again)));
    assert_eq!(fixture.read(|tx| trash::pending_files(tx, 10)), []);
    assert_eq!(fixture.read(move |tx| manifests::head(tx, id, &digest(10))), None);
    let found = fixture
        .read(move |tx| trash::find_tag(tx, &name("a"), &tag("v1")))
        .unwrap();
    assert_eq!(
        (found.kind, found.sha256, found.trashed_by.as_str()),
        (Kind::Manifest, digest(10), "bob")
    );
    assert_eq!(found.tags[0].tag, tag("v1"));
    assert_eq!(fixture.read(move |tx| trash::by_key(tx, &key)), std::slice::from_ref(&found));
    let references = fixture.read(move |tx| trash::references(tx, found.id));
    assert_eq!(references, [reference(ReferenceKind::Layer, digest(1))]);
    let absent = fixture.read(move |tx| trash::find_manifest(tx, &name("b"), &digest(10)));
    assert_eq!(absent, None);
}

#[test]
fn the_trash_holds_bytes_links_children_subjects_and_the_manifests_of_its_tags() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("a").id;
    fixture.blob(id, digest(1));
    fixture.manifest(id, digest(10), &[digest(1)]);
    fixture.push(id, digest(20), None, vec![reference(ReferenceKind::Child, digest(10))]);
    let held = |fixture: &Fixture| {
        fixture.read(move |tx| {
            Ok([
                trash::holds_blob(tx, &digest(1), Some(&sha512(1)))?,
                trash::holds_blob(tx, &digest(10), None)?,
                trash::needs_link(tx, id, &digest(1))?,
                trash::lists_child(tx, id, &digest(10))?,
                trash::has_manifest(tx, id, &digest(10))?,
                trash::has_tag_of(tx, id, &digest(10))?,
            ])
        })
    };
    assert_eq!(held(&fixture), [false; 6]);
    delete(&fixture, id, "a", digest(20), Some(LATER));
    assert_eq!(held(&fixture), [false, false, false, true, false, false]);
    delete(&fixture, id, "a", digest(10), Some(LATER));
    assert_eq!(held(&fixture), [true, true, true, true, true, false]);
    for entry in all(&fixture) {
        assert!(fixture.write(move |tx| trash::remove(tx, entry.id)));
    }
    assert_eq!(held(&fixture), [false; 6]);
    fixture.manifest(id, digest(10), &[digest(1)]);
    fixture.tag(id, "v1", digest(10));
    let how = deletion(&fixture, Some(LATER));
    let gone = fixture.write(move |tx| trash::delete_tag(tx, (id, &name("a")), &tag("v1"), &how));
    assert!(gone.unwrap().file.is_some());
    assert_eq!(held(&fixture), [false, false, false, false, false, true]);
}

#[test]
fn deleting_for_good_takes_what_the_trash_held_along() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("a").id;
    fixture.manifest(id, digest(10), &[]);
    fixture.tag(id, "v1", digest(10));
    let how = deletion(&fixture, Some(LATER));
    fixture.write(move |tx| trash::delete_tag(tx, (id, &name("a")), &tag("v1"), &how));
    assert_eq!(all(&fixture).len(), 1);
    delete(&fixture, id, "a", digest(10), None);
    assert_eq!(all(&fixture), []);
    let how = deletion(&fixture, None);
    let absent = fixture.write(move |tx| trash::delete_manifest(tx, (id, &name("a")), &digest(10), &how));
    assert_eq!(absent, None);
}

#[test]
fn pages_filters_expiry_and_space_agree_with_what_was_deleted() {
    let fixture = Fixture::on(ENGINE);
    let (a, b) = (fixture.repository("a").id, fixture.repository("b").id);
    for (id, layer, manifest) in [(a, 1, 10), (a, 2, 20), (b, 2, 30)] {
        fixture.blob(id, digest(layer));
        fixture.manifest(id, digest(manifest), &[digest(layer)]);
    }
    let soon = fixture.now();
    delete(&fixture, a, "a", digest(10), Some(soon));
    let between = fixture.now();
    delete(&fixture, a, "a", digest(20), Some(LATER));
    let digests = |filter: Filter, before: Option<i64>, limit: usize| -> Vec<Digest> {
        let page = fixture.read(move |tx| trash::page(tx, &filter, before, limit));
        page.iter().map(|entry| entry.sha256).collect()
    };
    assert_eq!(digests(Filter::default(), None, 100), [digest(20), digest(10)]);
    assert_eq!(digests(Filter::default(), None, 1), [digest(20)]);
    let newest = all(&fixture)[0].id;
    assert_eq!(digests(Filter::default(), Some(newest), 100), [digest(10)]);
    let early = Filter {
        repository: Some(name("a")),
        trashed_before: Some(between),
    };
    assert_eq!(digests(early, None, 100), [digest(10)]);
    let of_b = Filter {
        repository: Some(name("b")),
        trashed_before: None,
    };
    assert_eq!(digests(of_b, None, 100), []);
    let now = fixture.now();
    let expired = fixture.read(move |tx| trash::expired(tx, now, 100));
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].sha256, digest(10));

    let usage = fixture.read(|tx| trash::usage(tx, None));
    let expected = Usage {
        manifests: 2,
        tags: 0,
        bytes: 220,
        // the second layer is in use in b
        only_here: 210,
    };
    assert_eq!(usage, expected);
    let by_repository = fixture.read(trash::usage_by_repository);
    assert_eq!(by_repository, [(name("a"), expected)]);
    assert_eq!(fixture.read(|tx| trash::usage(tx, Some(&name("b")))), Usage::default());
}

#[test]
fn a_tag_is_found_in_the_entry_it_went_with_last_and_knows_who_has_pointed_where() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("a").id;
    fixture.manifest(id, digest(10), &[]);
    fixture.manifest(id, digest(20), &[]);
    for manifest in [digest(10), digest(20)] {
        fixture.tag(id, "v1", manifest);
        fixture.tag(id, "v2", manifest);
    }
    let once = fixture.read(move |tx| tags::once_on(tx, id, &digest(10)));
    assert_eq!(once, [tag("v1"), tag("v2")]);
    fixture.tag(id, "v1", digest(10));
    for _ in 0..2 {
        let how = deletion(&fixture, Some(LATER));
        fixture.write(move |tx| trash::delete_tag(tx, (id, &name("a")), &tag("v1"), &how));
        fixture.tag(id, "v1", digest(20));
    }
    let found = fixture.read(|tx| trash::find_tag(tx, &name("a"), &tag("v1"))).unwrap();
    assert_eq!(found.sha256, digest(20));
    assert_eq!(all(&fixture).len(), 2);
    let known = fixture.read(move |tx| tags::digests_of(tx, id, &tag("v1")));
    assert_eq!(known.len(), 2);
}

#[test]
fn keys_are_read_back_and_nothing_else_is_one() {
    let key = Key::new(&name("a/b"), &digest(1));
    assert_eq!(Key::parse(key.as_str()), Some(key.clone()));
    assert_ne!(key, Key::new(&name("a"), &digest(1)));
    for text in ["", "a-b", "../../x", &key.as_str().to_uppercase(), &key.as_str()[1..]] {
        assert_eq!(Key::parse(text), None, "{text}");
    }
}

#[test]
fn a_repository_that_is_being_deleted_is_hidden_until_its_name_is_free() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("a").id;
    fixture.blob(id, digest(1));
    fixture.manifest(id, digest(10), &[digest(1)]);
    let how = deletion(&fixture, Some(LATER));
    let begun = how.clone();
    assert!(fixture.write(move |tx| repositories::begin_deleting(tx, id, &begun)));
    let begun = how.clone();
    assert!(!fixture.write(move |tx| repositories::begin_deleting(tx, id, &begun)));
    assert_eq!(fixture.read(|tx| repositories::find(tx, &name("a"))), None);
    assert_eq!(fixture.read(|tx| repositories::by_storage_name(tx, &name("a"))), None);
    assert!(!fixture.read(|tx| repositories::exists(tx, &name("a"))));
    assert!(fixture.read(|tx| repositories::is_deleting(tx, &name("a"))));
    assert_eq!(fixture.read(|tx| repositories::page(tx, 0, 10)), []);
    assert_eq!(fixture.read(|tx| repositories::page_names(tx, None, 10)), []);
    let now = fixture.now();
    let refused = fixture
        .metadata
        .write_blocking(move |tx| repositories::find_or_create(tx, &name("a"), State::Indexed(0), now));
    assert_eq!(refused.unwrap_err().kind(), Failure::Deleting);
    let waiting = fixture.read(|tx| repositories::deletions(tx, 0, 10));
    assert_eq!((waiting[0].0.id, &waiting[0].1), (id, &how));
    assert_eq!(waiting[0].0.state, State::Deleting);

    // it holds something: it cannot end yet, and nothing of it is lost
    assert!(!fixture.write(move |tx| repositories::finish_deleting(tx, id)));
    assert_eq!(fixture.read(|tx| repositories::deletions(tx, 0, 10)).len(), 1);
    delete(&fixture, id, "a", digest(10), Some(LATER));
    fixture.write(move |tx| links::unlink(tx, id, &digest(1), now));
    let first = fixture.read(move |tx| mirror::pending_of(tx, id, None, 10));
    assert_eq!(first, [Entry::Revision(digest(10))]);
    assert_eq!(
        fixture.read(move |tx| mirror::pending_of(tx, id, Some(&first[0]), 10)),
        []
    );
    assert!(!fixture.write(move |tx| repositories::finish_deleting(tx, id)));
    fixture.write(move |tx| mirror::forget(tx, id, &[Entry::Revision(digest(10))]));
    assert!(fixture.write(move |tx| repositories::finish_deleting(tx, id)));
    assert_eq!(fixture.read(|tx| repositories::deletions(tx, 0, 10)), []);
    assert_ne!(fixture.repository("a").id, id);
}

#[test]
fn the_history_of_a_deleted_repository_goes_in_batches_and_that_of_others_stays() {
    let fixture = Fixture::on(ENGINE);
    let (id, other) = (fixture.repository("a").id, fixture.repository("b").id);
    for repository in [id, other] {
        fixture.manifest(repository, digest(10), &[]);
        for number in 0..5 {
            fixture.tag(repository, &format!("t{number}"), digest(10));
        }
    }
    let events = |repository| {
        let tags = (0..5).map(|number| tag(&format!("t{number}")));
        tags.map(|tag| fixture.read(move |tx| tags::history(tx, repository, &tag, None, 10)).len())
            .sum::<usize>()
    };
    // it is not being deleted
    assert!(!fixture.write(move |tx| repositories::forget_history(tx, id, 2)));
    let begun = deletion(&fixture, None);
    fixture.write(move |tx| repositories::begin_deleting(tx, id, &begun));
    for left in [3, 1, 0] {
        assert!(fixture.write(move |tx| repositories::forget_history(tx, id, 2)));
        assert_eq!(events(id), left);
    }
    assert!(!fixture.write(move |tx| repositories::forget_history(tx, id, 2)));
    assert_eq!(events(other), 5);
}
