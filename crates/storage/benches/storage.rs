//! The hot paths of storage on a real folder: the one that `TMPDIR` names.
//!
//! `cargo bench -p wharf-storage`; the disk decides over `publish` and `flush`, so name it beside
//! their figures.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to say")]

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{Detail, Link, Storage, UploadState, filesystem};

const MIB: usize = 1 << 20;
const STARTED: &str = "2026-01-02T03:04:05Z";

fn main() {
    divan::main();
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).build().unwrap()
    })
}

fn storage() -> (TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    (folder, Storage::filesystem(filesystem::Config { root }).unwrap())
}

fn content(length: usize) -> Bytes {
    (0..length)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::Sha256(Sha256::digest(bytes).into())
}

fn repository(number: usize) -> RepositoryName {
    format!("team{}/app{number}", number / 100).parse().unwrap()
}

/// The limit of every push.
#[divan::bench(sample_count = 10)]
fn sha256_of_64_mib(bencher: Bencher<'_, '_>) {
    let bytes = content(64 * MIB);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| sha256(&bytes));
}

/// As the pieces arrive from a connection: 64 KiB each.
async fn receive(storage: &Storage, id: u128, bytes: &Bytes) -> UploadState {
    let state = UploadState::new(false);
    let uploads = storage.uploads();
    let mut writer = uploads
        .writer(&repository(0), Uuid::from_u128(id), STARTED, state)
        .await
        .unwrap();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        writer.write(rest.split_to(rest.len().min(64 << 10))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

#[divan::bench(sample_count = 10)]
fn upload_64_mib(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let bytes = content(64 * MIB);
    let mut id = 0;
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        id += 1;
        runtime().block_on(async {
            receive(&storage, id, &bytes).await;
            storage
                .uploads()
                .delete(&repository(0), Uuid::from_u128(id))
                .await
                .unwrap();
        });
    });
}

#[divan::bench(sample_count = 10)]
fn upload_and_publish_64_mib(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let bytes = content(64 * MIB);
    let mut id = 0;
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        id += 1;
        runtime().block_on(async {
            let state = receive(&storage, id, &bytes).await;
            let id = Uuid::from_u128(id);
            let digest = storage.uploads().publish(&repository(0), id, &state).await.unwrap();
            storage.blobs().delete(&digest).await.unwrap();
        });
    });
}

#[divan::bench(sample_count = 50)]
fn put_2_kib(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let mut number = 0u64;
    bencher.bench_local(|| {
        number += 1;
        let bytes = Bytes::from(number.to_le_bytes().repeat(256));
        let digest = sha256(&bytes);
        runtime().block_on(storage.blobs().put(&digest, bytes)).unwrap();
    });
}

#[divan::bench(sample_count = 20)]
fn stream_64_mib(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let bytes = content(64 * MIB);
    let digest = sha256(&bytes);
    runtime().block_on(storage.blobs().put(&digest, bytes)).unwrap();
    bencher.counter(BytesCount::new(64 * MIB)).bench_local(|| {
        runtime().block_on(async {
            let reader = storage.blobs().open(&digest).await.unwrap().unwrap();
            let mut stream = reader.stream(0..reader.size());
            while let Some(chunk) = stream.next().await {
                divan::black_box(chunk.unwrap());
            }
        });
    });
}

#[divan::bench]
fn read_blob_of_4_kib(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let bytes = content(4096);
    let digest = sha256(&bytes);
    runtime().block_on(storage.blobs().put(&digest, bytes)).unwrap();
    bencher.bench_local(|| runtime().block_on(storage.blobs().read(&digest, 1 << 20)).unwrap());
}

#[divan::bench]
fn read_link(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let link = Link::TagCurrent {
        repository: repository(0),
        tag: "latest".parse().unwrap(),
    };
    runtime().block_on(storage.links().write(&link, &sha256(b"x"))).unwrap();
    bencher.bench_local(|| runtime().block_on(storage.links().read(&link)).unwrap());
}

#[divan::bench]
fn write_link(bencher: Bencher<'_, '_>) {
    let (_folder, storage) = storage();
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let tag = format!("v{number}").parse().unwrap();
        let link = Link::TagCurrent {
            repository: repository(0),
            tag,
        };
        runtime().block_on(storage.links().write(&link, &sha256(b"x"))).unwrap()
    });
}

#[divan::bench(args = [1, 2, 4, 16, 100, 1000], sample_count = 20)]
fn flush_new_links(bencher: Bencher<'_, '_>, count: usize) {
    let (_folder, storage) = storage();
    let mut number = 0;
    bencher
        .with_inputs(|| {
            for _ in 0..count {
                number += 1;
                let tag = format!("v{number}").parse().unwrap();
                let link = Link::TagCurrent {
                    repository: repository(0),
                    tag,
                };
                runtime().block_on(storage.links().write(&link, &sha256(b"x"))).unwrap();
            }
        })
        .bench_local_values(|()| runtime().block_on(storage.links().flush()).unwrap());
}

/// 10,000 tags in 500 repositories.
fn many_tags() -> &'static Storage {
    static MANY: OnceLock<(TempDir, Storage)> = OnceLock::new();
    let (_, storage) = MANY.get_or_init(|| {
        let (folder, storage) = storage();
        runtime().block_on(async {
            for number in 0..10_000 {
                let tag = format!("v{number}").parse().unwrap();
                let link = Link::TagCurrent {
                    repository: repository(number / 20),
                    tag,
                };
                storage.links().write(&link, &sha256(b"x")).await.unwrap();
            }
        });
        (folder, storage)
    });
    storage
}

#[divan::bench(sample_count = 10)]
fn walk_500_repositories(bencher: Bencher<'_, '_>) {
    let storage = many_tags();
    bencher.counter(ItemsCount::new(500usize)).bench_local(|| {
        runtime().block_on(async {
            let mut walk = storage.walk().repositories();
            let mut count = 0;
            while let Some(chunk) = walk.next().await.unwrap() {
                count += chunk.found.len();
            }
            assert_eq!(count, 500);
        });
    });
}

#[divan::bench(args = [Detail::Stat, Detail::Content], sample_count = 10)]
fn walk_10_000_tags(bencher: Bencher<'_, '_>, detail: Detail) {
    let storage = many_tags();
    bencher.counter(ItemsCount::new(10_000usize)).bench_local(|| {
        runtime().block_on(async {
            let mut count = 0;
            for number in 0..500 {
                let mut walk = storage.walk().tags(&repository(number), detail);
                while let Some(chunk) = walk.next().await.unwrap() {
                    count += chunk.found.len();
                }
            }
            assert_eq!(count, 10_000);
        });
    });
}
