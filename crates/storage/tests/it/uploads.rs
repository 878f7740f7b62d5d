//! Upload sessions.

use crate::support::{Subject, content, every_kind, id, name, on_disk, past_the_cache, sha256, sha512, with_files};
use bytes::Bytes;
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_oneof},
    test_runner::{Config, TestRunner},
};
use std::{
    fs::File,
    io::IoSliceMut,
    path::{Path, PathBuf},
};
use wharf_oci::Algorithm;
use wharf_storage::{ErrorKind, Storage, UploadState, Verdict};

pub const STARTED: &str = "2026-01-02T03:04:05Z";

#[tokio::test]
async fn an_upload_in_pieces_becomes_the_blob_of_its_digest() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let (repository, bytes) = (name("a/b"), content(3_000_001));
        let mut writer = uploads
            .writer(&repository, id(1), STARTED, UploadState::new(false))
            .await
            .unwrap();
        let mut rest = bytes.clone();
        for size in [1, 7, 4096, 65_536, 600_000, 0, 1_000_000] {
            writer.write(rest.split_to(size)).await.unwrap();
        }
        writer.write(rest).await.unwrap();
        assert_eq!(writer.received(), 3_000_001);
        let state = writer.finish().await.unwrap();
        assert_eq!(state.offset(), 3_000_001);
        assert_eq!(state.digest(Algorithm::Sha256), Some(sha256(&bytes)));
        assert_eq!(state.digest(Algorithm::Sha512), None);
        assert!(uploads.exists(&repository, id(1)).await.unwrap());

        let digest = uploads.publish(&repository, id(1), &state).await.unwrap();

        assert_eq!(digest, sha256(&bytes));
        let verdict = subject.storage.blobs().verify(&digest).await.unwrap();
        assert_eq!(verdict, Verdict::Whole { size: 3_000_001 });
        assert!(!uploads.exists(&repository, id(1)).await.unwrap());
        // The answer got lost and the client asks again.
        assert_eq!(uploads.publish(&repository, id(1), &state).await.unwrap(), digest);
    }
}

#[tokio::test]
async fn an_upload_goes_on_from_its_stored_state() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let (repository, bytes) = (name("a"), content(1_500_000));
        let mut state = UploadState::new(true);
        for part in bytes.chunks(400_001) {
            let stored = UploadState::from_bytes(&state.to_bytes()).unwrap();
            let mut writer = uploads.writer(&repository, id(2), STARTED, stored).await.unwrap();
            writer.write(Bytes::copy_from_slice(part)).await.unwrap();
            state = writer.finish().await.unwrap();
        }
        assert_eq!(state.digest(Algorithm::Sha256), Some(sha256(&bytes)));
        assert_eq!(state.digest(Algorithm::Sha512), Some(sha512(&bytes)));
        uploads.publish(&repository, id(2), &state).await.unwrap();
        let read = subject.storage.blobs().read(&sha256(&bytes), 2_000_000).await.unwrap();
        assert_eq!(read.unwrap(), bytes);
    }
}

#[tokio::test]
async fn bytes_that_were_never_acknowledged_are_dropped() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let repository = name("a");
        let mut writer = uploads
            .writer(&repository, id(3), STARTED, UploadState::new(false))
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"good")).await.unwrap();
        let good = writer.finish().await.unwrap();
        writer.write(content(1_700_000)).await.unwrap();
        let _lost = writer.finish().await.unwrap();

        let mut writer = uploads.writer(&repository, id(3), STARTED, good.clone()).await.unwrap();
        writer.write(Bytes::from_static(b" day")).await.unwrap();
        let state = writer.finish().await.unwrap();
        assert_eq!(state.sha256(), sha256(b"good day"));
        // Published from the earlier state: the later bytes go.
        uploads.publish(&repository, id(3), &good).await.unwrap();
        let read = subject.storage.blobs().read(&sha256(b"good"), 100).await.unwrap();
        assert_eq!(read.unwrap(), "good");
    }
}

#[tokio::test]
async fn whoever_opens_a_session_later_wins() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let repository = name("a");
        let mut old = uploads
            .writer(&repository, id(4), STARTED, UploadState::new(false))
            .await
            .unwrap();
        old.write(content(1_300_000)).await.unwrap();
        let mut new = uploads
            .writer(&repository, id(4), STARTED, UploadState::new(false))
            .await
            .unwrap();
        new.write(Bytes::from_static(b"new")).await.unwrap();
        let state = new.finish().await.unwrap();
        old.write(content(10)).await.unwrap();
        let error = old.finish().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Superseded);
        uploads.publish(&repository, id(4), &state).await.unwrap();
        let read = subject.storage.blobs().read(&sha256(b"new"), 1_000_000).await.unwrap();
        assert_eq!(read.unwrap(), "new");
    }
}

