//! `/v2/<name>/blobs/uploads/` and the sessions under it.

use bytes::Bytes;
use wharf_test_support::{Answer, Blob, Options, Registry, until};

use crate::support::{begin, finish, with_accounts};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn assert_progress(answer: &Answer, range: &str) {
    assert_eq!(answer.header("range"), range, "{answer:?}");
    let id = answer.header("docker-upload-uuid");
    assert_eq!(id.len(), 36, "{answer:?}");
    assert!(answer.location().contains(id), "{answer:?}");
    assert!(answer.body.is_empty());
}

async fn expect_blob(registry: &Registry, name: &str, blob: &Blob) {
    let target = format!("/v2/{name}/blobs/{}", blob.digest);
    let head = registry.head(&target).send().await.expect(200);
    assert_eq!(head.header("content-length"), blob.bytes.len().to_string());
    assert!(registry.get(&target).send().await.expect(200).body == blob.bytes);
}

#[tokio::test]
async fn a_session_begins_with_everything_that_clients_need() {
    let registry = Registry::open().await;
    for target in ["/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads"] {
        let post = registry
            .post(target)
            .header("content-type", "application/json")
            .body("");
        let answer = post.send().await.expect(202);
        assert_progress(&answer, "0-0");
        assert_eq!(answer.header("content-length"), "0");
        assert!(
            answer
                .header("location")
                .starts_with("https://registry.test/v2/a/b/blobs/uploads/")
        );
    }
}

#[tokio::test]
async fn a_blob_arrives_by_post_and_put_and_is_there_at_once() {
    let registry = Registry::open().await;
    for length in [1, 4096, 300_000] {
        let blob = Blob::sized("x", length);
        let location = begin(&registry, "a/b").await;
        let put = registry
            .put(&finish(&location, &blob.digest))
            .header("content-type", "application/octet-stream");
        let answer = put
            .body(blob.bytes.clone())
            .send()
            .await
            .expect(201)
            .expect_digest(&blob.digest);
        assert_eq!(answer.location(), format!("/v2/a/b/blobs/{}", blob.digest));
        assert_eq!(answer.header("content-length"), "0");
        expect_blob(&registry, "a/b", &blob).await;
        // the session has ended
        registry
            .get(&location)
            .send()
            .await
            .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn a_form_content_type_does_not_eat_the_body() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 500);
    let location = begin(&registry, "a").await;
    let put = registry
        .put(&finish(&location, &blob.digest))
        .header("content-type", "application/x-www-form-urlencoded");
    put.body(blob.bytes.clone()).send().await.expect(201);
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn a_blob_arrives_with_a_single_post() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 5000);
    let post = registry.post(&format!("/v2/a/blobs/uploads/?digest={}", blob.digest));
    let answer = post
        .body(blob.bytes.clone())
        .send()
        .await
        .expect(201)
        .expect_digest(&blob.digest);
    assert_eq!(answer.location(), format!("/v2/a/blobs/{}", blob.digest));
    expect_blob(&registry, "a", &blob).await;
    let post = registry.post(&format!("/v2/a/blobs/uploads/?digest={EMPTY}")).body("");
    post.send().await.expect(201);
    let wrong = registry
        .post(&format!("/v2/a/blobs/uploads/?digest={}", blob.digest))
        .body("other");
    wrong.send().await.expect_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_post_that_names_the_digest_but_sends_nothing_gets_a_session() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 50);
    let post = registry
        .post(&format!("/v2/a/blobs/uploads/?digest={}", blob.digest))
        .body("");
    let answer = post.send().await.expect(202);
    let put = registry
        .put(&finish(&answer.location(), &blob.digest))
        .body(blob.bytes.clone());
    put.send().await.expect(201);
}

