//! Purging uploads that nobody continues.

use std::fs;
use std::time::Duration;

use wharf_test_support::{Registry, image};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn begin(registry: &Registry, bytes: &'static str) -> String {
    let location = registry
        .post("/v2/a/blobs/uploads/")
        .send()
        .await
        .expect(202)
        .location();
    registry.patch(&location).body(bytes).send().await.expect(202);
    location
}

fn folders(registry: &Registry) -> usize {
    fs::read_dir(registry.repository("a").join("_uploads")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn old_uploads_go_and_young_ones_stay() {
    let registry = Registry::open().await;
    let old = begin(&registry, "0123456789").await;
    registry.clock().advance(WEEK);
    let young = begin(&registry, "01234").await;
    registry.clock().advance(DAY);
    let counted = registry.purge().run(WEEK, true).await.unwrap();
    assert_eq!((counted.uploads, counted.bytes), (1, 10));
    assert_eq!(folders(&registry), 2);
    let purged = registry.purge().run(WEEK, false).await.unwrap();
    assert_eq!(purged, counted);
    assert_eq!(folders(&registry), 1);
    registry
        .patch(&old)
        .body("more")
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(folders(&registry), 1);
    registry.patch(&young).body("more").send().await.expect(202);
    assert_eq!(registry.purge().run(WEEK, false).await.unwrap().uploads, 0);
}

#[tokio::test]
async fn an_upload_that_moves_is_not_old() {
    let registry = Registry::open().await;
    let upload = begin(&registry, "x").await;
    for _ in 0..10 {
        registry.clock().advance(DAY);
        registry.patch(&upload).body("x").send().await.expect(202);
        assert_eq!(registry.purge().run(WEEK, false).await.unwrap().uploads, 0);
    }
    registry.get(&upload).send().await.expect(204);
}

#[tokio::test]
async fn sessions_that_another_registry_left_are_purged_too() {
    let registry = Registry::open().await;
    registry.push("a", "v1", &image("a")).await;
    let folder = registry
        .repository("a")
        .join("_uploads/0a1b2c3d-0000-4000-8000-000000000001");
    fs::create_dir_all(folder.join("hashstates/sha256")).unwrap();
    fs::write(folder.join("data"), "left behind").unwrap();
    fs::write(folder.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
    fs::write(folder.join("hashstates/sha256/0"), "x").unwrap();
    let purged = registry.purge().run(WEEK, false).await.unwrap();
    assert_eq!((purged.uploads, purged.bytes), (1, 11));
    assert!(!folder.exists());
    registry.expect_whole("a", "v1", &image("a")).await;
}
