//! What is left after the power was cut, at every step of every operation (consistency rule 10).

use crate::support::{content, id, name, open, quick_folder, sha256, tag};
use bytes::Bytes;
use std::sync::Mutex;
use wharf_oci::Digest;
use wharf_storage::{Cut, ErrorKind, Fault, Link, StateName, Storage, UploadState, Verdict, filesystem};

const STARTED: &str = "2026-01-02T03:04:05Z";

/// Runs `act` with the power cut after 0, 1, 2… steps until it passes whole. After each run `check`
/// sees what `act` returned and what the disk holds, for both ways in which disks behave.
async fn at_every_step<T>(
    prepare: impl AsyncFn(&Storage),
    act: impl AsyncFn(&Storage) -> T,
    check: impl AsyncFn(&Storage, &T, Cut),
) {
    at_every_step_caching(u64::MAX, prepare, act, check).await;
}

/// As above, with uploads going past the page cache after so many bytes.
async fn at_every_step_caching<T>(
    cached: u64,
    prepare: impl AsyncFn(&Storage),
    act: impl AsyncFn(&Storage) -> T,
    check: impl AsyncFn(&Storage, &T, Cut),
) {
    for steps in 0.. {
        let folder = quick_folder();
        let config = filesystem::Config {
            root: folder.path().to_owned(),
        };
        let (storage, recorder) = Storage::recorded(config).unwrap();
        let storage = storage.caching(cached);
        prepare(&storage).await;
        recorder.fail_after(steps, Fault::PowerOff);
        let outcome = act(&storage).await;
        for cut in [Cut::Strict, Cut::NamesFirst] {
            let left = quick_folder();
            recorder.materialise(cut, left.path()).unwrap();
            check(&open(left.path()), &outcome, cut).await;
        }
        if !recorder.has_failed() {
            assert!(steps > 3, "the operation took {steps} steps only: is the disk watched?");
            return;
        }
    }
}

async fn nothing(_: &Storage) {}

async fn verdict(storage: &Storage, digest: &Digest) -> Verdict {
    storage.blobs().verify(digest).await.unwrap()
}

