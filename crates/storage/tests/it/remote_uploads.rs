//! Uploads to a bucket: what is particular about them.

use crate::{
    fault_proxy::{Proxy, Request},
    objects::{self, Bucket},
    support::{content, id, name, settings, sha256, sha512},
    uploads::STARTED,
};
use bytes::Bytes;
use wharf_oci::{Algorithm, RepositoryName};
use wharf_storage::{ErrorKind, Storage, UploadState, Verdict, s3};

const MIB: usize = 1 << 20;
const PART: usize = 5 * MIB;

/// A bucket behind a proxy that insists on equal parts.
struct Place {
    proxy: Proxy,
    bucket: Bucket,
}

impl Place {
    fn new() -> Option<Self> {
        if !objects::is_wanted() {
            return None;
        }
        let bucket = objects::bucket();
        let proxy = Proxy::to(&bucket.server().address());
        proxy.insist_on_equal_parts();
        Some(Self { proxy, bucket })
    }

    fn settings(&self) -> s3::Settings {
        s3::Settings {
            endpoint: Some(self.proxy.url()),
            ..settings(&self.bucket)
        }
    }

    /// What another process would have.
    fn storage(&self) -> Storage {
        Storage::s3(&self.settings()).unwrap()
    }
}

/// One request with a chunk, by a process that knows nothing but the stored state.
async fn send(place: &Place, repository: &RepositoryName, number: u128, stored: &[u8], chunk: &[u8]) -> Vec<u8> {
    let storage = place.storage();
    let state = UploadState::from_bytes(stored).unwrap();
    let mut writer = storage
        .uploads()
        .writer(repository, id(number), STARTED, state)
        .await
        .unwrap();
    writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    writer.finish().await.unwrap().to_bytes()
}

/// Uploads in chunks of the given sizes, each through another process, and publishes through one more.
async fn upload(place: &Place, bytes: &Bytes, sizes: impl Iterator<Item = usize>) {
    let repository = name("team/app");
    let mut stored = UploadState::new(false).to_bytes();
    let mut at = 0;
    for size in sizes {
        let end = bytes.len().min(at + size);
        stored = send(place, &repository, 1, &stored, &bytes[at..end]).await;
        at = end;
        if at == bytes.len() {
            break;
        }
    }
    let storage = place.storage();
    let state = UploadState::from_bytes(&stored).unwrap();
    assert_eq!(state.offset(), bytes.len() as u64);
    storage.uploads().publish(&repository, id(1), &state).await.unwrap();
    let verdict = storage.blobs().verify(&sha256(bytes)).await.unwrap();
    assert_eq!(
        verdict,
        Verdict::Whole {
            size: bytes.len() as u64
        }
    );
    assert_eq!(
        storage.uploads().list(&repository).await.unwrap(),
        [],
        "nothing is left"
    );
    assert_eq!(storage.uploads().abandoned().await.unwrap(), [], "no part is left");
}

#[tokio::test]
async fn chunks_of_one_byte_through_a_process_each_become_the_blob() {
    let Some(place) = Place::new() else { return };
    upload(&place, &content(60), std::iter::repeat(1)).await;
    let requests = place.proxy.take_requests();
    let puts = requests.iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 1, "so few bytes stay in the state: {requests:?}");
}

#[tokio::test]
async fn chunks_of_64_kib_through_a_process_each_become_equal_parts() {
    let Some(place) = Place::new() else { return };
    upload(&place, &content(6 * MIB + 12_345), std::iter::repeat(64 << 10)).await;
}

#[tokio::test]
async fn chunks_that_end_just_before_a_part_become_equal_parts() {
    let Some(place) = Place::new() else { return };
    upload(&place, &content(4 * PART), std::iter::repeat(PART - 1)).await;
}

#[tokio::test]
async fn chunks_of_any_sizes_become_equal_parts() {
    let Some(place) = Place::new() else { return };
    let mut state = 7_u64;
    let sizes = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match state >> 62 {
            0 => (state >> 40) as usize % 100,
            1 => (state >> 40) as usize % 70_000,
            _ => (state >> 40) as usize % (7 * MIB),
        }
    });
    upload(&place, &content(24 * MIB + 1), sizes).await;
}

#[tokio::test]
async fn an_upload_of_exactly_one_part_and_one_of_several_become_blobs() {
    let Some(place) = Place::new() else { return };
    upload(&place, &content(PART), std::iter::once(PART)).await;
    upload(&place, &content(3 * PART), [PART, PART, PART].into_iter()).await;
}

fn count(requests: &[Request], method: &str) -> usize {
    requests.iter().filter(|request| request.method == method).count()
}

