//! Bytes under their sha256.

use crate::support::{collect, content, every_kind, on_disk, sha256, sha512};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{join, join_all},
};
use std::os::unix::fs::MetadataExt;
use wharf_storage::{ErrorKind, Verdict};

#[tokio::test]
async fn a_blob_that_was_put_can_be_read_whole_and_in_part() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let bytes = content(1_000_003);
        let digest = sha256(&bytes);
        assert_eq!(blobs.stat(&digest).await.unwrap(), None);
        assert!(blobs.open(&digest).await.unwrap().is_none());
        assert_eq!(blobs.read(&digest, 10).await.unwrap(), None);

        blobs.put(&digest, bytes.clone()).await.unwrap();

        assert_eq!(blobs.stat(&digest).await.unwrap(), Some(1_000_003));
        assert_eq!(blobs.read(&digest, 1_000_003).await.unwrap().unwrap(), bytes);
        let reader = blobs.open(&digest).await.unwrap().unwrap();
        assert_eq!(reader.size(), 1_000_003);
        assert_eq!(collect(&reader, 0..reader.size()).await, bytes);
        assert_eq!(collect(&reader, 262_143..600_001).await, bytes[262_143..600_001]);
        assert_eq!(collect(&reader, 999_999..u64::MAX).await, bytes[999_999..]);
        assert_eq!(collect(&reader, 5..5).await, b"");
        assert_eq!(collect(&reader, 2_000_000..3_000_000).await, b"");
        let size = 1_000_003;
        assert_eq!(blobs.verify(&digest).await.unwrap(), Verdict::Whole { size });
    }
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let digest = sha256(b"");
        blobs.put(&digest, Bytes::new()).await.unwrap();
        assert_eq!(blobs.stat(&digest).await.unwrap(), Some(0));
        assert_eq!(blobs.read(&digest, 0).await.unwrap().unwrap(), Bytes::new());
        let reader = blobs.open(&digest).await.unwrap().unwrap();
        assert_eq!(collect(&reader, 0..0).await, b"");
    }
}

#[tokio::test]
async fn a_blob_larger_than_the_limit_is_refused_by_name() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let digest = sha256(b"0123456789");
        blobs.put(&digest, Bytes::from_static(b"0123456789")).await.unwrap();
        let error = blobs.read(&digest, 9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains(&digest.hex()), "{error}");
    }
}

