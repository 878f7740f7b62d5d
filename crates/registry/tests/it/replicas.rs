//! Several processes on one database and one storage: whatever one acknowledged, the others serve at
//! once.

#![expect(clippy::disallowed_methods, reason = "tests are their own root")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wharf_metadata::{Entry, mirror};
use wharf_test_support::databases::{Kind, is_wanted};
use wharf_test_support::{Blob, Image, Options, Registry, Stopped, WEEK, image};

/// Two processes on each server that is to be tested on.
async fn pairs(options: Options) -> Vec<(Registry, Registry)> {
    let mut pairs = Vec::new();
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        if is_wanted(kind.name()) {
            let one = Stopped::on_server(kind, options.clone()).start().await;
            let other = one.replica().await;
            pairs.push((one, other));
        }
    }
    pairs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_process_did_the_other_serves_at_once() {
    let options = Options {
        keep: WEEK,
        ..Options::default()
    };
    for (a, b) in pairs(options).await {
        let (one, two) = (image("one"), image("two"));
        // what is not there is not remembered as missing
        assert_eq!(b.tag("team/app", "latest").await, None);
        for round in 0..3 {
            a.push("team/app", "latest", &one).await;
            b.expect_whole("team/app", "latest", &one).await;
            b.push("team/app", "latest", &two).await;
            a.expect_whole("team/app", "latest", &two).await;
            // a tag, a manifest, a blob and a repository that go
            let target = "/v2/team/app/manifests/latest";
            b.delete(target).send().await.expect(202);
            a.get(target).send().await.expect(404);
            a.push_manifest("team/app", "latest", &two.manifest).await;
            b.expect_whole("team/app", "latest", &two).await;
            let target = format!("/v2/team/app/manifests/{}", two.digest());
            a.delete(&target).send().await.expect(202);
            b.get(&target).send().await.expect(404);
            assert_eq!(b.tag("team/app", "latest").await, None);
            let blob = &two.blobs[0];
            let target = format!("/v2/team/app/blobs/{}", blob.digest);
            b.get(&target).send().await.expect(200);
            a.delete(&target).send().await.expect(202);
            b.get(&target).send().await.expect(404);
            b.push_blob("team/app", blob).await;
            a.get(&target).send().await.expect(200);
            assert_eq!(a.tags("team/app").await, b.tags("team/app").await, "round {round}");
        }
        assert_eq!(
            a.metadata().read(mirror::count).await.unwrap(),
            0,
            "nothing is left to be mirrored"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_is_older_than_what_was_acknowledged_before_it_was_asked_for() {
    const IMAGES: u64 = 60;
    for (a, b) in pairs(Options::default()).await {
        // number n is pushed after number n - 1 was acknowledged
        let images: Arc<Vec<Image>> = Arc::new((0..IMAGES).map(|number| image(&number.to_string())).collect());
        for blob in images.iter().flat_map(|image| &image.blobs) {
            a.push_blob("r", blob).await;
        }
        a.push_manifest("r", "latest", &images[0].manifest).await;
        let (acknowledged, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..6)
            .map(|reader| {
                let registry = if reader % 3 == 0 { a.clone() } else { b.clone() };
                let (images, acknowledged, begun) =
                    (Arc::clone(&images), Arc::clone(&acknowledged), Arc::clone(&begun));
                let is_over = Arc::clone(&is_over);
                tokio::spawn(async move {
                    let (mut reads, mut seen) = (0_u64, 0);
                    while !is_over.load(Ordering::SeqCst) {
                        let at_least = acknowledged.load(Ordering::SeqCst);
                        let digest = registry.tag("r", "latest").await.unwrap();
                        let at_most = begun.load(Ordering::SeqCst);
                        let number = images.iter().position(|image| image.digest() == digest).unwrap() as u64;
                        assert!(
                            (at_least..=at_most).contains(&number),
                            "{number} is not in {at_least}..={at_most}"
                        );
                        assert!(number >= seen, "{number} after {seen}");
                        seen = number;
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for (number, image) in images.iter().enumerate().skip(1) {
            begun.store(number as u64, Ordering::SeqCst);
            let registry = if number % 2 == 0 { &a } else { &b };
            registry.push_manifest("r", "latest", &image.manifest).await;
            acknowledged.store(number as u64, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.await.unwrap() > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn chunks_may_go_to_any_process_and_a_wrong_offset_is_told_the_true_one() {
    for (a, b) in pairs(Options::default()).await {
        let blob = Blob::sized("chunks", 300_000);
        let start = a.post("/v2/r/blobs/uploads/").send().await.expect(202);
        let location = start.location();
        let mut offset = 0;
        for (number, chunk) in blob.bytes.chunks(37_000).enumerate() {
            let (registry, other) = if number % 2 == 0 { (&b, &a) } else { (&a, &b) };
            let range = format!("{offset}-{}", offset + chunk.len() - 1);
            let sent = registry.patch(&location).header("content-range", &range);
            let answer = sent.body(chunk.to_vec()).send().await.expect(202);
            offset += chunk.len();
            assert_eq!(answer.header("range"), format!("0-{}", offset - 1));
            // the same chunk again is refused by whoever is asked
            let again = other.patch(&location).header("content-range", &range);
            let answer = again.body(chunk.to_vec()).send().await.expect(416);
            assert_eq!(answer.header("range"), format!("0-{}", offset - 1));
        }
        let status = a.get(&location).send().await.expect(204);
        assert_eq!(status.header("range"), format!("0-{}", blob.bytes.len() - 1));
        let put = b.put(&format!("{location}?digest={}", blob.digest));
        put.send().await.expect(201);
        let got = a.get(&format!("/v2/r/blobs/{}", blob.digest)).send().await.expect(200);
        assert!(got.body == blob.bytes);
        a.get(&location).send().await.expect(404);
        b.get(&location).send().await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upload_that_another_process_has_taken_over_can_neither_record_nor_commit() {
    for (a, b) in pairs(Options::default()).await {
        let blob = Blob::sized("taken over", 100_000);
        let location = a.post("/v2/r/blobs/uploads/").send().await.expect(202).location();
        let (first, second) = blob.bytes.split_at(60_000);
        a.patch(&location).body(first.to_vec()).send().await.expect(202);
        // it has begun at A, and hangs before its last byte
        let put = a.put(&format!("{location}?digest={}", blob.digest));
        let (put, sender) = put.streamed();
        let stalled = tokio::spawn(put.send());
        sender.send(second[..39_999].to_vec());
        tokio::time::sleep(Duration::from_millis(50)).await;
        // the client has given up and goes on at B, from what was acknowledged
        let status = b.get(&location).send().await.expect(204);
        assert_eq!(status.header("range"), "0-59999");
        sender.send(second[39_999..].to_vec());
        drop(sender);
        let late = stalled.await.unwrap();
        assert!(late.status.as_u16() >= 400, "{late:?}");
        let put = b.put(&format!("{location}?digest={}", blob.digest));
        put.body(second.to_vec()).send().await.expect(201);
        let got = a.get(&format!("/v2/r/blobs/{}", blob.digest)).send().await.expect(200);
        assert!(got.body == blob.bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moves_deletes_and_pushes_through_two_processes_leave_the_storage_as_the_index_says() {
    const EACH: usize = 60;
    for (a, b) in pairs(Options::default()).await {
        let images: Arc<Vec<Image>> = Arc::new((0..4).map(|number| image(&number.to_string())).collect());
        for (number, image) in images.iter().enumerate() {
            a.push("r", &format!("keep{number}"), image).await;
        }
        let workers: Vec<_> = (0..6)
            .map(|worker| {
                let (registry, images) = (if worker % 2 == 0 { a.clone() } else { b.clone() }, Arc::clone(&images));
                tokio::spawn(async move {
                    for step in 0..EACH {
                        let number = worker * 7919 + step * 104_729;
                        let tag = format!("t{}", number % 10);
                        if number % 5 == 0 {
                            let gone = registry.delete(&format!("/v2/r/manifests/{tag}")).send().await;
                            assert!([202, 404].contains(&gone.status.as_u16()), "{gone:?}");
                        } else {
                            registry.push_manifest("r", &tag, &images[number % 4].manifest).await;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(a.metadata().read(mirror::count).await.unwrap(), 0);
        for number in 0..10 {
            let tag = format!("t{number}");
            let indexed = a.tag("r", &tag).await;
            assert_eq!(indexed, b.tag("r", &tag).await);
            assert_eq!(a.tag_link("r", &tag), indexed.map(|digest| digest.to_string()), "{tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_process_left_that_died_is_finished_by_another_one_and_written_once_more() {
    for (a, b) in pairs(Options::default()).await {
        let image = image("a");
        a.push("r", "v1", &image).await;
        let link = a.repository("r").join("_manifests/tags/v1/current/link");
        // A has claimed the link and dies before it writes it
        let name = "r".parse().unwrap();
        let id = a
            .metadata()
            .read(move |tx| wharf_metadata::repositories::find(tx, &name))
            .await
            .unwrap()
            .unwrap()
            .id;
        let entry = Entry::Tag("v1".parse().unwrap());
        let (claimed, now) = (entry.clone(), a.clock().now().into());
        let claim = move |tx: &mut wharf_metadata::Tx<'_>| {
            mirror::raise(tx, id, &claimed)?;
            let claim = mirror::Claim {
                holder: "dead",
                now,
                until: now.plus(15_000_000),
                again_at: now,
            };
            mirror::claim(tx, id, std::slice::from_ref(&claimed), claim)
        };
        assert_eq!(a.metadata().write(claim).await.unwrap(), Some(vec![entry]));
        std::fs::write(
            &link,
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        )
        .unwrap();
        assert_eq!(b.mirror().recover_left().await.unwrap(), 0);
        assert_eq!(b.mirror().recover_left().await.unwrap(), 0, "the claim stands");
        b.clock().advance(Duration::from_secs(16));
        assert_eq!(b.mirror().recover_left().await.unwrap(), 0, "seen for the first time");
        assert_eq!(b.mirror().recover_left().await.unwrap(), 1);
        let right = format!("{}", image.digest());
        assert_eq!(a.tag_link("r", "v1"), Some(right.clone()));
        // a request of the dead one arrives late
        std::fs::write(
            &link,
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        )
        .unwrap();
        b.clock().advance(Duration::from_secs(61));
        b.mirror().recover_left().await.unwrap();
        b.mirror().recover_left().await.unwrap();
        assert_eq!(a.tag_link("r", "v1"), Some(right));
        assert_eq!(a.metadata().read(mirror::count).await.unwrap(), 0);
    }
}
