//! What another registry changed between two starts (consistency rule 8).

use std::fs;

use wharf_test_support::{Image, Registry, Stopped, image};

use crate::tree::Tree;

/// A registry that has served `a` with the tags v1, v2 and v3, and is stopped.
async fn served() -> (Stopped, [Image; 3]) {
    let registry = Registry::open().await;
    let images = ["one", "two", "three"].map(image);
    for (number, image) in images.iter().enumerate() {
        registry.push("a", &format!("v{}", number + 1), image).await;
    }
    (registry.stop().await, images)
}

#[tokio::test]
async fn nothing_changes_where_nothing_was_changed() {
    let (stopped, images) = served().await;
    let registry = stopped.start().await;
    assert_eq!(registry.adoption().progress().changes(), 0);
    assert_eq!(registry.replayed(), 0);
    registry.expect_whole("a", "v2", &images[1]).await;
}

#[tokio::test]
async fn a_new_tag_and_a_new_image_are_served() {
    let (stopped, images) = served().await;
    let new = image("new");
    let tree = Tree::new(stopped.root());
    tree.tag("a", "again", &images[0].digest());
    tree.push("a", "new", &new);
    tree.push("b/c", "new", &new);
    let registry = stopped.start().await;
    assert_eq!(registry.tags("a").await, ["again", "new", "v1", "v2", "v3"]);
    registry.expect_whole("a", "new", &new).await;
    registry.expect_whole("a", "again", &images[0]).await;
    registry.expect_whole("b/c", "new", &new).await;
}

#[tokio::test]
async fn a_tag_that_was_moved_in_place_is_followed_also_twice() {
    let (mut stopped, images) = served().await;
    for image in [&images[1], &images[0], &images[2]] {
        // same length, same folder times: only the link file itself differs
        let link = stopped.repository("a").join("_manifests/tags/v1/current/link");
        fs::write(link, image.digest().to_string()).unwrap();
        let registry = stopped.start().await;
        registry.expect_whole("a", "v1", image).await;
        stopped = registry.stop().await;
    }
}

#[tokio::test]
async fn a_tag_that_was_deleted_is_gone_and_its_manifest_stays() {
    let (stopped, images) = served().await;
    Tree::new(stopped.root()).delete_tag("a", "v2");
    let registry = stopped.start().await;
    assert_eq!(registry.tags("a").await, ["v1", "v3"]);
    registry
        .expect_whole("a", &images[1].digest().to_string(), &images[1])
        .await;
}

#[tokio::test]
async fn a_manifest_that_was_deleted_is_gone_with_its_tags() {
    let (stopped, images) = served().await;
    let tree = Tree::new(stopped.root());
    tree.delete_revision("a", &images[1].digest());
    tree.delete_tag("a", "v2");
    let registry = stopped.start().await;
    let target = format!("/v2/a/manifests/{}", images[1].digest());
    registry.get(&target).send().await.expect_error(404, "MANIFEST_UNKNOWN");
    assert_eq!(registry.tags("a").await, ["v1", "v3"]);
}

#[tokio::test]
async fn a_layer_that_was_unlinked_is_unknown() {
    let (stopped, images) = served().await;
    let hex = images[0].blobs[1].digest.to_string().replace("sha256:", "");
    fs::remove_dir_all(stopped.repository("a").join("_layers/sha256").join(hex)).unwrap();
    let registry = stopped.start().await;
    let target = format!("/v2/a/blobs/{}", images[0].blobs[1].digest);
    registry.head(&target).send().await.expect(404);
    registry.push("a", "v1", &images[0]).await;
    registry.expect_whole("a", "v1", &images[0]).await;
}

#[tokio::test]
async fn a_repository_folder_that_was_removed_is_a_repository_that_is_gone() {
    let (stopped, images) = served().await;
    let registry = stopped.start().await;
    registry.push("other", "v1", &images[0]).await;
    let stopped = registry.stop().await;
    fs::remove_dir_all(stopped.repository("a")).unwrap();
    let registry = stopped.start().await;
    assert!(registry.tags("a").await.is_empty());
    registry
        .get("/v2/a/manifests/v1")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    registry.expect_whole("other", "v1", &images[0]).await;
    let catalog = registry.get("/v2/_catalog").send().await.expect(200).json();
    assert_eq!(catalog["repositories"], serde_json::json!(["other"]));
}

#[tokio::test]
async fn a_deleted_tag_that_was_pushed_again_elsewhere_is_back() {
    let (stopped, images) = served().await;
    let registry = stopped.start().await;
    registry.delete("/v2/a/manifests/v1").send().await.expect(202);
    let stopped = registry.stop().await;
    Tree::new(stopped.root()).tag("a", "v1", &images[2].digest());
    let registry = stopped.start().await;
    registry.expect_whole("a", "v1", &images[2]).await;
}

#[tokio::test]
async fn what_was_acknowledged_wins_over_an_older_link_after_a_crash() {
    let (stopped, images) = served().await;
    let registry = stopped.start().await;
    registry.push_manifest("a", "v1", &images[1].manifest).await;
    registry.delete("/v2/a/manifests/v2").send().await.expect(202);
    let stopped = registry.kill();
    // the links had not become durable: after a crash of the machine the old ones are back
    let tree = Tree::new(stopped.root());
    tree.tag("a", "v1", &images[0].digest());
    tree.tag("a", "v2", &images[1].digest());
    let registry = stopped.start().await;
    assert!(registry.replayed() > 0);
    registry.expect_whole("a", "v1", &images[1]).await;
    assert_eq!(registry.tags("a").await, ["v1", "v3"]);
    assert_eq!(registry.tag_link("a", "v1").unwrap(), images[1].digest().to_string());
    assert_eq!(registry.tag_link("a", "v2"), None);
}

#[tokio::test]
async fn what_another_registry_writes_after_the_start_is_found_by_the_second_look() {
    let (stopped, images) = served().await;
    let registry = stopped.start().await;
    registry.expect_whole("a", "v1", &images[0]).await;
    let tree = Tree::new(registry.root());
    let late = image("late");
    tree.push("a", "late", &late);
    tree.push("new/one", "late", &late);
    tree.tag("a", "v1", &late.digest());
    tree.delete_tag("a", "v3");
    registry.adoption().run_again().await.unwrap();
    assert_eq!(registry.tags("a").await, ["late", "v1", "v2"]);
    registry.expect_whole("a", "v1", &late).await;
    registry.expect_whole("new/one", "late", &late).await;
}