#[tokio::test]
async fn bytes_are_refused_under_a_sha512() {
    for subject in every_kind() {
        let digest = sha512(b"x");
        let error = subject
            .storage
            .blobs()
            .put(&digest, Bytes::from_static(b"x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("sha256 only"), "{error}");
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_and_deleting_it_again_is_no_error() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let all: Vec<Bytes> = (0..50u8).map(|byte| Bytes::from(vec![byte; 10])).collect();
        let digests: Vec<_> = all.iter().map(|bytes| sha256(bytes)).collect();
        for (digest, bytes) in digests.iter().zip(&all) {
            blobs.put(digest, bytes.clone()).await.unwrap();
        }
        blobs.delete(&digests[0]).await.unwrap();
        blobs.delete(&digests[0]).await.unwrap();
        assert_eq!(blobs.stat(&digests[0]).await.unwrap(), None);
        assert_eq!(blobs.verify(&digests[0]).await.unwrap(), Verdict::Missing);
        assert_eq!(blobs.stat(&digests[1]).await.unwrap(), Some(10));
        blobs.delete_all(digests.clone()).await.unwrap();
        for digest in &digests {
            assert_eq!(blobs.stat(digest).await.unwrap(), None);
        }
        blobs.put(&digests[0], all[0].clone()).await.unwrap();
        assert_eq!(blobs.read(&digests[0], 10).await.unwrap().unwrap(), all[0]);
    }
}

#[tokio::test]
async fn a_reader_keeps_its_bytes_when_the_blob_is_deleted_or_says_that_they_are_gone() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let bytes = content(600_000);
        let digest = sha256(&bytes);
        blobs.put(&digest, bytes.clone()).await.unwrap();
        let reader = blobs.open(&digest).await.unwrap().unwrap();
        blobs.delete(&digest).await.unwrap();
        if subject.has_folders() {
            assert_eq!(collect(&reader, 0..600_000).await, bytes);
        } else {
            let error = reader.start(0..600_000).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let error = reader.stream(0..600_000).next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletes_of_one_digest_at_once_leave_it_whole_or_gone() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let bytes = content(10_000);
        let digest = sha256(&bytes);
        let puts = (0..20).map(|_| blobs.put(&digest, bytes.clone()));
        let deletes = (0..10).map(|_| blobs.delete(&digest));
        let (puts, deletes) = join(join_all(puts), join_all(deletes)).await;
        assert!(puts.iter().chain(&deletes).all(Result::is_ok), "{puts:?} {deletes:?}");
        let verdict = blobs.verify(&digest).await.unwrap();
        assert!(
            matches!(verdict, Verdict::Whole { .. } | Verdict::Missing),
            "{verdict:?}"
        );
    }
}

#[tokio::test]
async fn wrong_bytes_are_told_by_verify_and_replaced_by_a_put_when_the_size_shows_it() {
    let subject = on_disk();
    let blobs = subject.storage.blobs();
    let digest = sha256(b"right");
    blobs.put(&digest, Bytes::from_static(b"right")).await.unwrap();
    let hex = digest.hex();
    let file = subject.folder.as_ref().unwrap().path();
    let file = file.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    std::fs::write(&file, b"wrong").unwrap();
    let found = sha256(b"wrong");
    assert_eq!(
        blobs.verify(&digest).await.unwrap(),
        Verdict::Differs { size: 5, found }
    );
    std::fs::write(&file, b"cut").unwrap();
    blobs.put(&digest, Bytes::from_static(b"right")).await.unwrap();
    assert_eq!(blobs.verify(&digest).await.unwrap(), Verdict::Whole { size: 5 });
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_ends_in_an_error() {
    let subject = on_disk();
    let blobs = subject.storage.blobs();
    let bytes = content(2_000_000);
    let digest = sha256(&bytes);
    blobs.put(&digest, bytes).await.unwrap();
    let reader = blobs.open(&digest).await.unwrap().unwrap();
    let mut stream = reader.stream(0..reader.size());
    stream.next().await.unwrap().unwrap();
    let hex = digest.hex();
    let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let file = std::fs::File::options()
        .write(true)
        .open(subject.folder.as_ref().unwrap().path().join(path));
    file.unwrap().set_len(300_000).unwrap();
    let mut read = 262_144;
    let error = loop {
        match stream.next().await.expect("the stream ended as if nothing was missing") {
            Ok(chunk) => read += chunk.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(read, 300_000);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn new_files_and_folders_have_the_modes_that_the_umask_gives() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let digest = sha256(b"x");
    subject
        .storage
        .blobs()
        .put(&digest, Bytes::from_static(b"x"))
        .await
        .unwrap();
    let (file, folder) = (root.join("file"), root.join("folder"));
    std::fs::write(&file, b"").unwrap();
    std::fs::create_dir(&folder).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o7777;
    let hex = digest.hex();
    let blob = root.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    assert_eq!(mode(&blob), mode(&file));
    assert_eq!(mode(blob.parent().unwrap()), mode(&folder));
    assert_eq!(mode(&root.join("docker")), mode(&folder));
}

#[tokio::test]
async fn nothing_temporary_stays_behind() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    subject
        .storage
        .blobs()
        .put(&sha256(b"x"), Bytes::from_static(b"x"))
        .await
        .unwrap();
    assert_eq!(std::fs::read_dir(root.join("wharf/tmp")).unwrap().count(), 0);
    std::fs::write(root.join("wharf/tmp/1"), b"left by a crash").unwrap();
    subject
        .storage
        .blobs()
        .put(&sha256(b"y"), Bytes::from_static(b"y"))
        .await
        .unwrap();
    subject.storage.state().clear_temporaries().await.unwrap();
    assert!(!root.join("wharf/tmp").exists());
    subject
        .storage
        .blobs()
        .put(&sha256(b"z"), Bytes::from_static(b"z"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_in_place_of_the_root_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("file");
    std::fs::write(&root, b"").unwrap();
    let config = wharf_storage::filesystem::Config { root: root.clone() };
    let error = wharf_storage::Storage::filesystem(config).unwrap_err();
    assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
}
