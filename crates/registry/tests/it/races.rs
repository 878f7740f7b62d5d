//! What comes back while somebody takes it: the collector, or a delete (consistency rules 4 and 13).
//! A file has one writer, so most of this can only go wrong with the index on a server.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

use wharf_access::{Identity, Principal};
use wharf_metadata::trash::{self, Deletion};
use wharf_metadata::{Error as Failure, Timestamp, Tx, blobs, manifests, repositories, tags};
use wharf_oci::Digest;
use wharf_registry::Error;
use wharf_registry::audit::Actor;
use wharf_registry::tag_history::Target;
use wharf_test_support::{Registry, image, index};

use crate::trash::{name, restore, selector, trashed};

const OPERATOR: Principal = Principal {
    identity: Identity::Operator,
    scopes: None,
};
const ACTOR: Actor<'static> = Actor::new(&OPERATOR);
const NOW: Timestamp = Timestamp(0);

async fn id(registry: &Registry) -> i64 {
    let found = registry.metadata().read(|tx| repositories::find(tx, &name("a")));
    found.await.unwrap().unwrap().id
}

async fn delete(registry: &Registry, reference: &str) {
    let target = format!("/v2/a/manifests/{reference}");
    registry.delete(&target).send().await.expect(202);
}

/// The collector's look at a manifest without a tag or an index: the trash is asked after the rest.
fn collect(id: i64, digest: Digest) -> impl FnMut(&mut Tx<'_>, &dyn Fn()) -> Result<bool, Failure> {
    move |tx, meanwhile| {
        blobs::lock_present(tx, &[digest], NOW)?;
        let head = manifests::head(tx, id, &digest)?.unwrap();
        assert_eq!(tags::of_manifest(tx, head.id)?, []);
        assert!(!manifests::is_referenced_by_index(tx, id, &digest)?);
        meanwhile();
        let is_held = trash::has_tag_of(tx, id, &digest)? || trash::lists_child(tx, id, &digest)?;
        if !is_held {
            manifests::delete(tx, id, &digest, "collector", NOW)?;
        }
        Ok(!is_held)
    }
}

#[tokio::test]
async fn a_tag_is_not_set_back_to_a_manifest_that_the_collector_takes() {
    let registry = Registry::with_trash().await;
    let (one, two) = (image("one"), image("two"));
    registry.push("a", "v1", &one).await;
    registry.push("a", "v1", &two).await;
    let (place, tag) = (name("a"), "v1".parse().unwrap());
    let target = Target::Digest(one.digest());
    let revert = registry.lifecycle().tag_histories.revert(ACTOR, &place, &tag, target);
    let take = collect(id(&registry).await, one.digest());
    let (is_gone, reverted) = registry.meet(take, revert).await;
    assert!(is_gone);
    assert!(matches!(reverted, Err(Error::ManifestGone { .. })), "{reverted:?}");
    registry.expect_whole("a", "v1", &two).await;
}

#[tokio::test]
async fn a_tag_that_comes_back_keeps_its_manifest() {
    let registry = Registry::with_trash().await;
    let one = image("one");
    registry.push("a", "v1", &one).await;
    delete(&registry, "v1").await;
    let take = collect(id(&registry).await, one.digest());
    let (is_gone, restored) = registry.meet(take, restore(&registry, &selector("a:v1"))).await;
    assert_eq!(restored.unwrap().tags, ["v1".parse().unwrap()]);
    assert!(!is_gone);
    registry.expect_whole("a", "v1", &one).await;
}

#[tokio::test]
async fn an_index_that_comes_back_keeps_its_children() {
    let registry = Registry::with_trash().await;
    let one = image("one");
    registry.push("a", &one.digest().to_string(), &one).await;
    let index = index(&[&one.manifest]);
    registry.push_manifest("a", "all", &index).await;
    delete(&registry, &index.digest().to_string()).await;
    let take = collect(id(&registry).await, one.digest());
    let (is_gone, restored) = registry.meet(take, restore(&registry, &selector("a:all"))).await;
    assert_eq!(restored.unwrap().manifests, [index.digest()]);
    assert!(!is_gone);
    registry.expect_whole("a", &one.digest().to_string(), &one).await;
}

#[tokio::test]
async fn a_tag_whose_manifest_is_deleted_while_it_comes_back_brings_it_along() {
    let registry = Registry::with_trash().await;
    let one = image("one");
    registry.push("a", "v1", &one).await;
    delete(&registry, "v1").await;
    let (id, digest) = (id(&registry).await, one.digest());
    let delete = move |tx: &mut Tx<'_>, meanwhile: &dyn Fn()| {
        let deletion = Deletion {
            by: String::new(),
            at: NOW,
            reason: "deleted".to_owned(),
            expires_at: Some(Timestamp(i64::MAX)),
        };
        let gone = trash::delete_manifest(tx, (id, &name("a")), &digest, &deletion)?;
        meanwhile();
        Ok(gone)
    };
    let (gone, restored) = registry.meet(delete, restore(&registry, &selector("a:v1"))).await;
    assert!(gone.is_some());
    let restored = restored.unwrap();
    assert_eq!(
        (restored.tags, restored.manifests),
        (vec!["v1".parse().unwrap()], vec![digest])
    );
    registry.expect_whole("a", "v1", &one).await;
    assert_eq!(trashed(&registry).await, []);
}

#[tokio::test]
async fn a_tag_whose_manifest_goes_for_good_while_it_comes_back_stays_in_the_trash() {
    let registry = Registry::with_trash().await;
    let one = image("one");
    registry.push("a", "v1", &one).await;
    delete(&registry, "v1").await;
    let (id, digest) = (id(&registry).await, one.digest());
    let forget = move |tx: &mut Tx<'_>, meanwhile: &dyn Fn()| {
        let gone = manifests::delete(tx, id, &digest, "", NOW)?;
        meanwhile();
        Ok(gone)
    };
    let (gone, restored) = registry.meet(forget, restore(&registry, &selector("a:v1"))).await;
    assert!(gone.is_some());
    assert!(matches!(restored, Err(Error::TrashIncomplete { .. })), "{restored:?}");
    assert_eq!(trashed(&registry).await.len(), 1);
}
