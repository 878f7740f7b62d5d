//! What is remembered for pulls is never older than what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wharf_metadata::trash::{self, Deletion};
use wharf_metadata::{Timestamp, repositories};
use wharf_test_support::{Blob, Image, Registry, image};

/// Runs `change` while four readers ask for `target` without a pause.
#[expect(clippy::disallowed_methods, reason = "tests are their own root")]
async fn beside_readers(registry: &Registry, target: &str, change: impl Future<Output = ()>) {
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (registry, target, is_over) = (registry.clone(), target.to_owned(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let answer = registry.get(&target).send().await;
                    assert!([200, 404].contains(&answer.status.as_u16()), "{answer:?}");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    change.await;
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_moved_or_deleted_tag_is_never_served_as_it_was() {
    let registry = Registry::open().await;
    let images: Vec<Image> = (0..3).map(|number| image(&number.to_string())).collect();
    for image in &images {
        registry.push("a", "latest", image).await;
    }
    let moves = async {
        for round in 0..150 {
            let image = &images[round % 3];
            registry.push_manifest("a", "latest", &image.manifest).await;
            assert_eq!(registry.tag("a", "latest").await, Some(image.digest()));
            if round % 4 == 0 {
                registry.delete("/v2/a/manifests/latest").send().await.expect(202);
                assert_eq!(registry.tag("a", "latest").await, None);
            }
        }
    };
    beside_readers(&registry, "/v2/a/manifests/latest", moves).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deleted_manifest_and_a_deleted_blob_are_gone_at_once_and_back_at_once() {
    let registry = Registry::open().await;
    let (image, blob) = (image("a"), Blob::sized("x", 1000));
    registry.push("a", "v1", &image).await;
    let target = format!("/v2/a/manifests/{}", image.digest());
    let changes = async {
        for _ in 0..60 {
            registry.delete(&target).send().await.expect(202);
            registry.head(&target).send().await.expect(404);
            assert_eq!(registry.tag("a", "v1").await, None);
            registry.push_manifest("a", "v1", &image.manifest).await;
            registry.head(&target).send().await.expect(200);
        }
    };
    beside_readers(&registry, &target, changes).await;
    let target = format!("/v2/a/blobs/{}", blob.digest);
    let changes = async {
        for _ in 0..60 {
            registry.push_blob("a", &blob).await;
            registry.head(&target).send().await.expect(200);
            registry.delete(&target).send().await.expect(202);
            registry.head(&target).send().await.expect(404);
        }
    };
    beside_readers(&registry, &target, changes).await;
}

/// A connection is lost during the commit of a delete, which the server makes all the same.
#[tokio::test]
async fn after_a_commit_whose_outcome_is_unknown_nothing_old_is_served_and_the_links_follow() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.mirror().flush().await.unwrap();
    let targets = ["v1".to_owned(), image.digest().to_string()].map(|reference| format!("/v2/a/manifests/{reference}"));
    for target in &targets {
        registry.get(target).send().await.expect(200);
    }
    let digest = image.digest();
    let deleted = registry.metadata().write(move |tx| {
        let name = "a".parse().unwrap();
        let repository = repositories::find(tx, &name)?.unwrap();
        let deletion = Deletion {
            by: "alice".to_owned(),
            at: Timestamp(1),
            reason: String::new(),
            expires_at: None,
        };
        trash::delete_manifest(tx, (repository.id, &name), &digest, &deletion)
    });
    assert!(deleted.await.unwrap().is_some());
    registry.metadata().doubts().raise();
    for target in &targets {
        registry.get(target).send().await.expect(404);
    }
    registry.mirror().flush().await.unwrap();
    assert!(!registry.metadata().doubts().are_open());
    assert_eq!(registry.tag_link("a", "v1"), None);
    for target in &targets {
        registry.get(target).send().await.expect(404);
    }
    registry.push("a", "v1", &image).await;
    registry.expect_whole("a", "v1", &image).await;
}