#[tokio::test]
async fn a_small_blob_takes_one_request_and_one_that_came_before_its_digest_three() {
    let Some(place) = Place::new() else { return };
    let storage = place.storage();
    let uploads = storage.uploads();
    let bytes = content(2 * MIB);

    storage
        .blobs()
        .put(&sha256(b"small"), Bytes::from_static(b"small"))
        .await
        .unwrap();
    assert_eq!(place.proxy.take_requests().len(), 1, "put");

    let state = UploadState::new(false);
    let mut writer = uploads.writer(&name("a"), id(1), STARTED, state).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    let state = writer.finish_last().await.unwrap();
    uploads.publish(&name("a"), id(1), &state).await.unwrap();
    let requests = place.proxy.take_requests();
    assert_eq!(requests.len(), 1, "in one request of the client: {requests:?}");

    let state = UploadState::new(false);
    let mut writer = uploads.writer(&name("a"), id(2), STARTED, state).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    let state = writer.finish().await.unwrap();
    uploads.publish(&name("a"), id(2), &state).await.unwrap();
    let requests = place.proxy.take_requests();
    assert_eq!(
        (count(&requests, "PUT"), count(&requests, "POST")),
        (2, 1),
        "{requests:?}"
    );
    assert_eq!(requests.len(), 3, "a piece, its copy, its removal: {requests:?}");
    let verdict = storage.blobs().verify(&sha256(&bytes)).await.unwrap();
    assert_eq!(
        verdict,
        Verdict::Whole {
            size: bytes.len() as u64
        }
    );
}

#[tokio::test]
async fn what_only_the_memory_has_is_stored_before_the_state_is_kept() {
    let Some(place) = Place::new() else { return };
    let storage = place.storage();
    let uploads = storage.uploads();
    let bytes = content(MIB);
    let state = UploadState::new(false);
    let mut writer = uploads.writer(&name("a"), id(1), STARTED, state).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    let state = writer.finish_last().await.unwrap();
    let kept = uploads.settle(&name("a"), id(1), &state).await.unwrap().to_bytes();
    assert!(kept.len() < 1000, "{} bytes", kept.len());
    let stored = send(&place, &name("a"), 1, &kept, b" and more").await;
    let state = UploadState::from_bytes(&stored).unwrap();
    place
        .storage()
        .uploads()
        .publish(&name("a"), id(1), &state)
        .await
        .unwrap();
    let whole = [&bytes[..], b" and more"].concat();
    let size = whole.len() as u64;
    assert_eq!(
        storage.blobs().verify(&sha256(&whole)).await.unwrap(),
        Verdict::Whole { size }
    );
}

#[tokio::test]
async fn bytes_that_a_dead_process_had_not_acknowledged_are_discarded() {
    let Some(place) = Place::new() else { return };
    let repository = name("a");
    let good = content(PART + 3 * MIB);
    let acknowledged = send(&place, &repository, 1, &UploadState::new(false).to_bytes(), &good).await;
    {
        // it has sent two more parts and a piece, of other bytes, when it dies
        let storage = place.storage();
        let state = UploadState::from_bytes(&acknowledged).unwrap();
        let mut dead = storage
            .uploads()
            .writer(&repository, id(1), STARTED, state)
            .await
            .unwrap();
        dead.write(Bytes::from(vec![b'x'; 2 * PART + MIB])).await.unwrap();
        dead.finish().await.unwrap();
    }
    let rest = content(2 * PART);
    let stored = send(&place, &repository, 1, &acknowledged, &rest).await;
    let state = UploadState::from_bytes(&stored).unwrap();
    let storage = place.storage();
    storage.uploads().publish(&repository, id(1), &state).await.unwrap();
    let whole = [&good[..], &rest[..]].concat();
    let size = whole.len() as u64;
    assert_eq!(
        storage.blobs().verify(&sha256(&whole)).await.unwrap(),
        Verdict::Whole { size }
    );
    // what the dead one left is found by the purge
    let left = storage.uploads().list(&repository).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].modified > 0);
    storage.uploads().delete(&repository, id(1)).await.unwrap();
    assert_eq!(storage.uploads().list(&repository).await.unwrap(), []);
}

