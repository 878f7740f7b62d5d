//! Tags, their history and their links.

use wharf_metadata::manifests::NewManifest;
use wharf_metadata::tags::{self, Action, Fingerprint};
use wharf_metadata::{manifests, repositories};
use wharf_oci::descriptor::Annotations;

use super::ENGINE;
use crate::fixture::{Fixture, change, digest, name, plain, sha512, tag};

#[test]
fn a_tag_moves_and_its_history_tells_when_and_by_whom() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.manifest(id, digest(2), &[]);
    assert_eq!(fixture.tag(id, "latest", digest(1)), None);
    assert_eq!(fixture.tag(id, "latest", digest(2)), Some(digest(1)));
    // pushed again without a change: no line
    assert_eq!(fixture.tag(id, "latest", digest(2)), Some(digest(2)));
    let found = fixture.read(|tx| tags::get(tx, id, &tag("latest"))).unwrap();
    assert_eq!((found.digest, found.sha256, found.size), (digest(2), digest(2), 100));
    assert_eq!(found.media_type, wharf_oci::media_type::OCI_MANIFEST);

    let now = fixture.now();
    let delete =
        move |tx: &mut wharf_metadata::Tx<'_>| tags::delete(tx, &change(id, &tag("latest"), Action::Deleted, now));
    assert_eq!(fixture.write(delete), Some(digest(2)));
    assert_eq!(fixture.write(delete), None);
    assert_eq!(fixture.read(|tx| tags::get(tx, id, &tag("latest"))), None);

    let history = fixture.read(|tx| tags::history(tx, id, &tag("latest"), None, 10));
    let told: Vec<_> = history.iter().map(|event| (event.action, event.digest)).collect();
    assert_eq!(
        told,
        [
            (Action::Deleted, digest(2)),
            (Action::Pushed, digest(2)),
            (Action::Pushed, digest(1))
        ]
    );
    assert_eq!((history[0].at, history[0].by.as_str()), (now, "alice"));
    let rest = fixture.read(|tx| tags::history(tx, id, &tag("latest"), Some(history[0].id), 1));
    assert_eq!(rest, history[1..2]);
}

#[test]
fn tags_page_in_byte_order_from_places_that_need_not_exist() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let other = fixture.repository("team/other").id;
    for repository in [id, other] {
        fixture.manifest(repository, digest(1), &[]);
    }
    for text in ["b", "A", "a", "1.10", "1.9", "_", "Z"] {
        fixture.tag(id, text, digest(1));
    }
    fixture.tag(other, "c", digest(1));
    let page = |after: Option<&str>, limit| {
        let tags = fixture.read(|tx| tags::page(tx, id, after, limit));
        tags.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100), ["1.10", "1.9", "A", "Z", "_", "a", "b"]);
    assert_eq!(page(Some("1.9"), 2), ["A", "Z"]);
    assert_eq!(page(Some("B"), 2), ["Z", "_"]);
    assert_eq!(page(Some("b"), 2), [""; 0]);
    assert_eq!(page(None, 0), [""; 0]);
    assert_eq!(fixture.read(|tx| tags::count(tx, id)), 7);
}

#[test]
fn a_tag_answers_with_the_name_it_was_set_under() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let now = fixture.now();
    fixture.write(move |tx| {
        let annotations = Annotations::new();
        let manifest = NewManifest {
            sha512: Some(sha512(1)),
            ..plain(digest(1), &annotations, now)
        };
        let inserted = manifests::insert(tx, id, &manifest)?;
        let (long, short) = (tag("long"), tag("short"));
        tags::put(tx, &change(id, &long, Action::Pushed, now), inserted.id, &sha512(1))?;
        tags::put(tx, &change(id, &short, Action::Pushed, now), inserted.id, &digest(1))
    });
    let get = |text| fixture.read(|tx| tags::get(tx, id, &tag(text))).unwrap();
    assert_eq!((get("long").digest, get("long").sha256), (sha512(1), digest(1)));
    assert_eq!(get("short").digest, digest(1));
    assert_eq!(
        fixture.read(|tx| tags::of_manifest(tx, get("long").manifest_id)),
        [tag("long"), tag("short")]
    );
}

#[test]
fn a_link_is_recorded_only_for_what_it_was_seen_with_and_forgotten_when_the_tag_moves() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.manifest(id, digest(2), &[]);
    fixture.tag(id, "a", digest(1));
    fixture.tag(id, "b", digest(1));
    let seen = Fingerprint {
        size: 71,
        mtime: 1_700_000_000_123_456_789,
        ctime: -1,
        inode: u64::MAX,
    };
    let recorded = fixture.write(move |tx| {
        let batch = [
            (tag("a"), digest(1), seen),
            (tag("b"), digest(2), seen),
            (tag("gone"), digest(1), seen),
        ];
        tags::set_links(tx, id, &batch)
    });
    assert_eq!(recorded, 1);
    let links = fixture.read(|tx| tags::links(tx, id, None, 10));
    assert_eq!(links.len(), 2);
    assert_eq!((links[0].link, links[1].link), (Some(seen), None));
    fixture.tag(id, "a", digest(2));
    let links = fixture.read(|tx| tags::links(tx, id, None, 1));
    assert_eq!((links[0].digest, links[0].link), (digest(2), None));
    let rest = fixture.read(|tx| tags::links(tx, id, Some("a"), 10));
    assert_eq!(rest[0].tag, tag("b"));
}

#[test]
fn a_tag_cannot_point_to_a_manifest_that_is_not_there() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let now = fixture.now();
    let job = move |tx: &mut wharf_metadata::Tx<'_>| {
        tags::put(tx, &change(id, &tag("a"), Action::Pushed, now), 99, &digest(1))
    };
    fixture.metadata.write_blocking(job).unwrap_err();
    assert_eq!(fixture.read(|tx| tags::count(tx, id)), 0);
    assert!(fixture.read(|tx| repositories::exists(tx, &name("team/app"))));
}
