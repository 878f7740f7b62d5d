//! The power is cut at every step of a push (consistency rule 10).

use wharf_storage::{Cut, Fault};
use wharf_test_support::{Image, Options, Registry, Stopped, image, quick_folder};

/// Pushes until the storage fails. Answers which blobs and whether the manifest were acknowledged.
async fn push(registry: &Registry, image: &Image) -> (Vec<usize>, bool) {
    let mut acknowledged = Vec::new();
    for (number, blob) in image.blobs.iter().enumerate() {
        let post = registry.post(&format!("/v2/a/blobs/uploads/?digest={}", blob.digest));
        if post.body(blob.bytes.clone()).send().await.status == 201 {
            acknowledged.push(number);
        }
    }
    let put = registry.manifest_put("a", "new", &image.manifest).send().await;
    (acknowledged, put.status == 201)
}

/// Every tag that is listed pulls whole.
async fn assert_nothing_is_broken(registry: &Registry, images: &[&Image]) {
    for tag in registry.tags("a").await {
        let digest = registry.tag("a", &tag).await.unwrap();
        let image = images.iter().find(|image| image.digest() == digest).unwrap();
        registry.expect_whole("a", &tag, image).await;
    }
}

async fn after_a_cut(registry: &Registry, cut: Cut) -> Stopped {
    let left = quick_folder();
    registry.recorder().materialise(cut, left.path()).unwrap();
    registry.fork(left)
}

#[tokio::test]
async fn what_was_acknowledged_is_whole_after_a_cut_at_every_step() {
    let (old, new) = (image("old"), image("new"));
    for steps in 0.. {
        let registry = Registry::with(Options {
            recorded: true,
            ..Options::default()
        })
        .await;
        registry.push("a", "old", &old).await;
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::PowerOff);
        let (blobs, is_acknowledged) = push(&registry, &new).await;
        let has_failed = registry.recorder().has_failed();
        for cut in [Cut::Strict, Cut::NamesFirst] {
            // the index survived: every acknowledged byte and name is there
            let mut stopped = after_a_cut(&registry, cut).await;
            stopped.options().recorded = false;
            let survivor = stopped.start().await;
            survivor.expect_whole("a", "old", &old).await;
            for number in &blobs {
                let blob = &new.blobs[*number];
                let got = survivor
                    .get(&format!("/v2/a/blobs/{}", blob.digest))
                    .send()
                    .await
                    .expect(200);
                assert!(got.body == blob.bytes, "{steps} {cut:?}");
            }
            if is_acknowledged {
                survivor.expect_whole("a", "new", &new).await;
            }
            assert_nothing_is_broken(&survivor, &[&old, &new]).await;
            // and the push can be finished
            survivor.push("a", "new", &new).await;
            survivor.expect_whole("a", "new", &new).await;

            // the index is lost as well: what was there before the batch is there
            let mut stopped = after_a_cut(&registry, cut).await.without_index();
            stopped.options().recorded = false;
            let rebuilt = stopped.start().await;
            rebuilt.expect_whole("a", "old", &old).await;
            assert_nothing_is_broken(&rebuilt, &[&old, &new]).await;
        }
        if !has_failed {
            assert!(
                is_acknowledged && steps > 10,
                "{steps} steps only: is the disk watched?"
            );
            return;
        }
    }
}

#[tokio::test]
async fn a_deleted_tag_stays_deleted_after_a_cut_at_every_step() {
    let image = image("a");
    for steps in 0.. {
        let registry = Registry::with(Options {
            recorded: true,
            ..Options::default()
        })
        .await;
        registry.push("a", "gone", &image).await;
        registry.push("a", "kept", &image).await;
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::PowerOff);
        registry.delete("/v2/a/manifests/gone").send().await;
        let is_durable = registry.mirror().flush().await.is_ok() && !registry.recorder().has_failed();
        for cut in [Cut::Strict, Cut::NamesFirst] {
            let mut stopped = after_a_cut(&registry, cut).await;
            stopped.options().recorded = false;
            let survivor = stopped.start().await;
            // with the index, the commit is what counts
            assert_eq!(survivor.tags("a").await, ["kept"], "{steps} {cut:?}");
            assert_eq!(survivor.tag_link("a", "gone"), None);
            let mut stopped = after_a_cut(&registry, cut).await.without_index();
            stopped.options().recorded = false;
            let rebuilt = stopped.start().await;
            rebuilt.expect_whole("a", "kept", &image).await;
            if is_durable {
                assert_eq!(rebuilt.tags("a").await, ["kept"], "{steps} {cut:?}");
            }
        }
        if is_durable {
            return;
        }
    }
}

#[tokio::test]
async fn an_acknowledged_chunk_can_be_continued_after_a_cut_or_the_session_says_where_it_stands() {
    let blob = wharf_test_support::Blob::sized("x", 100_000);
    let registry = Registry::with(Options {
        recorded: true,
        ..Options::default()
    })
    .await;
    let location = registry
        .post("/v2/a/blobs/uploads/")
        .send()
        .await
        .expect(202)
        .location();
    registry
        .patch(&location)
        .body(blob.bytes.slice(..60_000))
        .send()
        .await
        .expect(202);
    for cut in [Cut::Strict, Cut::NamesFirst] {
        let mut stopped = after_a_cut(&registry, cut).await;
        stopped.options().recorded = false;
        let survivor = stopped.start().await;
        let status = survivor.get(&location).send().await;
        if status.status == 204 {
            // whatever it says it has, the blob that comes out is right or refused
            let last: usize = status.header("range").trim_start_matches("0-").parse().unwrap();
            let have = if last == 0 { 0 } else { last + 1 };
            survivor.patch(&location).body(blob.bytes.slice(have..)).send().await;
            let put = survivor.put(&format!("{location}?digest={}", blob.digest)).send().await;
            assert!([201, 400, 404].contains(&put.status.as_u16()), "{put:?}");
        }
        let target = format!("/v2/a/blobs/{}", blob.digest);
        let got = survivor.get(&target).send().await;
        assert!(got.status == 404 || got.body == blob.bytes, "{cut:?}");
        survivor.push_blob("a", &blob).await;
        assert!(
            survivor.get(&target).send().await.expect(200).body == blob.bytes,
            "{cut:?}"
        );
    }
}