#[tokio::test]
async fn a_stream_without_length_and_range_arrives() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 250_000);
    let location = begin(&registry, "a").await;
    let pieces = blob
        .bytes
        .chunks(33_333)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let answer = registry.patch(&location).pieces(pieces).send().await.expect(202);
    assert_progress(&answer, "0-249999");
    assert_eq!(answer.header("content-length"), "0");
    let put = registry
        .put(&finish(&answer.location(), &blob.digest))
        .body("")
        .send()
        .await;
    put.expect(201).expect_digest(&blob.digest);
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn chunks_arrive_with_either_spelling_of_their_range_and_the_last_one_with_the_put() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 3000);
    for spell in [
        |a, b| format!("{a}-{b}"),
        |a, b| format!("bytes {a}-{b}/*"),
        |a, b| format!("bytes {a}-{b}/3000"),
    ] {
        let mut location = begin(&registry, "a").await;
        for start in [0usize, 1000] {
            let patch = registry
                .patch(&location)
                .header("content-range", spell(start, start + 999));
            let answer = patch
                .body(blob.bytes.slice(start..start + 1000))
                .send()
                .await
                .expect(202);
            assert_progress(&answer, &format!("0-{}", start + 999));
            location = answer.location();
            let status = registry.get(&location).send().await.expect(204);
            assert_progress(&status, &format!("0-{}", start + 999));
        }
        let put = registry
            .put(&finish(&location, &blob.digest))
            .header("content-range", spell(2000, 2999));
        put.body(blob.bytes.slice(2000..)).send().await.expect(201);
        expect_blob(&registry, "a", &blob).await;
        registry
            .delete(&format!("/v2/a/blobs/{}", blob.digest))
            .send()
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn chunks_without_range_are_appended() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 2000);
    let location = begin(&registry, "a").await;
    for part in [0..700, 700..1300, 1300..2000] {
        registry
            .patch(&location)
            .body(blob.bytes.slice(part))
            .send()
            .await
            .expect(202);
    }
    registry.put(&finish(&location, &blob.digest)).send().await.expect(201);
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn a_chunk_out_of_order_is_told_where_to_go_on() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 300);
    let location = begin(&registry, "a").await;
    registry
        .patch(&location)
        .header("content-range", "0-99")
        .body(blob.bytes.slice(..100))
        .send()
        .await
        .expect(202);
    for range in ["0-99", "50-149", "200-299"] {
        let patch = registry
            .patch(&location)
            .header("content-range", range)
            .body(blob.bytes.slice(..100));
        let answer = patch.send().await.expect_error(416, "RANGE_INVALID");
        assert_eq!(answer.header("range"), "0-99", "{range}");
        assert!(!answer.location().is_empty());
        let put = registry
            .put(&finish(&location, &blob.digest))
            .header("content-range", range);
        let answer = put
            .body(blob.bytes.slice(..100))
            .send()
            .await
            .expect_error(416, "RANGE_INVALID");
        assert_eq!(answer.header("range"), "0-99", "{range}");
    }
    for range in ["x", "99-0", "bytes", "-5"] {
        let patch = registry.patch(&location).header("content-range", range).body("x");
        patch.send().await.expect_error(416, "RANGE_INVALID");
    }
    registry
        .patch(&location)
        .header("content-range", "100-299")
        .body(blob.bytes.slice(100..))
        .send()
        .await
        .expect(202);
    registry.put(&finish(&location, &blob.digest)).send().await.expect(201);
}

#[tokio::test]
async fn a_chunk_shorter_than_its_range_is_refused() {
    let registry = Registry::open().await;
    let location = begin(&registry, "a").await;
    let patch = registry.patch(&location).header("content-range", "0-99").body("short");
    patch.send().await.expect_error(400, "SIZE_INVALID");
}

