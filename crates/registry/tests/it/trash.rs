//! What is deleted comes back, for a while (consistency rule 13).

use std::fs;
use std::time::Duration;

use wharf_access::{Identity, Principal};
use wharf_metadata::trash::{Filter, Kind, Trashed};
use wharf_oci::{Digest, Reference, RepositoryName};
use wharf_registry::Error;
use wharf_registry::audit::Actor;
use wharf_registry::deletion::{Fate, Order};
use wharf_registry::trash::{Purged, Restored, RestoredAll, Selector};
use wharf_test_support::{Image, Options, Registry, artifact, image, index};

const OPERATOR: Principal = Principal {
    identity: Identity::Operator,
    scopes: None,
};
const ACTOR: Actor<'static> = Actor::new(&OPERATOR);
const DAY: Duration = Duration::from_secs(86_400);

pub fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

/// `repository:tag` or `repository@digest`
pub fn selector(text: &str) -> Selector {
    match text.split_once('@') {
        Some((repository, digest)) => Selector::Manifest(name(repository), digest.parse().unwrap()),
        None => {
            let (repository, tag) = text.split_once(':').unwrap();
            Selector::Tag(name(repository), tag.parse().unwrap())
        }
    }
}

fn manifest(repository: &str, digest: &Digest) -> Selector {
    Selector::Manifest(name(repository), *digest)
}

pub async fn restore(registry: &Registry, what: &Selector) -> Result<Restored, Error> {
    registry.lifecycle().trash.restore(ACTOR, what, false).await
}

async fn forced(registry: &Registry, what: &Selector) -> Result<Restored, Error> {
    registry.lifecycle().trash.restore(ACTOR, what, true).await
}

pub async fn trashed(registry: &Registry) -> Vec<Trashed> {
    let listed = registry.lifecycle().trash.list(&OPERATOR, Filter::default(), None, 100);
    listed.await.unwrap()
}

async fn delete(registry: &Registry, repository: &str, reference: &str) {
    let target = format!("/v2/{repository}/manifests/{reference}");
    registry.delete(&target).send().await.expect(202);
}

pub async fn delete_repository(registry: &Registry, repository: &str) {
    let order = Order::management(ACTOR, Fate::Trash);
    let deleted = registry
        .lifecycle()
        .deletions
        .repository(order, &name(repository))
        .await;
    deleted.unwrap();
}

/// The index is lost, and made anew from the storage.
async fn without_index(registry: Registry) -> Registry {
    registry.stop().await.without_index().start().await
}

fn remove_bytes(registry: &Registry, digest: &Digest) {
    let hex = digest.hex();
    let folder = format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
    fs::remove_dir_all(registry.root().join(folder)).unwrap();
}

#[tokio::test]
async fn a_deleted_tag_has_no_link_and_comes_back() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.push("a", "v2", &image).await;
    delete(&registry, "a", "v1").await;
    registry.get("/v2/a/manifests/v1").send().await.expect(404);
    assert_eq!(registry.tag_link("a", "v1"), None);
    let entries = trashed(&registry).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].kind, entries[0].digest()), (Kind::Tag, image.digest()));
    assert_eq!(
        entries[0].expires_at.0 - entries[0].trashed_at.0,
        7 * 86_400 * 1_000_000
    );

    let back = restore(&registry, &selector("a:v1")).await.unwrap();
    assert_eq!(back.tags, ["v1".parse().unwrap()]);
    assert_eq!(back.manifests, []);
    registry.expect_whole("a", "v1", &image).await;
    assert_eq!(registry.tag_link("a", "v1"), Some(image.digest().to_string()));
    assert_eq!(trashed(&registry).await, []);
    // a repeated request finds nothing to do
    let again = restore(&registry, &selector("a:v1")).await.unwrap();
    assert_eq!((again.tags.len(), again.manifests.len()), (0, 0));
}

