//! While something can be brought back, garbage collection leaves it whole; then it goes
//! (consistency rules 2 and 13).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use wharf_access::{Identity, Principal};
use wharf_registry::audit::Actor;
use wharf_registry::garbage_collection::{End, Request, Verdict};
use wharf_registry::trash::Filter;
use wharf_test_support::{Image, Options, Registry, WEEK, artifact, image, index, stored_blobs as stored};

use crate::trash::{delete_repository, restore, selector, trashed};

const OPERATOR: Principal = Principal {
    identity: Identity::Operator,
    scopes: None,
};
const ACTOR: Actor<'static> = Actor::new(&OPERATOR);

/// A registry whose collector waits for nothing.
async fn registry() -> Registry {
    let mut options = Options {
        keep: WEEK,
        ..Options::default()
    };
    options.collection.grace = Duration::ZERO;
    Registry::with(options).await
}

/// Everything that may go goes, manifests without a tag included.
async fn collect(registry: &Registry) {
    let request = Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: true,
    };
    // a link that goes frees its blob for the next run
    for _ in 0..3 {
        assert_eq!(registry.collect_as(&request).await.end, End::Done);
    }
}

async fn delete(registry: &Registry, repository: &str, reference: &str) {
    let target = format!("/v2/{repository}/manifests/{reference}");
    registry.delete(&target).send().await.expect(202);
}

