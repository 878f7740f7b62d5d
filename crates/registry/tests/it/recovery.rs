//! What a crash leaves is finished at the next start (consistency rules 3, 5 and 6).

use std::time::Duration;

use wharf_metadata::blobs::{self, State};
use wharf_metadata::{Entry, mirror};
use wharf_storage::{Fault, Link};
use wharf_test_support::{Blob, Options, Registry, image};

fn recorded() -> Options {
    Options {
        recorded: true,
        ..Options::default()
    }
}

#[tokio::test]
async fn a_crash_between_commit_and_link_is_made_up_for_at_the_next_start() {
    let (old, new) = (image("old"), image("new"));
    let mut replays = 0;
    for steps in 0.. {
        let registry = Registry::with(recorded()).await;
        registry.push("a", "moved", &old).await;
        registry.push("a", "deleted", &old).await;
        for blob in &new.blobs {
            registry.push_blob("a", blob).await;
        }
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::ReadOnly);
        let moved = registry.manifest_put("a", "moved", &new.manifest).send().await.status;
        let deleted = registry.delete("/v2/a/manifests/deleted").send().await.status;
        let has_failed = registry.recorder().has_failed();
        let registry = registry.kill().start().await;
        replays += registry.replayed();
        let now = registry.tag("a", "moved").await.unwrap();
        assert_eq!(registry.tag_link("a", "moved"), Some(now.to_string()));
        // 503 says that it is committed
        if moved == 201 || moved == 503 {
            assert_eq!(now, new.digest(), "{steps}");
        }
        if deleted == 202 || deleted == 503 {
            assert_eq!(registry.tag("a", "deleted").await, None, "{steps}");
            assert_eq!(registry.tag_link("a", "deleted"), None, "{steps}");
        }
        if !has_failed {
            assert!(replays > 0);
            return;
        }
    }
}

#[tokio::test]
async fn bytes_that_were_being_written_are_kept_when_whole_and_forgotten_otherwise() {
    let registry = Registry::open().await;
    let (whole, absent) = (Blob::sized("whole", 1000), Blob::sized("absent", 1000));
    let short = Blob::sized("short", 1000);
    let now = registry.clock().now().into();
    let rows = [(whole.digest, 1000), (absent.digest, 1000), (short.digest, 2000)];
    let begun = registry.metadata().write(move |tx| {
        let writing = blobs::Writing {
            owner: "a process that died",
            now,
            reserved_until: now,
            ended_before: now,
        };
        blobs::begin_writing(tx, &rows, writing)
    });
    let _begun: Vec<blobs::Begin> = begun.await.unwrap();
    for blob in [&whole, &short] {
        registry
            .storage()
            .blobs()
            .put(&blob.digest, blob.bytes.clone())
            .await
            .unwrap();
    }
    let registry = registry.kill().start().await;
    assert_eq!(registry.replayed(), 3);
    let state = |blob: &Blob| {
        let digest = blob.digest;
        let found = registry
            .metadata()
            .read_blocking(|tx| blobs::find(tx, &digest))
            .unwrap();
        found.map(|found| found.state)
    };
    assert!(matches!(state(&whole), Some(State::Present)));
    assert!(state(&absent).is_none());
    assert!(state(&short).is_none());
    let bytes = registry.storage().blobs();
    assert_eq!(bytes.stat(&short.digest).await.unwrap(), None, "bytes without a row");
    // each of them can be pushed
    for blob in [&whole, &absent, &short] {
        registry.push_blob("a", blob).await;
    }
}

#[tokio::test]
async fn pending_rows_are_gone_once_their_links_are_durable() {
    let registry = Registry::open().await;
    registry.push("a", "v1", &image("a")).await;
    let pending = |registry: &Registry| registry.metadata().read_blocking(mirror::count).unwrap();
    assert!(pending(&registry) > 0);
    registry.mirror().flush().await.unwrap();
    assert_eq!(pending(&registry), 0);
    let registry = registry.kill().start().await;
    assert_eq!(registry.replayed(), 0);
}

#[tokio::test]
async fn a_link_that_was_removed_behind_our_back_before_it_was_durable_is_written_again() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let link = Link::TagCurrent {
        repository: "a".parse().unwrap(),
        tag: "v1".parse().unwrap(),
    };
    registry.storage().links().remove(&link).await.unwrap();
    let registry = registry.kill().start().await;
    registry.expect_whole("a", "v1", &image).await;
    assert_eq!(registry.tag_link("a", "v1"), Some(image.digest().to_string()));
}

#[tokio::test]
async fn pulls_are_counted_and_survive_an_orderly_end() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    for _ in 0..3 {
        registry.get("/v2/a/manifests/v1").send().await.expect(200);
    }
    registry.head("/v2/a/manifests/v1").send().await.expect(200);
    let registry = registry.restart().await;
    let name = "a".parse().unwrap();
    let digest = image.digest();
    let pulls = registry.metadata().read_blocking(|tx| {
        let repository = wharf_metadata::repositories::find(tx, &name)?.unwrap();
        let found = wharf_metadata::manifests::find(tx, repository.id, &digest)?.unwrap();
        let pulled = wharf_metadata::statistics::of_manifest(tx, found.id)?;
        Ok::<_, wharf_metadata::Error>(pulled.count)
    });
    assert_eq!(pulls.unwrap(), 3);
}

#[tokio::test]
async fn a_link_that_waits_for_a_repository_that_is_gone_does_not_hold_up_the_start() {
    let registry = Registry::open().await;
    registry.push("a", "v1", &image("a")).await;
    let raised = registry
        .metadata()
        .write(|tx| mirror::raise(tx, 4711, &Entry::Tag("v1".parse().unwrap())));
    raised.await.unwrap();
    let started = tokio::time::timeout(Duration::from_secs(20), registry.kill().start()).await;
    let registry = started.expect("a start that ends");
    assert_eq!(registry.metadata().read(mirror::count).await.unwrap(), 0);
    assert!(registry.tag("a", "v1").await.is_some());
}