#[tokio::test]
async fn a_deleted_manifest_comes_back_with_its_tags_and_bytes() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.push("a", "latest", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    assert_eq!(registry.tags("a").await, [""; 0]);
    let folder = registry.repository("a").join("_manifests");
    assert!(!folder.join("tags/v1").exists());
    let hex = image.digest().hex();
    assert!(!folder.join("revisions/sha256").join(hex).join("link").exists());

    let back = restore(&registry, &manifest("a", &image.digest())).await.unwrap();
    assert_eq!(back.manifests, [image.digest()]);
    assert_eq!(back.tags, ["latest".parse().unwrap(), "v1".parse().unwrap()]);
    let registry = registry.restart().await;
    assert_eq!(registry.tags("a").await, ["latest", "v1"]);
    registry.expect_whole("a", "v1", &image).await;
    // a rebuilt index sees it too, and the trash is empty in the storage as well
    let registry = without_index(registry).await;
    registry.expect_whole("a", "latest", &image).await;
    assert_eq!(trashed(&registry).await, []);
}

#[tokio::test]
async fn the_push_time_and_the_pusher_come_back_too() {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        auth: wharf_test_support::Auth::Htpasswd,
        ..Options::default()
    })
    .await;
    let (image, digest) = (image("a"), image("a").digest());
    registry.push("a", "v1", &image).await;
    let pushed = registry.clock().now();
    registry.clock().advance(DAY);
    let target = format!("/v2/a/manifests/{digest}");
    registry.delete(&target).basic("bob", "secret").send().await.expect(202);
    assert_eq!(trashed(&registry).await[0].trashed_by, "bob");
    restore(&registry, &manifest("a", &digest)).await.unwrap();
    let found = registry.metadata().read_blocking(|tx| {
        let repository = wharf_metadata::repositories::find(tx, &name("a"))?.unwrap();
        wharf_metadata::manifests::find(tx, repository.id, &digest)
    });
    let found = found.unwrap().unwrap();
    assert_eq!((found.pushed_by.as_str(), found.pushed_at), ("alice", pushed.into()));
}

#[tokio::test]
async fn a_tag_that_moved_on_is_moved_back_only_when_that_is_forced() {
    let registry = Registry::with_trash().await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "v1", &old).await;
    registry.push("a", "kept", &old).await;
    delete(&registry, "a", &old.digest().to_string()).await;
    registry.push("a", "v1", &new).await;

    let refused = restore(&registry, &selector("a:v1")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::TagTaken { digest, .. } if **digest == new.digest()),
        "{refused}"
    );
    assert!(refused.to_string().contains("forced"), "{refused}");
    assert_eq!(trashed(&registry).await.len(), 1);
    // by its digest it comes back, and says which tag it did not touch
    let back = restore(&registry, &manifest("a", &old.digest())).await.unwrap();
    assert_eq!(back.tags, ["kept".parse().unwrap()]);
    assert_eq!(back.kept_tags[0].tag, "v1".parse().unwrap());
    assert_eq!(registry.tag("a", "v1").await, Some(new.digest()));

    delete(&registry, "a", "kept").await;
    registry.push("a", "kept", &new).await;
    forced(&registry, &selector("a:kept")).await.unwrap();
    assert_eq!(registry.tag("a", "kept").await, Some(old.digest()));
    assert_eq!(registry.tag_link("a", "kept"), Some(old.digest().to_string()));
}