#[tokio::test]
async fn an_acknowledged_blob_is_whole_and_one_that_is_not_is_whole_or_absent() {
    let bytes = content(1000);
    let digest = sha256(&bytes);
    at_every_step(
        nothing,
        async |storage| storage.blobs().put(&digest, bytes.clone()).await.is_ok(),
        async |left, is_acknowledged, cut| {
            let found = verdict(left, &digest).await;
            let is_whole = found == Verdict::Whole { size: 1000 };
            let is_absent = found == Verdict::Missing && !is_acknowledged;
            assert!(is_whole || is_absent, "{found:?} {is_acknowledged} {cut:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_second_blob_does_not_count_on_folders_that_the_first_has_not_made_durable() {
    // Both in one folder of two characters.
    let (mut pair, mut seen) = (None, std::collections::HashMap::new());
    for number in 0..10_000u32 {
        let digest = sha256(&number.to_le_bytes());
        if let Some(other) = seen.insert(digest.bytes()[0], number) {
            pair = Some([other, number].map(|number| Bytes::copy_from_slice(&number.to_le_bytes())));
            break;
        }
    }
    let [first, second] = pair.unwrap();
    at_every_step(
        nothing,
        async |storage| {
            // The first one fails in the middle but leaves its folders behind.
            let one = storage.blobs().put(&sha256(&first), first.clone()).await.is_ok();
            [one, storage.blobs().put(&sha256(&second), second.clone()).await.is_ok()]
        },
        async |left, acknowledged, cut| {
            for (bytes, is_acknowledged) in [&first, &second].into_iter().zip(acknowledged) {
                let found = verdict(left, &sha256(bytes)).await;
                let is_absent = found == Verdict::Missing && !is_acknowledged;
                assert!(is_absent || found == Verdict::Whole { size: 4 }, "{found:?} {cut:?}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_durable_file_does_not_count_on_folders_of_a_lazy_one() {
    at_every_step(
        nothing,
        async |storage| {
            let state = UploadState::new(false);
            let writer = storage.uploads().writer(&name("a/b"), id(1), STARTED, state).await;
            let Ok(mut writer) = writer else { return None };
            writer.write(Bytes::from_static(b"bytes")).await.ok()?;
            let state = writer.finish().await.ok()?;
            storage.uploads().sync(&name("a/b"), id(1)).await.ok()?;
            Some(state)
        },
        async |left, synced, _| {
            let Some(state) = synced else { return };
            let uploads = left.uploads();
            let mut writer = uploads
                .writer(&name("a/b"), id(1), STARTED, state.clone())
                .await
                .unwrap();
            writer.write(Bytes::from_static(b" and more")).await.unwrap();
            let state = writer.finish().await.unwrap();
            let digest = uploads.publish(&name("a/b"), id(1), &state).await.unwrap();
            assert_eq!(digest, sha256(b"bytes and more"));
            assert_eq!(verdict(left, &digest).await, Verdict::Whole { size: 14 });
        },
    )
    .await;
}

#[tokio::test]
async fn a_published_upload_is_whole_and_an_interrupted_publication_never_shows_a_part() {
    let bytes = content(700_000);
    let digest = sha256(&bytes);
    let state = Mutex::new(None);
    for (is_there_already, cached) in [(false, u64::MAX), (true, u64::MAX), (false, 0), (true, 300_000)] {
        at_every_step_caching(
            cached,
            async |storage| {
                let uploads = storage.uploads();
                let empty = UploadState::new(false);
                let mut writer = uploads.writer(&name("a"), id(1), STARTED, empty).await.unwrap();
                writer.write(bytes.clone()).await.unwrap();
                *state.lock().unwrap() = Some(writer.finish().await.unwrap());
                if is_there_already {
                    storage.blobs().put(&digest, bytes.clone()).await.unwrap();
                }
            },
            async |storage| {
                let state = state.lock().unwrap().clone().unwrap();
                storage.uploads().publish(&name("a"), id(1), &state).await.is_ok()
            },
            async |left, is_acknowledged, cut| {
                let found = verdict(left, &digest).await;
                let is_whole = found == Verdict::Whole { size: 700_000 };
                let is_absent = found == Verdict::Missing && !is_acknowledged && !is_there_already;
                assert!(is_whole || is_absent, "{found:?} {is_acknowledged} {cut:?}");
                // Whatever is left of the session can be cleared away.
                left.uploads().delete(&name("a"), id(1)).await.unwrap();
                assert!(!left.uploads().exists(&name("a"), id(1)).await.unwrap());
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_push_past_the_page_cache_is_whole_when_it_is_acknowledged_whenever_the_power_goes() {
    let bytes = content(2_300_001);
    let digest = sha256(&bytes);
    for cached in [0, 1_100_000] {
        at_every_step_caching(
            cached,
            nothing,
            async |storage| {
                let (uploads, mut state) = (storage.uploads(), UploadState::new(false));
                for part in bytes.chunks(1_500_000) {
                    let mut writer = uploads.writer(&name("a"), id(1), STARTED, state).await.ok()?;
                    writer.write(Bytes::copy_from_slice(part)).await.ok()?;
                    state = writer.finish().await.ok()?;
                }
                uploads.publish(&name("a"), id(1), &state).await.ok()
            },
            async |left, acknowledged, cut| {
                let found = verdict(left, &digest).await;
                let is_absent = found == Verdict::Missing && acknowledged.is_none();
                let is_whole = found == Verdict::Whole { size: 2_300_001 };
                assert!(is_whole || is_absent, "{found:?} {acknowledged:?} {cut:?}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_deleted_blob_stays_deleted() {
    let all: Vec<Bytes> = (0..4u8).map(|byte| Bytes::from(vec![byte; 9])).collect();
    let digests: Vec<Digest> = all.iter().map(|bytes| sha256(bytes)).collect();
    at_every_step(
        async |storage| {
            for (digest, bytes) in digests.iter().zip(&all) {
                storage.blobs().put(digest, bytes.clone()).await.unwrap();
            }
        },
        async |storage| storage.blobs().delete_all(digests.clone()).await.is_ok(),
        async |left, is_acknowledged, cut| {
            for digest in &digests {
                let found = verdict(left, digest).await;
                let is_whole = found == Verdict::Whole { size: 9 } && !is_acknowledged;
                assert!(is_whole || found == Verdict::Missing, "{found:?} {cut:?}");
            }
        },
    )
    .await;
}

fn links(count: u8) -> Vec<Link> {
    let link = |number: u8| match number % 3 {
        0 => Link::TagCurrent {
            repository: name("a/b"),
            tag: tag(&format!("v{number}")),
        },
        1 => Link::Revision {
            repository: name("c"),
            digest: sha256(&[number]),
        },
        _ => Link::Layer {
            repository: name(&format!("d{number}")),
            digest: sha256(&[number]),
        },
    };
    (0..count).map(link).collect()
}

/// What a link says afterwards; damage counts only where names may outlive content.
async fn target(left: &Storage, link: &Link, cut: Cut) -> Option<Digest> {
    match left.links().read(link).await {
        Ok(record) => record.map(|record| record.digest),
        Err(error) if error.kind() == ErrorKind::Corrupt && cut == Cut::NamesFirst => None,
        Err(error) => panic!("{link:?}: {error}"),
    }
}

#[tokio::test]
async fn a_link_is_absent_or_whole_and_there_for_certain_after_a_flush() {
    // Few links are synced one by one, many with the whole filesystem.
    for count in [1, 2, 9] {
        at_every_step(
            nothing,
            async |storage| {
                let mut tickets = Vec::new();
                for link in links(count) {
                    let written = storage.links().write(&link, &sha256(b"x")).await;
                    tickets.push(written.ok().map(|written| written.ticket));
                }
                let covered = storage.links().flush().await.ok();
                tickets
                    .into_iter()
                    .map(|ticket| ticket.is_some() && ticket <= covered)
                    .collect()
            },
            async |left, is_durable: &Vec<bool>, cut| {
                for (link, is_durable) in links(count).iter().zip(is_durable) {
                    match target(left, link, cut).await {
                        Some(digest) => assert_eq!(digest, sha256(b"x")),
                        None => assert!(!is_durable, "{link:?} is lost {cut:?}"),
                    }
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_moved_tag_is_at_its_old_or_its_new_place_and_at_the_new_one_after_a_flush() {
    let link = &links(1)[0];
    at_every_step(
        async |storage| {
            storage.links().write(link, &sha256(b"old")).await.unwrap();
            storage.links().flush().await.unwrap();
        },
        async |storage| {
            let is_written = storage.links().write(link, &sha256(b"new")).await.is_ok();
            storage.links().flush().await.is_ok() && is_written
        },
        async |left, is_durable, cut| match target(left, link, cut).await {
            Some(digest) if digest == sha256(b"new") => {}
            Some(digest) => assert!(digest == sha256(b"old") && !is_durable, "{digest} {cut:?}"),
            None => assert!(cut == Cut::NamesFirst && !is_durable),
        },
    )
    .await;
}

#[tokio::test]
async fn removed_links_stay_removed_after_a_flush() {
    for count in [1, 9] {
        at_every_step(
            async |storage| {
                for link in links(count) {
                    storage.links().write(&link, &sha256(b"x")).await.unwrap();
                }
                storage.links().flush().await.unwrap();
            },
            async |storage| {
                let mut is_removed = true;
                for link in links(count) {
                    is_removed &= storage.links().remove(&link).await.is_ok();
                }
                storage.links().flush().await.is_ok() && is_removed
            },
            async |left, is_durable, cut| {
                for link in links(count) {
                    let found = target(left, &link, cut).await;
                    assert!(found.is_none() || !is_durable, "{link:?} is back {cut:?}");
                    assert!(found.is_none_or(|digest| digest == sha256(b"x")));
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_link_that_was_removed_and_written_again_is_there() {
    let link = &links(2)[1];
    at_every_step(
        async |storage| {
            storage.links().write(link, &sha256(b"old")).await.unwrap();
            storage.links().flush().await.unwrap();
        },
        async |storage| {
            let is_removed = storage.links().remove(link).await.is_ok();
            let is_written = storage.links().write(link, &sha256(b"new")).await.is_ok();
            storage.links().flush().await.is_ok() && is_removed && is_written
        },
        async |left, is_durable, cut| {
            let found = target(left, link, cut).await;
            assert!(!is_durable || found == Some(sha256(b"new")), "{found:?} {cut:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_state_file_has_its_old_or_its_new_content() {
    let file = StateName::new("epoch.json").unwrap();
    at_every_step(
        async |storage| {
            storage.state().write(&file, Bytes::from_static(b"old")).await.unwrap();
        },
        async |storage| storage.state().write(&file, Bytes::from_static(b"new")).await.is_ok(),
        async |left, is_acknowledged, cut| {
            let found = left.state().read(&file).await.unwrap().unwrap();
            assert!(
                found == "new" || (found == "old" && !is_acknowledged),
                "{found:?} {cut:?}"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn a_flush_that_failed_is_made_up_for_by_the_next_one() {
    for count in [2, 9] {
        let folder = quick_folder();
        let config = filesystem::Config {
            root: folder.path().to_owned(),
        };
        let (storage, recorder) = Storage::recorded(config).unwrap();
        let mut last = None;
        for link in links(count) {
            last = Some(storage.links().write(&link, &sha256(b"x")).await.unwrap().ticket);
        }
        recorder.fail_after(0, Fault::PowerOff);
        storage.links().flush().await.unwrap_err();
        recorder.recover();
        assert!(storage.links().flush().await.unwrap() >= last.unwrap());
        let left = quick_folder();
        recorder.materialise(Cut::Strict, left.path()).unwrap();
        for link in links(count) {
            assert!(
                target(&open(left.path()), &link, Cut::Strict).await.is_some(),
                "{link:?}"
            );
        }
    }
}