#[tokio::test]
async fn a_writer_cannot_change_what_was_published_or_cancelled() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let repository = name("a");
        for number in [5, 6] {
            let mut writer = uploads
                .writer(&repository, id(number), STARTED, UploadState::new(false))
                .await
                .unwrap();
            writer.write(Bytes::from_static(b"done")).await.unwrap();
            let state = writer.finish().await.unwrap();
            if number == 5 {
                uploads.publish(&repository, id(number), &state).await.unwrap();
            } else {
                uploads.delete(&repository, id(number)).await.unwrap();
            }
            writer.write(Bytes::from_static(b" and more")).await.unwrap();
            assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::Superseded);
            assert!(!uploads.exists(&repository, id(number)).await.unwrap());
        }
        let digest = sha256(b"done");
        let verdict = subject.storage.blobs().verify(&digest).await.unwrap();
        assert_eq!(verdict, Verdict::Whole { size: 4 });
    }
}

#[tokio::test]
async fn an_upload_of_bytes_that_are_there_already_leaves_them() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let (repository, bytes) = (name("a"), content(100_000));
        subject
            .storage
            .blobs()
            .put(&sha256(&bytes), bytes.clone())
            .await
            .unwrap();
        let mut writer = uploads
            .writer(&repository, id(7), STARTED, UploadState::new(false))
            .await
            .unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let state = writer.finish().await.unwrap();
        uploads.publish(&repository, id(7), &state).await.unwrap();
        assert!(!uploads.exists(&repository, id(7)).await.unwrap());
        assert_eq!(
            subject.storage.blobs().stat(&sha256(&bytes)).await.unwrap(),
            Some(100_000)
        );
    }
}

#[tokio::test]
async fn an_upload_without_bytes_is_the_empty_blob() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let repository = name("a");
        let state = UploadState::new(false);
        let mut writer = uploads.writer(&repository, id(8), STARTED, state).await.unwrap();
        let state = writer.finish().await.unwrap();
        assert!(!uploads.exists(&repository, id(8)).await.unwrap(), "no bytes, no files");
        let digest = uploads.publish(&repository, id(8), &state).await.unwrap();
        assert_eq!(subject.storage.blobs().stat(&digest).await.unwrap(), Some(0));
        assert_eq!(digest, sha256(b""));
    }
}

#[tokio::test]
async fn a_digest_that_was_not_computed_on_the_way_can_be_had_by_reading_once_more() {
    for subject in every_kind() {
        let uploads = subject.storage.uploads();
        let (repository, bytes) = (name("a"), content(900_000));
        let mut writer = uploads
            .writer(&repository, id(9), STARTED, UploadState::new(false))
            .await
            .unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let state = writer.finish().await.unwrap();
        let hashed = uploads.rehash(&repository, id(9), &state).await.unwrap();
        assert_eq!(hashed.digest(Algorithm::Sha512), Some(sha512(&bytes)));
        assert_eq!(hashed.sha256(), state.sha256());
        let empty = uploads
            .rehash(&repository, id(10), &UploadState::new(false))
            .await
            .unwrap();
        assert_eq!(empty.digest(Algorithm::Sha512), Some(sha512(b"")));
    }
}

