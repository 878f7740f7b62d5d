//! Index and links stay equal, whatever happens at once (consistency rule 3).

use futures_util::future::join_all;
use wharf_storage::Fault;
use wharf_test_support::{Image, Options, Registry, image, index};

fn recorded() -> Options {
    Options {
        recorded: true,
        ..Options::default()
    }
}

async fn assert_equal(registry: &Registry, name: &str, tag: &str) {
    let digest = registry.tag(name, tag).await.map(|digest| digest.to_string());
    assert_eq!(registry.tag_link(name, tag), digest, "{name}:{tag}");
}

async fn with_images(registry: &Registry, count: usize) -> Vec<Image> {
    let images: Vec<Image> = (0..count).map(|number| image(&number.to_string())).collect();
    for image in &images {
        registry.push("a", &image.digest().to_string(), image).await;
    }
    images
}

#[expect(clippy::disallowed_methods, reason = "tests are their own root")]
async fn at_once(tasks: Vec<impl Future<Output = ()> + Send + 'static>) {
    for ended in join_all(tasks.into_iter().map(tokio::spawn)).await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_moved_by_many_at_once_ends_equal_in_index_and_storage() {
    let registry = Registry::open().await;
    let images = with_images(&registry, 4).await;
    for _ in 0..60 {
        let moves = images.iter().map(|image| {
            let (registry, manifest) = (registry.clone(), image.manifest.clone());
            async move { registry.push_manifest("a", "latest", &manifest).await }
        });
        at_once(moves.collect()).await;
        assert_equal(&registry, "a", "latest").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_beside_a_push_of_the_same_tag_ends_equal_in_index_and_storage() {
    let registry = Registry::open().await;
    let images = with_images(&registry, 2).await;
    for round in 0..60 {
        registry.push_manifest("a", "latest", &images[0].manifest).await;
        let tasks = (0..3).map(|number| {
            let (registry, manifest) = (registry.clone(), images[1].manifest.clone());
            async move {
                if number == round % 3 {
                    registry.push_manifest("a", "latest", &manifest).await;
                } else {
                    let deleted = registry.delete("/v2/a/manifests/latest").send().await;
                    assert!([202, 404].contains(&deleted.status.as_u16()), "{deleted:?}");
                }
                if number == 2 {
                    registry.mirror().flush().await.unwrap();
                }
            }
        });
        at_once(tasks.collect()).await;
        assert_equal(&registry, "a", "latest").await;
    }
    let registry = registry.kill().start().await;
    assert_equal(&registry, "a", "latest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_deleted_beside_its_push_is_there_or_not_in_both() {
    let registry = Registry::open().await;
    let image = &with_images(&registry, 1).await[0];
    let list = index(&[&image.manifest]);
    for _ in 0..40 {
        registry.push_manifest("a", "list", &list).await;
        let push = {
            let (registry, list) = (registry.clone(), list.clone());
            async move { registry.push_manifest("a", "list", &list).await }
        };
        let target = format!("/v2/a/manifests/{}", list.digest());
        let delete = {
            let (registry, target) = (registry.clone(), target.clone());
            async move { drop(registry.delete(&target).send().await.expect(202)) }
        };
        let (push, delete): (std::pin::Pin<Box<dyn Future<Output = ()> + Send>>, _) =
            (Box::pin(push), Box::pin(delete));
        at_once(vec![push, delete]).await;
        assert_equal(&registry, "a", "list").await;
        let hex = list.digest().to_string().replace("sha256:", "");
        let link = registry
            .repository("a")
            .join("_manifests/revisions/sha256")
            .join(hex)
            .join("link");
        assert_eq!(link.exists(), registry.get(&target).send().await.status == 200);
    }
}

#[tokio::test]
async fn a_push_that_fails_at_any_step_is_finished_by_pushing_again() {
    let (old, new) = (image("old"), image("new"));
    for steps in 0.. {
        let registry = Registry::with(recorded()).await;
        registry.push("a", "v1", &old).await;
        for blob in &new.blobs {
            registry.push_blob("a", blob).await;
        }
        registry.recorder().fail_after(steps, Fault::ReadOnly);
        let answer = registry.manifest_put("a", "v1", &new.manifest).send().await;
        let has_failed = registry.recorder().has_failed();
        registry.recorder().recover();
        assert_eq!(answer.status == 201, !has_failed, "{steps} {answer:?}");
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        }
        registry.push_manifest("a", "v1", &new.manifest).await;
        assert_equal(&registry, "a", "v1").await;
        registry.expect_whole("a", "v1", &new).await;
        if !has_failed {
            assert!(steps > 3, "{steps} steps only: is the disk watched?");
            return;
        }
    }
}

#[tokio::test]
async fn a_delete_that_failed_after_its_commit_is_finished_by_deleting_again() {
    for by_digest in [false, true] {
        let (mut has_seen_failure, image) = (false, image("a"));
        for steps in 0.. {
            let registry = Registry::with(recorded()).await;
            registry.push("a", "v1", &image).await;
            registry.push("a", "v2", &image).await;
            registry.mirror().flush().await.unwrap();
            let reference = if by_digest {
                image.digest().to_string()
            } else {
                "v1".to_owned()
            };
            let target = format!("/v2/a/manifests/{reference}");
            registry.recorder().fail_after(steps, Fault::ReadOnly);
            let answer = registry.delete(&target).send().await;
            let has_failed = registry.recorder().has_failed();
            registry.recorder().recover();
            if !has_failed {
                answer.expect(202);
                break;
            }
            has_seen_failure = true;
            let answer = answer.expect_error(503, "UNAVAILABLE");
            assert!(!answer.header("retry-after").is_empty());
            // committed all the same: it is not served
            registry.get(&target).send().await.expect(404);
            registry.delete(&target).send().await.expect(202);
            registry.delete(&target).send().await.expect(404);
            assert_eq!(registry.tag_link("a", "v1"), None);
            assert_eq!(registry.tag_link("a", "v2").is_some(), !by_digest);
        }
        assert!(has_seen_failure);
    }
}

#[tokio::test]
async fn a_blob_delete_that_failed_after_its_commit_is_finished_by_deleting_again() {
    let registry = Registry::with(recorded()).await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let target = format!("/v2/a/blobs/{}", image.blobs[1].digest);
    registry.recorder().fail_after(0, Fault::ReadOnly);
    registry.delete(&target).send().await.expect_error(503, "UNAVAILABLE");
    registry.recorder().recover();
    registry.delete(&target).send().await.expect(202);
    registry.delete(&target).send().await.expect_error(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn what_the_storage_refused_is_written_later_without_anybody_asking_again() {
    let registry = Registry::with(recorded()).await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    registry
        .delete("/v2/a/manifests/v1")
        .send()
        .await
        .expect_error(503, "UNAVAILABLE");
    // still refused: nothing gets lost by trying
    drop(registry.mirror().flush().await);
    assert!(registry.tag_link("a", "v1").is_some());
    registry.recorder().recover();
    registry.mirror().flush().await.unwrap();
    assert_eq!(registry.tag_link("a", "v1"), None);
}