#[tokio::test]
async fn an_upload_goes_on_after_its_connection_broke() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 200_000);
    let location = begin(&registry, "a").await;
    let (patch, sender) = registry.patch(&location).streamed();
    sender.send(blob.bytes.slice(..120_000));
    sender.cut();
    patch.send().await.expect_error(400, "BLOB_UPLOAD_INVALID");
    let status = registry.get(&location).send().await.expect(204);
    assert_progress(&status, "0-119999");
    let patch = registry
        .patch(&status.location())
        .header("content-range", "120000-199999");
    let answer = patch.body(blob.bytes.slice(120_000..)).send().await.expect(202);
    registry
        .put(&finish(&answer.location(), &blob.digest))
        .send()
        .await
        .expect(201);
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn who_asks_for_the_status_takes_the_upload_over_from_a_connection_that_hangs() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 3_000_000);
    let location = begin(&registry, "a").await;
    let (patch, sender) = registry.patch(&location).streamed();
    for piece in blob.bytes[..2_000_000].chunks(100_000) {
        sender.send(Bytes::copy_from_slice(piece));
    }
    let going_on = async {
        until("the first bytes arrive", async || sent(&registry) > 0).await;
        let status = registry.get(&location).send().await.expect(204);
        let last: usize = status.header("range").trim_start_matches("0-").parse().unwrap();
        assert!(last < 2_000_000);
        let range = format!("{}-2999999", last + 1);
        let rest = registry.patch(&location).header("content-range", range);
        rest.body(blob.bytes.slice(last + 1..)).send().await.expect(202);
        // what the old connection still brings counts no more
        sender.send(blob.bytes.slice(2_000_000..));
        registry.put(&finish(&location, &blob.digest)).send().await.expect(201);
    };
    let (old, ()) = tokio::join!(patch.send(), going_on);
    old.expect_error(400, "BLOB_UPLOAD_INVALID");
    expect_blob(&registry, "a", &blob).await;
}

/// Bytes in the files of all uploads.
fn sent(registry: &Registry) -> u64 {
    let uploads = registry.repository("a").join("_uploads");
    let folders = std::fs::read_dir(uploads).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| std::fs::metadata(folder.path().join("data")).ok())
        .map(|data| data.len())
        .sum()
}

