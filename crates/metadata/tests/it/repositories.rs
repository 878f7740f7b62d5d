//! Repositories, projects and the catalog.

use wharf_access::Visibility;
use wharf_metadata::repositories::{self, State};

use super::ENGINE;
use crate::fixture::{Fixture, digest, name, tag};

#[test]
fn the_first_repository_makes_its_project_and_the_project_is_private() {
    let fixture = Fixture::on(ENGINE);
    let team = fixture.repository("team/app");
    let single = fixture.repository("busybox");
    let library = fixture.repository("library/nginx");
    assert_eq!(team.visibility, Visibility::Private);
    assert_eq!(team.storage_name, team.name);
    assert_eq!(single.project_id, library.project_id);
    assert_ne!(single.project_id, team.project_id);
    assert!(fixture.write(|tx| repositories::set_visibility(tx, "library", Visibility::Public)));
    let found = fixture.read(|tx| repositories::find(tx, &name("busybox"))).unwrap();
    assert_eq!(found.visibility, Visibility::Public);
    assert!(!fixture.write(|tx| repositories::set_visibility(tx, "nobody", Visibility::Public)));
}

#[test]
fn asking_twice_for_a_repository_gives_the_same_one() {
    let fixture = Fixture::on(ENGINE);
    let first = fixture.repository("team/app");
    assert_eq!(fixture.repository("team/app"), first);
    assert_eq!(
        fixture.read(|tx| repositories::by_id(tx, first.id)),
        Some(first.clone())
    );
    assert_eq!(
        fixture.read(|tx| repositories::by_storage_name(tx, &first.name)),
        Some(first)
    );
    assert!(!fixture.read(|tx| repositories::exists(tx, &name("team/other"))));
}

#[test]
fn the_catalog_pages_in_byte_order_and_skips_empty_repositories() {
    let fixture = Fixture::on(ENGINE);
    for text in ["b", "a/c", "a-b", "a.b", "a0", "a", "z"] {
        let repository = fixture.repository(text);
        if text != "z" {
            fixture.manifest(repository.id, digest(1), &[]);
        }
    }
    let page = |after: Option<&str>, limit| {
        let names = fixture.read(|tx| repositories::page_names(tx, after, limit));
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100), ["a", "a-b", "a.b", "a/c", "a0", "b"]);
    assert_eq!(page(None, 2), ["a", "a-b"]);
    assert_eq!(page(Some("a-b"), 2), ["a.b", "a/c"]);
    // a name that does not exist is a place between others
    assert_eq!(page(Some("a1"), 2), ["b"]);
    assert_eq!(page(Some("b"), 2), [""; 0]);
    assert_eq!(page(None, 0), [""; 0]);
}

#[test]
fn a_pass_over_a_repository_ends_only_if_no_other_has_begun() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.write(move |tx| repositories::set_state(tx, id, State::Indexing(7)));
    assert_eq!(fixture.read(repositories::progress), (1, 1));
    assert!(!fixture.write(move |tx| repositories::mark_indexed(tx, id, 6)));
    assert!(fixture.write(move |tx| repositories::mark_indexed(tx, id, 7)));
    let state = fixture.read(|tx| repositories::by_id(tx, id)).unwrap().state;
    assert_eq!(state, State::Indexed(7));
    fixture.write(repositories::mark_all_unindexed);
    let waiting = fixture.read(|tx| repositories::unindexed(tx, 10));
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].state, State::Unindexed);
}

#[test]
fn only_an_empty_repository_can_be_deleted_and_its_id_is_never_used_again() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    fixture.manifest(id, digest(1), &[]);
    fixture.tag(id, "latest", digest(1));
    assert!(!fixture.write(move |tx| repositories::delete_empty(tx, id)));
    let now = fixture.now();
    let deleted = fixture
        .write(move |tx| wharf_metadata::manifests::delete(tx, id, &digest(1), "bob", now))
        .unwrap();
    assert_eq!(deleted.tags, [tag("latest")]);
    assert!(fixture.write(move |tx| repositories::delete_empty(tx, id)));
    assert!(!fixture.write(move |tx| repositories::delete_empty(tx, id)));
    assert!(fixture.repository("team/app").id > id);
}
