//! Started on the wrong folder (consistency rule 16).

use std::fs;

use wharf_registry::identity::{self, Verdict};
use wharf_test_support::{Registry, Stopped, image, quick_folder};

async fn with_repositories(count: usize) -> Registry {
    let registry = Registry::open().await;
    for number in 0..count {
        registry.push(&format!("r{number}"), "v1", &image("a")).await;
    }
    registry
}

fn assert_refused(registry: &Registry, expected: &str, found: &str) {
    match registry.verdict() {
        Verdict::Different(mismatch) => {
            assert!(mismatch.expected.contains(expected), "{mismatch:?}");
            assert!(mismatch.found.contains(found), "{mismatch:?}");
        }
        Verdict::Same => panic!("taken for the same storage"),
    }
}

/// Nothing was removed from the index: on the right folder everything is there.
async fn assert_unharmed(stopped: Stopped, count: usize) {
    let registry = stopped.start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    for number in 0..count {
        registry.expect_whole(&format!("r{number}"), "v1", &image("a")).await;
    }
}

#[tokio::test]
async fn a_volume_that_is_not_mounted_is_no_mass_deletion() {
    let registry = with_repositories(3).await;
    let right = quick_folder();
    let stopped = registry.stop().await;
    copy(stopped.root(), right.path());
    let registry = stopped.with_root(quick_folder()).start().await;
    assert_refused(&registry, "3 repositories", "without wharf/identity.json");
    assert_unharmed(registry.stop().await.with_root(right), 3).await;
}

#[tokio::test]
async fn the_volume_of_another_registry_is_noticed() {
    let stopped = with_repositories(2).await.stop().await;
    let other = with_repositories(2).await.stop().await;
    let (right, wrong) = (quick_folder(), quick_folder());
    copy(stopped.root(), right.path());
    copy(other.root(), wrong.path());
    // two registries of these tests begin with the same chance
    fs::write(wrong.path().join("wharf/identity.json"), r#"{"id": "another"}"#).unwrap();
    let registry = stopped.with_root(wrong).start().await;
    assert_refused(&registry, "2 repositories", "another");
    assert_unharmed(registry.stop().await.with_root(right), 2).await;
}

#[tokio::test]
async fn a_folder_that_lost_more_than_half_is_noticed_and_one_that_lost_little_is_followed() {
    let stopped = with_repositories(10).await.stop().await;
    for number in 0..3 {
        fs::remove_dir_all(stopped.repository(&format!("r{number}"))).unwrap();
    }
    let registry = stopped.start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    assert!(registry.tags("r0").await.is_empty());
    let stopped = registry.stop().await;
    let right = quick_folder();
    copy(stopped.root(), right.path());
    for number in 3..8 {
        fs::remove_dir_all(stopped.repository(&format!("r{number}"))).unwrap();
    }
    let registry = stopped.start().await;
    assert_refused(&registry, "repositories", "have no folder any more");
    let registry = registry.stop().await.with_root(right).start().await;
    for number in 3..10 {
        registry.expect_whole(&format!("r{number}"), "v1", &image("a")).await;
    }
}

#[tokio::test]
async fn a_loss_that_was_accepted_is_a_loss_once() {
    let stopped = with_repositories(5).await.stop().await;
    let stopped = stopped.with_root(quick_folder());
    let registry = stopped.start().await;
    assert_refused(&registry, "5 repositories", "identity.json");
    identity::accept(registry.metadata()).await.unwrap();
    let registry = registry.stop().await.start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    assert!(registry.tags("r0").await.is_empty());
    registry.push("new", "v1", &image("new")).await;
    // the next wrong folder is refused again
    let registry = registry.stop().await.with_root(quick_folder()).start().await;
    assert_refused(&registry, "repositories", "identity.json");
}

#[tokio::test]
async fn a_lost_index_and_a_registry_that_only_began_are_no_reason_to_refuse() {
    let registry = with_repositories(3).await.stop().await.without_index().start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    registry.expect_whole("r1", "v1", &image("a")).await;
    let empty = Registry::open().await.stop().await;
    let registry = empty.with_root(quick_folder()).start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
}

#[tokio::test]
async fn a_copy_that_was_cut_short_is_not_taken_for_all_there_is() {
    let whole = with_repositories(6).await.stop().await.without_index();
    fs::remove_dir_all(whole.root().join("wharf")).unwrap();
    let half = quick_folder();
    copy(
        &whole.root().join("docker/registry/v2/repositories"),
        &half.path().join("docker/registry/v2/repositories"),
    );
    let right = quick_folder();
    copy(whole.root(), right.path());
    let registry = whole.with_root(half).start().await;
    assert_refused(&registry, "6 tags", "6 of them without bytes");
    // the rest arrives
    let registry = registry.stop().await.with_root(right).start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    registry.expect_whole("r5", "v1", &image("a")).await;
}

#[tokio::test]
async fn some_images_without_bytes_are_no_reason_to_refuse() {
    let stopped = Registry::open().await.stop().await;
    let registry = stopped.start().await;
    for number in 0..8 {
        registry
            .push(&format!("r{number}"), "v1", &image(&format!("{number}")))
            .await;
    }
    let stopped = registry.stop().await.without_index();
    for number in 0..4 {
        let digest = image(&format!("{number}")).manifest.digest();
        let hex = digest.to_string().split_off("sha256:".len());
        let folder = format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        fs::remove_dir_all(stopped.root().join(folder)).unwrap();
    }
    let registry = stopped.start().await;
    assert_eq!(*registry.verdict(), Verdict::Same);
    registry.expect_whole("r6", "v1", &image("6")).await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