#[tokio::test]
async fn a_cancelled_upload_is_gone_with_its_bytes() {
    let registry = Registry::open().await;
    let empty = begin(&registry, "a").await;
    let answer = registry.delete(&empty).send().await.expect(204);
    assert!(answer.body.is_empty());
    registry
        .delete(&empty)
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    let begun = begin(&registry, "a").await;
    registry.patch(&begun).body("some bytes").send().await.expect(202);
    assert_eq!(sent(&registry), 10);
    registry.delete(&begun).send().await.expect(204);
    assert_eq!(sent(&registry), 0);
    let digest = Blob::new("some bytes").digest;
    for (method, target) in [
        ("GET", begun.clone()),
        ("PATCH", begun.clone()),
        ("PUT", finish(&begun, &digest)),
    ] {
        let request = registry.request(method.parse().unwrap(), &target).body("");
        request.send().await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    // and a cancelled session does not come back with a restart
    let registry = registry.restart().await;
    registry
        .get(&begun)
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_wrong_digest_ends_the_session_and_leaves_nothing() {
    let registry = Registry::open().await;
    let blob = Blob::sized("right", 500);
    let location = begin(&registry, "a").await;
    registry.patch(&location).body("wrong").send().await.expect(202);
    let answer = registry
        .put(&finish(&location, &blob.digest))
        .body(" bytes")
        .send()
        .await;
    let answer = answer.expect_error(400, "DIGEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["digest"], blob.digest.to_string());
    assert!(
        answer.message().contains(&Blob::new("wrong bytes").digest.to_string()),
        "{answer:?}"
    );
    registry
        .get(&location)
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry
        .head(&format!("/v2/a/blobs/{}", blob.digest))
        .send()
        .await
        .expect(404);
    registry
        .head(&format!("/v2/a/blobs/{}", Blob::new("wrong bytes").digest))
        .send()
        .await
        .expect(404);
    assert_eq!(sent(&registry), 0);
}

#[tokio::test]
async fn a_put_without_a_digest_or_with_a_broken_one_keeps_the_session() {
    let registry = Registry::open().await;
    let blob = Blob::new("bytes");
    let location = begin(&registry, "a").await;
    registry
        .put(&location)
        .body("bytes")
        .send()
        .await
        .expect_error(400, "DIGEST_INVALID");
    registry
        .put(&format!("{location}?digest=sha256:zz"))
        .body("bytes")
        .send()
        .await
        .expect_error(400, "DIGEST_INVALID");
    registry
        .put(&finish(&location, &blob.digest))
        .body("bytes")
        .send()
        .await
        .expect(201);
}

#[tokio::test]
async fn sessions_are_unknown_under_other_names_and_ids() {
    let registry = Registry::open().await;
    let location = begin(&registry, "a").await;
    registry.push_blob("b", &Blob::new("x")).await;
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    registry
        .get(&elsewhere)
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry
        .patch(&elsewhere)
        .body("x")
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    for id in ["x", "%2e%2e", "00000000-0000-0000-0000-000000000000", "..%2f..%2fetc"] {
        let answer = registry.get(&format!("/v2/a/blobs/uploads/{id}")).send().await;
        assert!(answer.status == 404 || answer.status == 400, "{id} {answer:?}");
    }
    registry.get(&location).send().await.expect(204);
}

#[tokio::test]
async fn a_blob_with_a_sha512_name_is_answered_under_that_name() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 10_000);
    let sha512 = blob.sha512();
    let starts = [
        "/v2/a/blobs/uploads/?digest-algorithm=sha512".to_owned(),
        // only the PUT says so: hashed once more then
        "/v2/a/blobs/uploads/".to_owned(),
    ];
    for (number, start) in starts.iter().enumerate() {
        let name = format!("a{number}");
        let start = start.replace("/v2/a/", &format!("/v2/{name}/"));
        let location = registry.post(&start).send().await.expect(202).location();
        registry
            .patch(&location)
            .body(blob.bytes.slice(..4000))
            .send()
            .await
            .expect(202);
        let put = registry
            .put(&format!("{location}?digest={sha512}"))
            .body(blob.bytes.slice(4000..));
        let answer = put.send().await.expect(201).expect_digest(&sha512);
        assert_eq!(answer.location(), format!("/v2/{name}/blobs/{sha512}"));
        for digest in [&sha512, &blob.digest] {
            let answer = registry
                .get(&format!("/v2/{name}/blobs/{digest}"))
                .send()
                .await
                .expect(200);
            assert!(answer.body == blob.bytes);
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        }
    }
    let post = registry
        .post(&format!("/v2/b/blobs/uploads/?digest={sha512}"))
        .body(blob.bytes.clone());
    post.send().await.expect(201).expect_digest(&sha512);
    let wrong = Blob::new("other").sha512();
    let post = registry
        .post(&format!("/v2/b/blobs/uploads/?digest={wrong}"))
        .body(blob.bytes.clone());
    post.send().await.expect_error(400, "DIGEST_INVALID");
    let unknown = registry.post("/v2/b/blobs/uploads/?digest-algorithm=md5").send().await;
    unknown.expect_error(400, "DIGEST_INVALID");
    // a restart and the loss of the index keep both names
    let registry = registry.stop().await.without_index().start().await;
    for digest in [&sha512, &blob.digest] {
        registry.get(&format!("/v2/a0/blobs/{digest}")).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_blob_is_mounted_with_and_without_the_name_of_its_source() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 1000);
    registry.push_blob("source", &blob).await;
    for (target, from) in [
        ("named", "&from=source"),
        ("unnamed", ""),
        ("by/alias", "&from=library/source"),
    ] {
        let post = registry
            .post(&format!("/v2/{target}/blobs/uploads/?mount={}{from}", blob.digest))
            .body("");
        let answer = post.send().await.expect(201).expect_digest(&blob.digest);
        assert_eq!(answer.location(), format!("/v2/{target}/blobs/{}", blob.digest));
        assert_eq!(answer.header("content-length"), "0");
        expect_blob(&registry, target, &blob).await;
    }
    // what is not there, or not where the client says, becomes an upload
    let unknown = Blob::new("unknown").digest;
    for query in [
        format!("mount={unknown}&from=source"),
        format!("mount={unknown}"),
        format!("mount={}&from=nowhere", blob.digest),
        format!("mount={}&from=NOT%20A%20NAME", blob.digest),
    ] {
        let answer = registry
            .post(&format!("/v2/c/blobs/uploads/?{query}"))
            .body("")
            .send()
            .await;
        match query.contains("NOT") {
            // a name that is none was not meant
            true => assert!(answer.status == 202 || answer.status == 201, "{answer:?}"),
            false => assert_progress(&answer.expect(202), "0-0"),
        }
    }
    registry
        .post("/v2/c/blobs/uploads/?mount=sha256:zz")
        .send()
        .await
        .expect_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_mount_from_a_repository_that_one_may_not_read_looks_like_one_that_is_not_there() {
    let registry = with_accounts().await;
    let blob = Blob::sized("x", 1000);
    registry.push_blob("secret/app", &blob).await;
    let missing = Blob::sized("never pushed", 10).digest;
    let mut answers = Vec::new();
    for (digest, from) in [
        (blob.digest, "&from=secret/app"),
        (missing, "&from=secret/app"),
        (blob.digest, ""),
    ] {
        let post = registry.post(&format!("/v2/alice/app/blobs/uploads/?mount={digest}{from}"));
        let answer = post
            .basic("alice", Registry::ALICE_PASSWORD)
            .body("")
            .send()
            .await
            .expect(202);
        let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        answers.push((headers, answer.body.clone()));
        let cancel = registry
            .delete(&answer.location())
            .basic("alice", Registry::ALICE_PASSWORD);
        cancel.send().await.expect(204);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    registry.publish("secret").await;
    // the answer of before is not remembered
    let registry = registry.restart().await;
    let post = registry.post(&format!(
        "/v2/alice/app/blobs/uploads/?mount={}&from=secret/app",
        blob.digest
    ));
    post.basic("alice", Registry::ALICE_PASSWORD)
        .body("")
        .send()
        .await
        .expect(201);
}

#[tokio::test]
async fn the_same_blob_arrives_from_many_clients_at_once() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 60_000);
    let pushes = (0..12).map(|number| {
        let (registry, blob) = (registry.clone(), blob.clone());
        async move { registry.push_blob(&format!("r{}", number % 3), &blob).await }
    });
    futures_util::future::join_all(pushes).await;
    for name in ["r0", "r1", "r2"] {
        expect_blob(&registry, name, &blob).await;
    }
}

#[tokio::test]
async fn two_puts_of_one_session_end_with_one_blob() {
    let registry = Registry::open().await;
    let blob = Blob::sized("x", 5000);
    let location = begin(&registry, "a").await;
    registry
        .patch(&location)
        .body(blob.bytes.clone())
        .send()
        .await
        .expect(202);
    let put = || registry.put(&finish(&location, &blob.digest)).body("").send();
    let (first, second) = tokio::join!(put(), put());
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert!(statuses[0] == 201, "{first:?} {second:?}");
    assert!([201, 400, 404].contains(&statuses[1]), "{first:?} {second:?}");
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_and_after_a_crash() {
    let mut registry = Registry::open().await;
    let blob = Blob::sized("x", 90_000);
    let location = begin(&registry, "a").await;
    for (number, part) in [0..30_000, 30_000..60_000, 60_000..90_000].into_iter().enumerate() {
        registry
            .patch(&location)
            .body(blob.bytes.slice(part.clone()))
            .send()
            .await
            .expect(202);
        let stopped = if number == 1 {
            registry.kill()
        } else {
            registry.stop().await
        };
        registry = stopped.start().await;
        let status = registry.get(&location).send().await.expect(204);
        assert_progress(&status, &format!("0-{}", part.end - 1));
    }
    registry.put(&finish(&location, &blob.digest)).send().await.expect(201);
    expect_blob(&registry, "a", &blob).await;
}

#[tokio::test]
async fn a_session_of_a_lost_index_or_of_another_registry_is_unknown() {
    let registry = Registry::open().await;
    let location = begin(&registry, "a").await;
    registry.patch(&location).body("bytes").send().await.expect(202);
    let registry = registry.stop().await.without_index().start().await;
    registry
        .patch(&location)
        .body("more")
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    registry
        .get(&location)
        .send()
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_read_only_registry_takes_nothing_and_says_why() {
    let registry = Registry::with(Options {
        read_only: true,
        ..Options::default()
    })
    .await;
    let answer = registry
        .post("/v2/a/blobs/uploads/")
        .send()
        .await
        .expect_error(405, "UNSUPPORTED");
    assert!(answer.message().contains("read-only"), "{answer:?}");
    let put = registry.put("/v2/a/manifests/v1").body("{}");
    put.send().await.expect_error(405, "UNSUPPORTED");
}
