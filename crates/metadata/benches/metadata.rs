//! The index at 100,000 tags: point reads, pages, and writes with full durability.
//!
//! `cargo bench -p wharf-metadata`

#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing to measure")]

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use divan::Bencher;
use tempfile::TempDir;
use wharf_metadata::manifests::{NewManifest, Reference, ReferenceKind};
use wharf_metadata::repositories::State;
use wharf_metadata::sqlite::Config;
use wharf_metadata::tags::{Action, Change};
use wharf_metadata::{Entry, Error, Metadata, Timestamp, Tx, blobs, links, manifests, mirror, repositories, tags};
use wharf_oci::descriptor::Annotations;
use wharf_oci::{Digest, RepositoryName, Tag};

const TAGS: u32 = 100_000;
const NOW: Timestamp = Timestamp(1_000_000);

fn main() {
    divan::main();
}

struct Full {
    metadata: Metadata,
    large: i64,
    small: i64,
    _folder: TempDir,
}

/// One repository with 100,000 tags, one with a single manifest, 100,000 more repositories.
static FULL: LazyLock<Full> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let metadata = Metadata::open_sqlite(Config::new(folder.path().join("index.db"))).unwrap();
    let (large, small) = metadata.write_blocking(fill).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(metadata.checkpoint()).unwrap();
    Full {
        metadata,
        large,
        small,
        _folder: folder,
    }
});

fn fill(tx: &mut Tx<'_>) -> Result<(i64, i64), Error> {
    let large = repositories::find_or_create(tx, &name("bench/large"), State::Indexed(1), NOW)?.id;
    let small = repositories::find_or_create(tx, &name("bench/small"), State::Indexed(1), NOW)?.id;
    push(tx, small, 0)?;
    for number in 0..TAGS {
        push(tx, large, number)?;
        let repository = name(&format!("many/repository-{number}"));
        let id = repositories::find_or_create(tx, &repository, State::Indexed(1), NOW)?.id;
        let annotations = Annotations::new();
        manifests::insert(tx, id, &manifest(digest(number), &annotations, &[]))?;
    }
    Ok((large, small))
}

/// What a push of a small image does in its last transaction.
fn push(tx: &mut Tx<'_>, repository_id: i64, number: u32) -> Result<(), Error> {
    let (bytes, layer) = (digest(number), digest(u32::MAX - number));
    for blob in [bytes, layer] {
        blobs::adopt(tx, (&blob, None), 1_000, NOW)?;
    }
    links::link(tx, repository_id, &layer, NOW)?;
    blobs::lock_present(tx, &[layer, bytes], NOW)?;
    let references = [Reference {
        kind: ReferenceKind::Layer,
        digest: layer,
        size: 1_000,
    }];
    let annotations = Annotations::new();
    let id = manifests::insert(tx, repository_id, &manifest(bytes, &annotations, &references))?.id;
    set_tag(tx, repository_id, &tag(number), (id, bytes))
}

fn set_tag(tx: &mut Tx<'_>, repository_id: i64, tag: &Tag, (id, digest): (i64, Digest)) -> Result<(), Error> {
    let change = Change {
        repository_id,
        tag,
        action: Action::Pushed,
        by: "bench",
        at: NOW,
    };
    tags::put(tx, &change, id, &digest)?;
    mirror::raise(tx, repository_id, &Entry::Tag(tag.clone()))?;
    Ok(())
}

fn manifest<'a>(sha256: Digest, annotations: &'a Annotations, references: &'a [Reference]) -> NewManifest<'a> {
    NewManifest {
        sha256,
        sha512: None,
        media_type: wharf_oci::media_type::OCI_MANIFEST,
        size: 1_000,
        artifact_type: None,
        config_media_type: Some(wharf_oci::media_type::OCI_CONFIG),
        subject: None,
        annotations,
        references,
        pushed_at: NOW,
        pushed_by: "bench",
    }
}

fn digest(number: u32) -> Digest {
    let mut hash = [7; 32];
    // spread as real digests are
    hash[..8].copy_from_slice(
        &(u64::from(number) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes(),
    );
    Digest::Sha256(hash)
}

fn tag(number: u32) -> Tag {
    format!("v{number:06}").parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(7919, Ordering::Relaxed) % TAGS
}

#[divan::bench(threads = [1, 2])]
fn tag_to_manifest(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher.with_inputs(|| tag(next())).bench_refs(|tag| {
        full.metadata
            .read_blocking(|tx| tags::get(tx, full.large, tag))
            .unwrap()
            .unwrap()
    });
}

/// The same tag again and again: what a hot image costs.
#[divan::bench(threads = [1, 2])]
fn same_tag_to_manifest(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    let tag = tag(5);
    bencher.bench(|| {
        full.metadata
            .read_blocking(|tx| tags::get(tx, full.large, &tag))
            .unwrap()
            .unwrap()
    });
}

#[divan::bench]
fn manifest_by_digest(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher.with_inputs(|| digest(next())).bench_refs(|digest| {
        full.metadata
            .read_blocking(|tx| manifests::head(tx, full.large, digest))
            .unwrap()
            .unwrap()
    });
}

#[divan::bench]
fn blob_of_repository(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher.with_inputs(|| digest(u32::MAX - next())).bench_refs(|digest| {
        full.metadata
            .read_blocking(|tx| links::find(tx, full.large, digest))
            .unwrap()
            .unwrap()
    });
}

#[divan::bench]
fn repository_by_name(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher
        .with_inputs(|| name(&format!("many/repository-{}", next())))
        .bench_refs(|name| {
            full.metadata
                .read_blocking(|tx| repositories::find(tx, name))
                .unwrap()
                .unwrap()
        });
}

#[divan::bench]
fn page_of_100_tags(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher.bench(|| {
        full.metadata
            .read_blocking(|tx| tags::page(tx, full.large, Some("v050000"), 100))
            .unwrap()
    });
}

#[divan::bench]
fn page_of_100_repositories(bencher: Bencher<'_, '_>) {
    let full = &*FULL;
    bencher.bench(|| {
        let after = Some("many/repository-50000");
        full.metadata
            .read_blocking(|tx| repositories::page_names(tx, after, 100))
            .unwrap()
    });
}

/// One durable tag push at a time; the disk's fsync is in it.
#[divan::bench(args = [true, false])]
fn tag_put(bencher: Bencher<'_, '_>, into_100_000: bool) {
    let full = &*FULL;
    let repository = if into_100_000 { full.large } else { full.small };
    let head = full
        .metadata
        .read_blocking(|tx| manifests::head(tx, repository, &digest(0)))
        .unwrap()
        .unwrap();
    bencher.with_inputs(|| tag(next())).bench_values(|tag| {
        full.metadata
            .write_blocking(move |tx| set_tag(tx, repository, &tag, (head.id, head.sha256)))
            .unwrap();
    });
}

/// 64 clients push small images, each of them durable when it is answered: time per 64 pushes.
#[divan::bench(sample_count = 40)]
fn push_64_at_once(bencher: Bencher<'_, '_>) {
    static PUSHED: AtomicU32 = AtomicU32::new(10_000_000);
    let full = &*FULL;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    bencher.counter(divan::counter::ItemsCount::new(64_u32)).bench(|| {
        runtime.block_on(async {
            let clients: Vec<_> = (0..64)
                .map(|_| {
                    let number = PUSHED.fetch_add(1, Ordering::Relaxed);
                    let repository = full.small;
                    runtime.spawn(full.metadata.write(move |tx| push(tx, repository, number)))
                })
                .collect();
            for client in clients {
                client.await.unwrap().unwrap();
            }
        });
    });
}