/// The layer links of a repository.
fn links(registry: &Registry, repository: &str) -> BTreeSet<String> {
    let Ok(links) = fs::read_dir(registry.repository(repository).join("_layers/sha256")) else {
        return BTreeSet::new();
    };
    let names = links.flatten().filter(|entry| entry.path().join("link").exists());
    names.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Its time is over: it goes with all that it held.
async fn expire(registry: &Registry) {
    registry.clock().advance(WEEK);
    assert!(registry.lifecycle().trash.expire(1_000).await.unwrap().entries() > 0);
    assert_eq!(trashed(registry).await, []);
    collect(registry).await;
}

#[tokio::test]
async fn nothing_of_a_deleted_image_is_collected_until_its_time_is_over() {
    let registry = registry().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let (bytes, linked) = (stored(registry.root()), links(&registry, "a"));
    delete(&registry, "a", &image.digest().to_string()).await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    assert_eq!(links(&registry, "a"), linked);
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;

    delete(&registry, "a", &image.digest().to_string()).await;
    expire(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
    assert_eq!(links(&registry, "a"), BTreeSet::new());
    let files = fs::read_dir(registry.root().join("wharf/trash")).unwrap();
    assert_eq!(files.count(), 0);
}

#[tokio::test]
async fn children_of_a_deleted_index_stay_with_it_although_nobody_tagged_them() {
    let registry = registry().await;
    let (one, two) = (image("one"), image("two"));
    for child in [&one, &two] {
        registry.push("a", &child.digest().to_string(), child).await;
    }
    let inner = index(&[&one.manifest]);
    registry.push_manifest("a", &inner.digest().to_string(), &inner).await;
    let outer = index(&[&inner, &two.manifest]);
    registry.push_manifest("a", "multi", &outer).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", &outer.digest().to_string()).await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    let back = restore(&registry, &selector("a:multi")).await.unwrap();
    assert_eq!((back.manifests, back.absent_children), (vec![outer.digest()], vec![]));
    for child in [&one, &two] {
        registry.expect_whole("a", &child.digest().to_string(), child).await;
    }
    delete(&registry, "a", &outer.digest().to_string()).await;
    expire(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_signature_waits_for_its_deleted_subject_and_goes_with_it() {
    let registry = registry().await;
    let subject = image("subject");
    let signature = artifact(&subject.manifest, "x/signature", "signed");
    registry.push("a", "v1", &subject).await;
    registry.push("a", &signature.digest().to_string(), &signature).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", &subject.digest().to_string()).await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    restore(&registry, &selector("a:v1")).await.unwrap();
    let target = format!("/v2/a/referrers/{}", subject.digest());
    let referrers = registry.get(&target).send().await.expect(200).json();
    assert_eq!(
        referrers["manifests"][0]["digest"],
        signature.digest().to_string().as_str()
    );
    registry
        .expect_whole("a", &signature.digest().to_string(), &signature)
        .await;
    delete(&registry, "a", &subject.digest().to_string()).await;
    expire(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_deleted_signature_comes_back_to_a_subject_that_was_never_deleted() {
    let registry = registry().await;
    let subject = image("subject");
    let signature = artifact(&subject.manifest, "x/signature", "signed");
    registry.push("a", "v1", &subject).await;
    registry.push("a", "signed", &signature).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", &signature.digest().to_string()).await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    restore(&registry, &selector("a:signed")).await.unwrap();
    let target = format!("/v2/a/referrers/{}", subject.digest());
    let referrers = registry.get(&target).send().await.expect(200).json();
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_manifest_of_a_deleted_tag_stays_as_long_as_the_tag_can_come_back() {
    let registry = registry().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", "v1").await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
    delete(&registry, "a", "v1").await;
    expire(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_deleted_repository_is_held_without_a_single_link_and_comes_back_whole() {
    let registry = registry().await;
    let (one, two) = (image("one"), image("two"));
    registry.push("team/app", "v1", &one).await;
    registry.push("team/app", "v2", &two).await;
    let bytes = stored(registry.root());
    delete_repository(&registry, "team/app").await;
    assert!(!registry.repository("team/app").exists());
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    let filter = Filter {
        repository: Some("team/app".parse().unwrap()),
        trashed_before: None,
    };
    let back = registry
        .lifecycle()
        .trash
        .restore_all(ACTOR, filter, false)
        .await
        .unwrap();
    assert_eq!((back.manifests, back.tags, back.failed), (2, 2, 0));
    collect(&registry).await;
    registry.expect_whole("team/app", "v1", &one).await;
    registry.expect_whole("team/app", "v2", &two).await;
    delete_repository(&registry, "team/app").await;
    expire(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn the_bytes_stay_when_somebody_removes_the_links_of_what_was_deleted() {
    let registry = registry().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", &image.digest().to_string()).await;
    for blob in &image.blobs {
        let target = format!("/v2/a/blobs/{}", blob.digest);
        registry.delete(&target).send().await.expect(202);
    }
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    restore(&registry, &selector("a:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn what_another_image_shares_stays_when_the_trash_lets_go_of_it() {
    let registry = registry().await;
    let (kept, gone) = (image("kept"), image("gone"));
    let both = Image {
        blobs: kept.blobs.clone(),
        manifest: wharf_test_support::Manifest::typed(
            &kept.manifest.media_type,
            format!("{} ", String::from_utf8(kept.manifest.blob.bytes.to_vec()).unwrap()),
        ),
    };
    registry.push("a", "kept", &kept).await;
    registry.push("a", "both", &both).await;
    registry.push("b", "gone", &gone).await;
    registry.push("c", "gone", &gone).await;
    delete(&registry, "a", &both.digest().to_string()).await;
    delete(&registry, "b", &gone.digest().to_string()).await;
    expire(&registry).await;
    registry.expect_whole("a", "kept", &kept).await;
    registry.expect_whole("c", "gone", &gone).await;
    assert_eq!(links(&registry, "b"), BTreeSet::new());
}

#[tokio::test]
async fn a_lost_index_does_not_let_go_of_what_the_trash_holds() {
    let registry = registry().await;
    let (image, whole) = (image("a"), image("whole"));
    registry.push("a", "v1", &image).await;
    registry.push("gone", "v1", &whole).await;
    let bytes = stored(registry.root());
    delete(&registry, "a", &image.digest().to_string()).await;
    delete_repository(&registry, "gone").await;
    let registry = registry.stop().await.without_index().start().await;
    collect(&registry).await;
    assert_eq!(stored(registry.root()), bytes);
    restore(&registry, &selector("a:v1")).await.unwrap();
    restore(&registry, &selector("gone:v1")).await.unwrap();
    registry.expect_whole("a", "v1", &image).await;
    registry.expect_whole("gone", "v1", &whole).await;
}

#[tokio::test]
async fn what_the_collector_deletes_by_itself_comes_back_and_by_hand_is_gone() {
    let mut options = Options {
        keep: WEEK,
        ..Options::default()
    };
    options.collection.grace = Duration::ZERO;
    options.collection.untagged_after = Some(Duration::from_secs(60));
    let registry = Registry::with(options).await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "latest", &old).await;
    registry.push("a", "latest", &new).await;
    registry.clock().advance(Duration::from_secs(60));
    assert_eq!(registry.collect().await.counts.manifests, 1);
    let entries = trashed(&registry).await;
    assert_eq!(
        (entries[0].digest(), entries[0].reason.as_str()),
        (old.digest(), "untagged")
    );
    let what = selector(&format!("a@{}", old.digest()));
    restore(&registry, &what).await.unwrap();
    registry.expect_whole("a", &old.digest().to_string(), &old).await;
    // it has its time again
    registry.collect().await;
    registry.expect_whole("a", &old.digest().to_string(), &old).await;

    collect(&registry).await;
    assert_eq!(trashed(&registry).await, []);
    assert!(restore(&registry, &what).await.is_err());
    registry.expect_whole("a", "latest", &new).await;
}

#[tokio::test]
async fn plan_and_explanation_know_the_trash() {
    let registry = registry().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest().to_string()).await;
    let layer = image.blobs[2].digest;
    let explained = registry.collector().explain(&layer).await.unwrap();
    assert_eq!(explained.verdict, Verdict::Held);
    assert_eq!(explained.trashed[0].digest(), image.digest());
    let request = Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: true,
    };
    let plan = registry.collector().plan(&request).await.unwrap();
    assert!(plan.objects.is_empty(), "{:?}", plan.objects);
}