#[tokio::test]
async fn a_session_whose_bytes_are_gone_or_cut_cannot_go_on() {
    for subject in with_files() {
        let uploads = subject.storage.uploads();
        let repository = name("a");
        let mut writer = uploads
            .writer(&repository, id(11), STARTED, UploadState::new(false))
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"1234")).await.unwrap();
        let short = writer.finish().await.unwrap();
        writer.write(Bytes::from_static(b"5678")).await.unwrap();
        let long = writer.finish().await.unwrap();
        drop(uploads.writer(&repository, id(11), STARTED, short).await.unwrap());

        let error = uploads
            .writer(&repository, id(11), STARTED, long.clone())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let error = uploads.publish(&repository, id(11), &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let error = uploads.rehash(&repository, id(11), &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        uploads.delete(&repository, id(11)).await.unwrap();
        uploads.delete(&repository, id(11)).await.unwrap();
        for outcome in [
            uploads
                .writer(&repository, id(11), STARTED, long.clone())
                .await
                .map(drop),
            uploads.publish(&repository, id(11), &long).await.map(drop),
            uploads.rehash(&repository, id(11), &long).await.map(drop),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test]
async fn sessions_are_listed_with_their_start() {
    for subject in with_files() {
        let uploads = subject.storage.uploads();
        let repository = name("a/b");
        assert_eq!(uploads.list(&repository).await.unwrap(), []);
        for number in [1, 2] {
            let state = UploadState::new(false);
            let mut writer = uploads.writer(&repository, id(number), STARTED, state).await.unwrap();
            writer.write(content(number as usize * 10)).await.unwrap();
            writer.finish().await.unwrap();
        }
        let mut sessions = uploads.list(&repository).await.unwrap();
        sessions.sort_by_key(|session| session.id);
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[1].id, id(2));
        assert_eq!(sessions[1].started_at.as_deref(), Some(STARTED));
        assert_eq!(sessions[1].size, Some(20));
    }
}

#[tokio::test]
async fn the_files_of_a_session_are_where_distribution_keeps_them() {
    let subject = on_disk();
    let state = UploadState::new(false);
    let mut writer = subject
        .storage
        .uploads()
        .writer(&name("a"), id(1), STARTED, state)
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    writer.finish().await.unwrap();
    let folder = subject.folder.as_ref().unwrap().path();
    let folder = folder
        .join("docker/registry/v2/repositories/a/_uploads")
        .join(id(1).to_string());
    assert_eq!(std::fs::read(folder.join("data")).unwrap(), b"bytes");
    assert_eq!(std::fs::read_to_string(folder.join("startedat")).unwrap(), STARTED);
}

/// What a client and the server do with one session.
#[derive(Clone, Debug)]
enum Step {
    /// So many more bytes arrive.
    Bytes(usize),
    /// A request ends.
    Finish,
    /// Another request takes the session over; what was not acknowledged is sent again.
    Reopen,
}

async fn upload_in(steps: &[Step], storage: &Storage, bytes: &Bytes) -> usize {
    let (repository, uploads) = (name("a"), storage.uploads());
    let mut state = UploadState::new(false);
    let mut writer = uploads
        .writer(&repository, id(1), STARTED, state.clone())
        .await
        .unwrap();
    for step in steps {
        match step {
            Step::Bytes(size) => {
                let at = writer.received() as usize;
                let end = bytes.len().min(at + size);
                writer.write(bytes.slice(at..end)).await.unwrap();
            }
            Step::Finish => state = writer.finish().await.unwrap(),
            Step::Reopen => {
                drop(writer);
                writer = uploads
                    .writer(&repository, id(1), STARTED, state.clone())
                    .await
                    .unwrap();
            }
        }
    }
    let state = writer.finish().await.unwrap();
    uploads.publish(&repository, id(1), &state).await.unwrap();
    state.offset() as usize
}

#[test]
fn however_its_bytes_arrive_a_blob_is_what_was_sent() {
    let size = prop_oneof![1usize..10, Just(4096), 4000usize..70_000, 100_000usize..2_500_000];
    let step = prop_oneof![
        5 => size.prop_map(Step::Bytes),
        1 => Just(Step::Finish),
        1 => Just(Step::Reopen),
    ];
    let cached = prop_oneof![0u64..5000, 0u64..3_000_000];
    let bytes = content(6_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config::with_cases(32));
    runner
        .run(&(vec(step, 1..12), cached), |(steps, cached)| {
            let subject = on_disk();
            let storage = subject.storage.caching(cached);
            runtime.block_on(async {
                let size = upload_in(&steps, &storage, &bytes).await;
                let read = storage.blobs().read(&sha256(&bytes[..size]), 6_000_000).await.unwrap();
                assert!(read.unwrap() == bytes[..size], "{size} bytes are others now");
            });
            Ok(())
        })
        .unwrap();
}

fn blob_file(subject: &Subject, bytes: &Bytes) -> PathBuf {
    let (root, hex) = (subject.folder.as_ref().unwrap().path(), sha256(bytes).hex());
    root.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
}

/// Whether the system can read a byte without asking the disk.
fn is_cached(file: &Path, offset: u64) -> bool {
    let (file, mut byte) = (File::open(file).unwrap(), [0]);
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    rustix::io::preadv2(&file, &mut [IoSliceMut::new(&mut byte)], offset, flags).is_ok()
}

#[tokio::test]
async fn the_end_of_a_large_blob_goes_past_the_page_cache_and_its_beginning_stays() {
    let on_real_disk = || tempfile::tempdir().unwrap();
    let kind = rustix::fs::statfs(on_real_disk().path()).unwrap().f_type as u32;
    let (ext4, xfs) = (0xef53, 0x5846_5342);
    if ![ext4, xfs].contains(&kind) {
        eprintln!("skipped: the folder of temporary files is on another kind of filesystem");
        return;
    }
    const MIB: u64 = 1 << 20;
    let bytes = content(10_000_001);
    for (cached, most) in [(0, 0), (3 * MIB, 3 * MIB), (u64::MAX, u64::MAX)] {
        let mut subject = past_the_cache(on_real_disk());
        subject.storage = subject.storage.caching(cached);
        let steps = [
            Step::Bytes(5_000_001),
            Step::Finish,
            Step::Reopen,
            Step::Bytes(5_000_000),
        ];
        upload_in(&steps, &subject.storage, &bytes).await;
        let file = blob_file(&subject, &bytes);
        for offset in [4097, 2 * MIB, 4 * MIB, 6 * MIB, 9 * MIB] {
            assert_eq!(is_cached(&file, offset), offset < most, "{offset} with {cached}");
        }
        let read = subject.storage.blobs().read(&sha256(&bytes), 10_000_001).await.unwrap();
        assert!(read.unwrap() == bytes);
    }
}

#[test]
fn broken_stored_states_are_refused() {
    let bytes = UploadState::new(true).to_bytes();
    assert!(UploadState::from_bytes(&bytes).is_some());
    for length in 0..bytes.len() {
        let cut = UploadState::from_bytes(&bytes[..length]);
        // A state without sha512 is a part of one with it.
        assert!(cut.is_none_or(|state| state.digest(Algorithm::Sha512).is_none()));
    }
    assert!(UploadState::from_bytes(&[]).is_none());
    assert!(UploadState::from_bytes(&[9; 114]).is_none());
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(UploadState::from_bytes(&longer).is_none());
}