#[tokio::test]
async fn parts_of_a_dead_upload_are_found_and_given_up() {
    let Some(place) = Place::new() else { return };
    let repository = name("team/app");
    let stored = send(
        &place,
        &repository,
        7,
        &UploadState::new(false).to_bytes(),
        &content(PART),
    )
    .await;
    let storage = place.storage();
    let abandoned = storage.uploads().abandoned().await.unwrap();
    assert_eq!(abandoned.len(), 1, "{abandoned:?}");
    assert_eq!(abandoned[0].session, Some((repository.clone(), id(7))));
    assert!(abandoned[0].started_at.starts_with("20"), "{abandoned:?}");
    storage.uploads().abort(&abandoned[0]).await.unwrap();
    storage.uploads().abort(&abandoned[0]).await.unwrap();
    assert_eq!(storage.uploads().abandoned().await.unwrap(), []);
    let state = UploadState::from_bytes(&stored).unwrap();
    let error = storage.uploads().publish(&repository, id(7), &state).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn deleting_a_session_removes_its_parts_and_pieces() {
    let Some(place) = Place::new() else { return };
    let repository = name("a");
    let stored = send(
        &place,
        &repository,
        1,
        &UploadState::new(false).to_bytes(),
        &content(PART + MIB),
    )
    .await;
    let storage = place.storage();
    assert!(storage.uploads().exists(&repository, id(1)).await.unwrap());
    storage.uploads().delete(&repository, id(1)).await.unwrap();
    storage.uploads().delete(&repository, id(1)).await.unwrap();
    assert!(!storage.uploads().exists(&repository, id(1)).await.unwrap());
    assert_eq!(storage.uploads().abandoned().await.unwrap(), []);
    let state = UploadState::from_bytes(&stored).unwrap();
    let error = storage.uploads().publish(&repository, id(1), &state).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_sha512_is_computed_from_parts_and_the_upload_becomes_the_blob_afterwards() {
    let Some(place) = Place::new() else { return };
    let (repository, bytes) = (name("a"), content(2 * PART + MIB));
    let stored = send(&place, &repository, 1, &UploadState::new(false).to_bytes(), &bytes).await;
    let state = UploadState::from_bytes(&stored).unwrap();
    let storage = place.storage();
    let hashed = storage.uploads().rehash(&repository, id(1), &state).await.unwrap();
    assert_eq!(hashed.digest(Algorithm::Sha512), Some(sha512(&bytes)));
    storage.uploads().publish(&repository, id(1), &state).await.unwrap();
    let size = bytes.len() as u64;
    assert_eq!(
        storage.blobs().verify(&sha256(&bytes)).await.unwrap(),
        Verdict::Whole { size }
    );
    assert!(!storage.uploads().exists(&repository, id(1)).await.unwrap());
}

#[tokio::test]
async fn large_blobs_are_copied_in_parts_of_one_size() {
    let Some(place) = Place::new() else { return };
    let storage = Storage::s3(&s3::Settings {
        copy_threshold: PART as u64,
        copy_part_size: PART as u64,
        copy_concurrency: 3,
        ..place.settings()
    })
    .unwrap();
    let (repository, bytes) = (name("a"), content(3 * PART + 17));
    let stored = send(&place, &repository, 1, &UploadState::new(false).to_bytes(), &bytes).await;
    place.proxy.take_requests();
    let state = UploadState::from_bytes(&stored).unwrap();
    storage.uploads().publish(&repository, id(1), &state).await.unwrap();
    let requests = place.proxy.take_requests();
    let copies = requests
        .iter()
        .filter(|request| request.header("x-amz-copy-source-range").is_some());
    assert_eq!(copies.count(), 4, "{requests:?}");
    let size = bytes.len() as u64;
    assert_eq!(
        storage.blobs().verify(&sha256(&bytes)).await.unwrap(),
        Verdict::Whole { size }
    );
}

#[tokio::test]
async fn parts_are_larger_when_an_upload_says_that_it_will_be_huge() {
    let Some(place) = Place::new() else { return };
    let storage = place.storage();
    let state = UploadState::new(false);
    let mut writer = storage
        .uploads()
        .writer(&name("a"), id(1), STARTED, state)
        .await
        .unwrap();
    writer.expect(70_000 * MIB as u64);
    writer.write(content(8 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    let requests = place.proxy.take_requests();
    let parts: Vec<usize> = requests
        .iter()
        .filter(|request| request.parameter("partNumber").is_some())
        .map(|request| request.length)
        .collect();
    assert_eq!(parts, [7 * MIB]);
}

#[tokio::test]
async fn a_session_of_a_folder_cannot_go_on_in_a_bucket_nor_the_other_way_round() {
    let Some(place) = Place::new() else { return };
    let folder = Storage::memory();
    let mut writer = folder
        .uploads()
        .writer(&name("a"), id(1), STARTED, UploadState::new(false))
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    let in_folder = writer.finish().await.unwrap();
    let in_bucket = send(&place, &name("a"), 1, &UploadState::new(false).to_bytes(), b"bytes").await;
    let in_bucket = UploadState::from_bytes(&in_bucket).unwrap();
    for (storage, state) in [(place.storage(), in_folder), (folder, in_bucket)] {
        let uploads = storage.uploads();
        let error = uploads.writer(&name("a"), id(1), STARTED, state).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
