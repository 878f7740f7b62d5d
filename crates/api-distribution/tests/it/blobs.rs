//! `/v2/<name>/blobs/<digest>`

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use wharf_api_distribution::Redirects;
use wharf_registry::Error;
use wharf_test_support::{Answer, Blob, Options, Registry};

/// Sends everybody to a mirror of the storage, or nobody.
#[derive(Debug)]
struct Mirror(bool);

impl Redirects for Mirror {
    fn url<'a>(
        &'a self,
        blob: &'a wharf_registry::pull::Blob,
    ) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + 'a>> {
        let url = blob.place().filter(|_| self.0);
        Box::pin(async move { Ok(url.map(|place| format!("https://mirror/{place}?signature"))) })
    }
}

async fn sending(sends: bool) -> Registry {
    Registry::with(Options {
        redirects: Some(Arc::new(Mirror(sends))),
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn clients_are_sent_to_the_storage_for_what_is_not_in_memory() {
    let registry = sending(true).await;
    let [small, large] = sizes();
    for blob in [&small, &large] {
        registry.push_blob("a/b", blob).await;
    }
    let target = format!("/v2/a/b/blobs/{}", large.digest);
    for range in ["", "bytes=0-9"] {
        let sent = registry.get(&target).header("range", range).send().await.expect(307);
        let hex = large.digest.to_string().replace("sha256:", "");
        let place = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        assert_eq!(sent.header("location"), format!("https://mirror/{place}?signature"));
        assert_eq!(sent.header("cache-control"), "no-store");
        assert_eq!(sent.header("docker-content-digest"), large.digest.to_string());
        assert!(sent.body.is_empty());
    }
    let head = registry.head(&target).send().await.expect(200);
    assert_describes(&head, &large);
    let known = format!("\"{}\"", large.digest);
    registry
        .get(&target)
        .header("if-none-match", &known)
        .send()
        .await
        .expect(304);
    let got = registry
        .get(&format!("/v2/a/b/blobs/{}", small.digest))
        .send()
        .await
        .expect(200);
    assert!(got.body == small.bytes);
    // who may not read it is sent nowhere
    registry
        .get(&format!("/v2/c/d/blobs/{}", large.digest))
        .send()
        .await
        .expect(404);
}

#[tokio::test]
async fn where_there_is_no_url_the_bytes_are_sent_from_here() {
    let registry = sending(false).await;
    let [_, large] = sizes();
    registry.push_blob("a/b", &large).await;
    let got = registry
        .get(&format!("/v2/a/b/blobs/{}", large.digest))
        .send()
        .await
        .expect(200);
    assert!(got.body == large.bytes);
}

async fn with_blob(blob: &Blob) -> (Registry, String) {
    let registry = Registry::open().await;
    registry.push_blob("a/b", blob).await;
    (registry, format!("/v2/a/b/blobs/{}", blob.digest))
}

/// A small one lives in memory once it was read, a large one does not.
fn sizes() -> [Blob; 2] {
    [Blob::sized("small", 1000), Blob::sized("large", 200_000)]
}

fn assert_describes(answer: &Answer, blob: &Blob) {
    assert_eq!(answer.header("content-length"), blob.bytes.len().to_string());
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("etag"), format!("\"{}\"", blob.digest));
    assert_eq!(answer.header("docker-content-digest"), blob.digest.to_string());
    assert!(answer.header("content-encoding").is_empty());
}

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed_and_head_says_the_same() {
    for blob in sizes() {
        let (registry, target) = with_blob(&blob).await;
        for _ in 0..2 {
            let got = registry
                .get(&target)
                .header("accept-encoding", "gzip, zstd")
                .send()
                .await
                .expect(200);
            assert!(got.body == blob.bytes);
            assert_describes(&got, &blob);
            let head = registry.head(&target).send().await.expect(200);
            assert!(head.body.is_empty());
            assert_describes(&head, &blob);
        }
    }
}

#[tokio::test]
async fn a_digest_may_be_percent_encoded() {
    let blob = Blob::sized("x", 10);
    let (registry, target) = with_blob(&blob).await;
    registry.get(&target.replace(':', "%3A")).send().await.expect(200);
}

#[tokio::test]
async fn a_range_is_served_exactly() {
    for blob in sizes() {
        let (registry, target) = with_blob(&blob).await;
        let size = blob.bytes.len();
        let table = [
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            ("bytes=500-", 500..size),
            ("bytes=-100", size - 100..size),
            ("bytes=-999999", 0..size),
            ("bytes=900-999999999", 900..size),
        ];
        for (range, expected) in table {
            let answer = registry.get(&target).header("range", range).send().await.expect(206);
            assert!(answer.body == blob.bytes.slice(expected.clone()), "{range}");
            let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
            assert_eq!(answer.header("content-range"), content_range, "{range}");
            assert_eq!(answer.header("content-length"), expected.len().to_string(), "{range}");
            assert_eq!(answer.header("docker-content-digest"), blob.digest.to_string());
        }
    }
}

#[tokio::test]
async fn a_range_behind_the_end_is_refused_with_the_size() {
    for blob in sizes() {
        let (registry, target) = with_blob(&blob).await;
        let size = blob.bytes.len();
        for range in [
            format!("bytes={size}-"),
            "bytes=99999999-".to_owned(),
            "bytes=-0".to_owned(),
        ] {
            let answer = registry.get(&target).header("range", &range).send().await;
            let answer = answer.expect_error(416, "RANGE_INVALID");
            assert_eq!(answer.header("content-range"), format!("bytes */{size}"), "{range}");
        }
    }
}

#[tokio::test]
async fn ranges_of_other_kinds_are_answered_with_the_whole() {
    let blob = Blob::sized("x", 1000);
    let (registry, target) = with_blob(&blob).await;
    for range in ["items=0-5", "bytes=a-b", "bytes=", "0-5"] {
        let answer = registry.get(&target).header("range", range).send().await.expect(200);
        assert_eq!(answer.body, blob.bytes, "{range}");
    }
}

#[tokio::test]
async fn conditions_are_kept() {
    let blob = Blob::sized("x", 100);
    let (registry, target) = with_blob(&blob).await;
    let tag = format!("\"{}\"", blob.digest);
    for header in [tag.as_str(), "*", &format!("\"other\", W/{tag}")] {
        let answer = registry
            .get(&target)
            .header("if-none-match", header)
            .send()
            .await
            .expect(304);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), tag);
    }
    registry
        .get(&target)
        .header("if-none-match", "\"x\"")
        .send()
        .await
        .expect(200);
    registry.get(&target).header("if-match", &tag).send().await.expect(200);
    registry
        .get(&target)
        .header("if-match", "\"x\"")
        .send()
        .await
        .expect(412);
    let resumed = registry
        .get(&target)
        .header("range", "bytes=5-")
        .header("if-range", &tag);
    resumed.send().await.expect(206);
    let changed = registry
        .get(&target)
        .header("range", "bytes=5-")
        .header("if-range", "\"x\"");
    assert_eq!(changed.send().await.expect(200).body, blob.bytes);
}