#[tokio::test]
async fn bytes_that_are_gone_are_named_and_nothing_else_changes() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    // as registry:2's own garbage collection does, which knows of no trash
    let registry = registry.stop().await;
    let layer = image.blobs[2].digest;
    let registry = registry.start().await;
    remove_bytes(&registry, &layer);
    let refused = restore(&registry, &selector("a:v1")).await.unwrap_err();
    let Error::TrashIncomplete { missing, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(missing, &[layer]);
    assert!(refused.to_string().contains(&layer.to_string()), "{refused}");
    registry.get("/v2/a/manifests/v1").send().await.expect(404);
    assert_eq!(trashed(&registry).await.len(), 1);
    // pushed again, it can be restored
    registry.push_blob("a", &image.blobs[2]).await;
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn an_index_comes_back_with_its_children_and_names_those_that_are_nowhere() {
    let registry = Registry::with_trash().await;
    let (one, two, gone) = (image("one"), image("two"), image("gone"));
    for child in [&one, &two, &gone] {
        registry.push("a", &child.digest().to_string(), child).await;
    }
    let list = index(&[&one.manifest, &two.manifest, &gone.manifest]);
    registry.push_manifest("a", "multi", &list).await;
    // a child may be deleted although the index lists it, as in distribution
    delete(&registry, "a", &one.digest().to_string()).await;
    delete(&registry, "a", &gone.digest().to_string()).await;
    let entry = manifest("a", &gone.digest());
    let purged = registry.lifecycle().trash.remove(ACTOR, &entry).await;
    assert_eq!(purged.unwrap(), Purged { manifests: 1, tags: 0 });
    delete(&registry, "a", &list.digest().to_string()).await;

    let back = restore(&registry, &selector("a:multi")).await.unwrap();
    assert_eq!(back.manifests, [one.digest(), list.digest()]);
    assert_eq!(back.absent_children, [gone.digest()]);
    for child in [&one, &two] {
        registry.expect_whole("a", &child.digest().to_string(), child).await;
    }
    registry.get("/v2/a/manifests/multi").send().await.expect(200);
}

#[tokio::test]
async fn a_tag_and_its_manifest_that_were_deleted_one_after_the_other_come_back_together() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", "v1").await;
    delete(&registry, "a", &image.digest().to_string()).await;
    let back = restore(&registry, &selector("a:v1")).await.unwrap();
    assert_eq!(back.manifests, [image.digest()]);
    assert_eq!(back.tags, ["v1".parse().unwrap()]);
    assert_eq!(trashed(&registry).await, []);
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn what_has_expired_is_gone_and_the_answer_says_so() {
    let registry = Registry::with_trash().await;
    let (first, second) = (image("first"), image("second"));
    registry.push("a", "v1", &first).await;
    registry.push("a", "v2", &second).await;
    delete(&registry, "a", &first.digest().to_string()).await;
    registry.clock().advance(6 * DAY);
    delete(&registry, "a", "v2").await;
    let trash = &registry.lifecycle().trash;
    assert_eq!(trash.expire(100).await.unwrap(), Purged::default());
    registry.clock().advance(DAY);
    assert_eq!(trash.expire(100).await.unwrap(), Purged { manifests: 1, tags: 0 });
    let refused = restore(&registry, &selector("a:v1")).await.unwrap_err();
    assert!(matches!(refused, Error::NotInTrash { .. }), "{refused}");
    assert!(refused.to_string().contains("expired"), "{refused}");
    assert!(refused.to_string().contains("7 days"), "{refused}");
    assert_eq!(trashed(&registry).await.len(), 1);
    // and the storage has forgotten it too
    let registry = without_index(registry).await;
    assert_eq!(trashed(&registry).await.len(), 1);
    let lines = registry
        .metadata()
        .read_blocking(|tx| wharf_metadata::audit_log::page(tx, None, 10))
        .unwrap();
    assert!(lines.is_empty(), "a rebuilt index begins a new audit log: {lines:?}");
}

#[tokio::test]
async fn without_a_trash_and_with_purge_what_is_deleted_is_gone_at_once() {
    let registry = Registry::with(Options {
        keep: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    assert_eq!(trashed(&registry).await, []);
    let refused = restore(&registry, &selector("a:v1")).await.unwrap_err();
    assert!(refused.to_string().contains("trash.keep is 0"), "{refused}");

    let registry = Registry::with_trash().await;
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", "v1").await;
    // what the trash holds of a manifest goes with it
    let deletions = &registry.lifecycle().deletions;
    let order = Order::management(ACTOR, Fate::Purge);
    deletions.manifest(order, &name("a"), &image.digest()).await.unwrap();
    assert_eq!(trashed(&registry).await, []);
    assert!(
        fs::read_dir(registry.root().join("wharf/trash"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn the_trash_survives_the_loss_of_the_index() {
    let registry = Registry::with_trash().await;
    let (image, other) = (image("a"), image("b"));
    let note = artifact(&image.manifest, "test/note", "hello");
    registry.push("a", "v1", &image).await;
    registry.push("a", &note.digest().to_string(), &note).await;
    registry.push("gone/whole", "v1", &other).await;
    delete(&registry, "a", "v1").await;
    delete(&registry, "a", &image.digest().to_string()).await;
    delete_repository(&registry, "gone/whole").await;
    let before = trashed(&registry).await;
    let registry = without_index(registry).await;
    let after = trashed(&registry).await;
    let facts = |entries: &[Trashed]| {
        let mut facts: Vec<_> = entries
            .iter()
            .map(|entry| (entry.repository.to_string(), entry.kind == Kind::Tag, entry.clone()))
            .map(|(repository, is_tag, entry)| (repository, is_tag, entry.digest(), entry.tags, entry.expires_at))
            .collect();
        facts.sort_by_key(|fact| (fact.0.clone(), fact.1));
        facts
    };
    assert_eq!(facts(&before), facts(&after));
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
    restore(&registry, &selector("gone/whole:v1")).await.unwrap();
    registry.expect_whole("gone/whole", "v1", &other).await;
}

#[tokio::test]
async fn a_second_deletion_takes_the_place_of_the_first() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "first", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    registry.push("a", "second", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    let entries = trashed(&registry).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].tags[0].tag, "second".parse().unwrap());
    // pushed again: restoring sets the tags on what is there
    registry.push("a", "third", &image).await;
    let back = restore(&registry, &manifest("a", &image.digest())).await.unwrap();
    assert_eq!(back.tags, ["second".parse().unwrap()]);
    assert_eq!(registry.tags("a").await, ["second", "third"]);
}

#[tokio::test]
async fn a_manifest_with_two_names_comes_back_under_both() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    for blob in &image.blobs {
        registry.push_blob("a", blob).await;
    }
    let long = image.manifest.blob.sha512();
    registry
        .manifest_put("a", &long.to_string(), &image.manifest)
        .send()
        .await
        .expect(201);
    delete(&registry, "a", &long.to_string()).await;
    for digest in [image.digest(), long] {
        let target = format!("/v2/a/manifests/{digest}");
        registry.get(&target).send().await.expect(404);
    }
    let back = restore(&registry, &manifest("a", &long)).await.unwrap();
    assert_eq!(back.manifests, [long]);
    for digest in [image.digest(), long] {
        let target = format!("/v2/a/manifests/{digest}");
        registry.get(&target).send().await.expect(200).expect_digest(&digest);
    }
}

#[tokio::test]
async fn space_is_counted_once_and_apart_from_what_is_still_needed() {
    let registry = Registry::with_trash().await;
    let (kept, gone) = (image("kept"), image("gone"));
    let shared = Image {
        blobs: kept.blobs.clone(),
        manifest: wharf_test_support::Manifest::typed(
            &kept.manifest.media_type,
            format!("{} ", String::from_utf8(kept.manifest.blob.bytes.to_vec()).unwrap()),
        ),
    };
    registry.push("a", "kept", &kept).await;
    registry.push("a", "shared", &shared).await;
    registry.push("a", "gone", &gone).await;
    registry.push("b", "gone", &gone).await;
    for (repository, image) in [("a", &shared), ("a", &gone), ("b", &gone)] {
        delete(&registry, repository, &image.digest().to_string()).await;
    }
    delete(&registry, "a", "kept").await;
    let size = |image: &Image| -> u64 {
        let blobs: usize = image.blobs.iter().map(|blob| blob.bytes.len()).sum();
        (blobs + image.manifest.blob.bytes.len()) as u64
    };
    let own = shared.manifest.blob.bytes.len() as u64;
    let trash = &registry.lifecycle().trash;
    let usage = trash.usage(&OPERATOR, None).await.unwrap();
    assert_eq!((usage.manifests, usage.tags), (3, 1));
    assert_eq!(usage.bytes, size(&gone) + size(&shared));
    assert_eq!(usage.only_here, size(&gone) + own);
    let by_repository = trash.usage_by_repository(&OPERATOR).await.unwrap();
    assert_eq!(by_repository.len(), 2);
    assert_eq!(by_repository[1].0, name("b"));
    assert_eq!(by_repository[1].1.bytes, size(&gone));
}

#[tokio::test]
async fn a_filter_empties_and_restores_only_what_it_means() {
    let registry = Registry::with_trash().await;
    for (repository, seed) in [("a", "1"), ("a", "2"), ("b", "3")] {
        registry.push(repository, seed, &image(seed)).await;
        delete(&registry, repository, &image(seed).digest().to_string()).await;
        registry.clock().advance(DAY);
    }
    let trash = &registry.lifecycle().trash;
    let long_ago = Filter {
        trashed_before: Some((registry.clock().now() - jiff_days(2)).into()),
        ..Filter::default()
    };
    assert_eq!(trash.empty(ACTOR, long_ago).await.unwrap().entries(), 1);
    let of_a = Filter {
        repository: Some(name("a")),
        ..Filter::default()
    };
    let back = trash.restore_all(ACTOR, of_a, false).await.unwrap();
    assert_eq!((back.manifests, back.tags, back.failed), (1, 1, 0));
    assert_eq!(registry.tags("a").await, ["2"]);
    assert_eq!(trash.empty(ACTOR, Filter::default()).await.unwrap().entries(), 1);
    let nothing = trash.restore_all(ACTOR, Filter::default(), false).await.unwrap();
    assert_eq!(nothing, RestoredAll::default());
}

fn jiff_days(days: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_hours(24 * days)
}

#[tokio::test]
async fn a_read_only_registry_and_a_stranger_are_refused() {
    let registry = Registry::with_trash().await;
    registry.push("a", "v1", &image("a")).await;
    delete(&registry, "a", "v1").await;
    let stranger = Principal::anonymous();
    let refused = registry
        .lifecycle()
        .trash
        .restore(Actor::new(&stranger), &selector("a:v1"), false)
        .await;
    assert!(matches!(refused, Err(Error::NeedsCredentials { .. })), "{refused:?}");
    let refused = registry
        .lifecycle()
        .trash
        .empty(Actor::new(&stranger), Filter::default())
        .await;
    assert!(matches!(refused, Err(Error::NeedsCredentials { .. })), "{refused:?}");
    let mut stopped = registry.stop().await;
    stopped.options().read_only = true;
    let registry = stopped.start().await;
    let refused = restore(&registry, &selector("a:v1")).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    let refused = registry.lifecycle().trash.empty(ACTOR, Filter::default()).await;
    assert!(refused.unwrap_err().to_string().contains("read-only"));
    assert_eq!(trashed(&registry).await.len(), 1);
}

#[tokio::test]
async fn management_deletes_although_the_protocol_may_not() {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        delete: false,
        ..Options::default()
    })
    .await;
    registry.push("a", "v1", &image("a")).await;
    registry.delete("/v2/a/manifests/v1").send().await.expect(405);
    let order = Order::management(ACTOR, Fate::Trash);
    let tag = "v1".parse().unwrap();
    registry
        .lifecycle()
        .deletions
        .tag(order, &name("a"), &tag)
        .await
        .unwrap();
    assert_eq!(registry.tag("a", "v1").await, None);
    let unknown = registry.lifecycle().deletions.tag(order, &name("a"), &tag).await;
    assert!(
        matches!(&unknown, Err(Error::ManifestUnknown { reference, .. }) if *reference == Reference::Tag(tag)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_damaged_file_of_the_trash_is_left_alone() {
    let registry = Registry::with_trash().await;
    registry.push("a", "v1", &image("a")).await;
    delete(&registry, "a", "v1").await;
    let stopped = registry.stop().await;
    let folder = stopped.root().join("wharf/trash");
    fs::write(folder.join("note.txt"), "hello").unwrap();
    let broken = format!("{}-{}.json", "0".repeat(32), "1".repeat(64));
    fs::write(folder.join(&broken), "{\"version\":1").unwrap();
    let registry = stopped.without_index().start().await;
    assert_eq!(trashed(&registry).await.len(), 1);
    assert!(folder.join(&broken).exists());
}

#[tokio::test]
async fn what_was_deleted_before_a_repository_was_made_anew_belongs_to_the_new_one() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete_repository(&registry, "a").await;
    let old = trashed(&registry).await.remove(0);
    registry.push("a", "v1", &image).await;
    let moved = trashed(&registry).await.remove(0);
    assert_eq!(moved.id, old.id);
    assert_ne!(moved.repository_id, old.repository_id);
    delete(&registry, "a", "v1").await;
    // the tag that was deleted alone outlives the older entry of its manifest
    let trash = &registry.lifecycle().trash;
    trash.remove(ACTOR, &Selector::Id(old.id)).await.unwrap();
    let left = trashed(&registry).await;
    assert_eq!(left.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [Kind::Tag]);
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
}
