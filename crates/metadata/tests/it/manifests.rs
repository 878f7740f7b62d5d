//! Manifests and what they point to.

use wharf_metadata::manifests::{self, NewManifest, ReferenceKind};
use wharf_metadata::tags;
use wharf_oci::descriptor::Annotations;

use super::ENGINE;
use crate::fixture::{Fixture, digest, plain, reference, sha512, tag};

#[test]
fn a_manifest_keeps_everything_that_was_said_of_it() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let now = fixture.now();
    let annotations = Annotations::from([("quote".to_owned(), "\"'?\u{1F6A2}".to_owned())]);
    let kept = annotations.clone();
    let inserted = fixture.write(move |tx| {
        let references = [
            reference(ReferenceKind::Config, digest(2)),
            // the same layer twice is legal
            reference(ReferenceKind::Layer, digest(3)),
            reference(ReferenceKind::Layer, digest(3)),
        ];
        let manifest = NewManifest {
            artifact_type: Some("application/x"),
            config_media_type: Some("application/y"),
            subject: Some(digest(9)),
            references: &references,
            ..plain(digest(1), &annotations, now)
        };
        manifests::insert(tx, id, &manifest)
    });
    assert!(inserted.is_new);
    let found = fixture.read(|tx| manifests::find(tx, id, &digest(1))).unwrap();
    assert_eq!(found.id, inserted.id);
    assert_eq!(found.digest(), digest(1));
    assert_eq!(found.artifact_type.as_deref(), Some("application/x"));
    assert_eq!(found.config_media_type.as_deref(), Some("application/y"));
    assert_eq!((found.subject, found.pushed_at), (Some(digest(9)), now));
    assert_eq!(found.pushed_by, "alice");
    assert_eq!(fixture.read(|tx| manifests::annotations(tx, found.id)), kept);
    let references = fixture.read(|tx| manifests::references(tx, found.id));
    assert_eq!(
        references,
        [
            reference(ReferenceKind::Config, digest(2)),
            reference(ReferenceKind::Layer, digest(3)),
            reference(ReferenceKind::Layer, digest(3))
        ]
    );
    let head = fixture.read(|tx| manifests::head(tx, id, &digest(1))).unwrap();
    assert_eq!((head.id, head.sha256, head.size), (found.id, digest(1), 100));
}

#[test]
fn pushing_a_manifest_again_refreshes_it_and_makes_no_second_one() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let first = fixture.manifest(id, digest(1), &[digest(2)]);
    let again = fixture.manifest(id, digest(1), &[digest(2)]);
    assert_eq!((again.id, again.is_new), (first.id, false));
    assert_eq!(fixture.read(|tx| manifests::references(tx, first.id)).len(), 1);
    assert_eq!(fixture.read(|tx| manifests::count(tx, id)), 1);
    // the same bytes under their other name
    let now = fixture.now();
    fixture.write(move |tx| {
        let annotations = Annotations::new();
        let manifest = NewManifest {
            sha512: Some(sha512(1)),
            ..plain(digest(1), &annotations, now)
        };
        manifests::insert(tx, id, &manifest)
    });
    let found = fixture.read(|tx| manifests::find(tx, id, &sha512(1))).unwrap();
    assert_eq!((found.id, found.sha256, found.pushed_at), (first.id, digest(1), now));
    assert_eq!(found.digest(), digest(1), "it was pushed under its sha256 first");
    assert_eq!(fixture.read(|tx| manifests::count(tx, id)), 1);
}

#[test]
fn a_manifest_pushed_as_another_type_is_read_anew() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let first = fixture.manifest(id, digest(1), &[digest(2)]);
    let now = fixture.now();
    fixture.write(move |tx| {
        let annotations = Annotations::new();
        let manifest = NewManifest {
            media_type: "application/opaque",
            ..plain(digest(1), &annotations, now)
        };
        manifests::insert(tx, id, &manifest)
    });
    assert_eq!(fixture.read(|tx| manifests::references(tx, first.id)), []);
    let found = fixture.read(|tx| manifests::head(tx, id, &digest(1))).unwrap();
    assert_eq!(found.media_type, "application/opaque");
}

#[test]
fn a_deleted_manifest_takes_its_tags_along_and_nothing_else() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let other = fixture.repository("team/other").id;
    for repository in [id, other] {
        fixture.manifest(repository, digest(1), &[digest(5)]);
        fixture.tag(repository, "a", digest(1));
        fixture.tag(repository, "b", digest(1));
    }
    fixture.manifest(id, digest(2), &[]);
    fixture.tag(id, "c", digest(2));
    let now = fixture.now();
    let delete = move |tx: &mut wharf_metadata::Tx<'_>| manifests::delete(tx, id, &digest(1), "bob", now);
    let deleted = fixture.write(delete).unwrap();
    assert_eq!((deleted.sha256, deleted.sha512), (digest(1), None));
    assert_eq!(deleted.tags, [tag("a"), tag("b")]);
    assert_eq!(fixture.write(delete), None);
    assert_eq!(fixture.read(|tx| tags::page(tx, id, None, 10)), [tag("c")]);
    assert_eq!(fixture.read(|tx| tags::page(tx, other, None, 10)), [tag("a"), tag("b")]);
    assert!(!fixture.read(|tx| manifests::is_referenced(tx, id, &digest(5))));
    assert!(fixture.read(|tx| manifests::is_referenced(tx, other, &digest(5))));
    let history = fixture.read(|tx| tags::history(tx, id, &tag("a"), None, 1));
    assert_eq!(
        (history[0].action, history[0].by.as_str()),
        (tags::Action::Deleted, "bob")
    );
}

#[test]
fn an_index_may_come_before_its_children() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let child = reference(ReferenceKind::Child, digest(1));
    fixture.push(id, digest(10), None, vec![child]);
    assert!(fixture.read(|tx| manifests::is_referenced_by_index(tx, id, &digest(1))));
    fixture.manifest(id, digest(1), &[digest(2)]);
    assert!(!fixture.read(|tx| manifests::is_referenced_by_index(tx, id, &digest(2))));
    assert_eq!(
        fixture.read(|tx| manifests::parents(tx, id, &digest(1), 10)),
        [digest(10)]
    );
    assert_eq!(
        fixture.read(|tx| manifests::parents(tx, id, &digest(2), 10)),
        [digest(1)]
    );
}

#[test]
fn manifests_page_by_their_canonical_digests() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    for number in [3, 1, 2] {
        fixture.manifest(id, digest(number), &[]);
    }
    let page = |after: Option<wharf_oci::Digest>, limit| {
        let page = fixture.read(|tx| manifests::page(tx, id, after.as_ref(), limit));
        page.into_iter().map(|manifest| manifest.sha256).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), [digest(1), digest(2)]);
    assert_eq!(page(Some(digest(2)), 2), [digest(3)]);
    assert_eq!(page(Some(digest(3)), 2), []);
}