#[tokio::test]
async fn the_empty_blob_and_the_empty_object_are_blobs_like_others() {
    for bytes in ["", "{}"] {
        let blob = Blob::new(Bytes::from_static(bytes.as_bytes()));
        let (registry, target) = with_blob(&blob).await;
        let answer = registry.get(&target).send().await.expect(200);
        assert_eq!(answer.body, blob.bytes);
        assert_describes(&answer, &blob);
        assert_describes(&registry.head(&target).send().await.expect(200), &blob);
    }
}

#[tokio::test]
async fn a_blob_that_only_another_repository_has_is_unknown_here() {
    let blob = Blob::sized("x", 100);
    let (registry, _) = with_blob(&blob).await;
    registry.push_blob("c", &Blob::new("other")).await;
    for name in ["c", "nowhere"] {
        let target = format!("/v2/{name}/blobs/{}", blob.digest);
        let answer = registry.get(&target).send().await.expect_error(404, "BLOB_UNKNOWN");
        assert_eq!(answer.json()["errors"][0]["detail"]["digest"], blob.digest.to_string());
        registry.head(&target).send().await.expect(404);
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_here_and_stays_elsewhere() {
    let blob = Blob::sized("x", 100);
    let (registry, target) = with_blob(&blob).await;
    registry.push_blob("c", &blob).await;
    registry.get(&target).send().await.expect(200);
    let deleted = registry.delete(&target).send().await.expect(202);
    assert!(deleted.body.is_empty());
    registry.delete(&target).send().await.expect_error(404, "BLOB_UNKNOWN");
    registry.get(&target).send().await.expect_error(404, "BLOB_UNKNOWN");
    registry
        .get(&format!("/v2/c/blobs/{}", blob.digest))
        .send()
        .await
        .expect(200);
    // and it can come back
    registry.push_blob("a/b", &blob).await;
    registry.get(&target).send().await.expect(200);
}

#[tokio::test]
async fn deleting_is_refused_where_it_is_switched_off() {
    let blob = Blob::sized("x", 100);
    let stopped = with_blob(&blob).await.0.stop().await;
    let target = format!("/v2/a/b/blobs/{}", blob.digest);
    for (delete, read_only, word) in [(false, false, "storage.delete.enabled"), (true, true, "read-only")] {
        let mut stopped = wharf_test_support::Stopped::new(Options::default());
        stopped.options().delete = delete;
        let registry = stopped.start().await;
        registry.push_blob("a/b", &blob).await;
        let mut stopped = registry.stop().await;
        stopped.options().read_only = read_only;
        let registry = stopped.start().await;
        let answer = registry.delete(&target).send().await.expect_error(405, "UNSUPPORTED");
        assert!(answer.message().contains(word), "{answer:?}");
        registry.get(&target).send().await.expect(200);
    }
    drop(stopped);
}

#[tokio::test]
async fn bytes_that_somebody_removed_from_the_folder_can_be_pushed_again() {
    for blob in sizes() {
        let (registry, target) = with_blob(&blob).await;
        let stopped = registry.stop().await;
        // as the garbage collector of registry:2 leaves it: the link stays, the bytes go
        let hex = blob.digest.to_string().replace("sha256:", "");
        let folder = format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        std::fs::remove_dir_all(stopped.root().join(folder)).unwrap();
        let registry = stopped.start().await;
        // anything but 404 makes clients give up instead of pushing
        registry.head(&target).send().await.expect(404);
        registry.get(&target).send().await.expect_error(404, "BLOB_UNKNOWN");
        registry.push_blob("a/b", &blob).await;
        let got = registry.get(&target).send().await.expect(200);
        assert!(got.body == blob.bytes);
    }
}
