//! Upload sessions.

use crate::support::{content, every_kind, id, name, on_disk, sha256, sha512};
use bytes::Bytes;
use wharf_oci::Algorithm;
use wharf_storage::{ErrorKind, UploadState, Verdict};

const STARTED: &str = "2026-01-02T03:04:05Z";

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
        writer.write(content(700_000)).await.unwrap();
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
        old.write(content(600_000)).await.unwrap();
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
    for subject in every_kind() {
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
    for subject in every_kind() {
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
