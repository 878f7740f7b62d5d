//! Walks over everything.

use crate::support::{Subject, content, every_kind, id, name, sha256, sha512, tag};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use wharf_oci::{Digest, RepositoryName};
use wharf_storage::{Detail, DigestWalk, FolderTimes, Link, LinkState, Storage, Ticket, UploadState};

pub async fn repositories(storage: &Storage) -> BTreeMap<RepositoryName, FolderTimes> {
    let mut walk = storage.walk().repositories();
    let mut all = BTreeMap::new();
    while let Some(chunk) = walk.next().await.unwrap() {
        let names: Vec<RepositoryName> = chunk.found.into_iter().map(|found| found.name).collect();
        let times = storage.walk().times_of(&names).await.unwrap();
        all.extend(names.into_iter().zip(times));
    }
    all
}

pub async fn foreign(storage: &Storage) -> Vec<String> {
    let mut walk = storage.walk().repositories();
    let mut all = Vec::new();
    while let Some(chunk) = walk.next().await.unwrap() {
        all.extend(chunk.foreign);
    }
    let mut walk = storage.walk().blobs();
    while let Some(chunk) = walk.next().await.unwrap() {
        all.extend(chunk.foreign);
    }
    all.sort();
    all
}

pub async fn digests(mut walk: DigestWalk) -> BTreeMap<Digest, LinkState> {
    let mut all = BTreeMap::new();
    while let Some(chunk) = walk.next().await.unwrap() {
        assert_eq!(chunk.foreign, Vec::<String>::new());
        all.extend(chunk.found.into_iter().map(|found| (found.name, found.state)));
    }
    all
}

pub async fn tags(storage: &Storage, repository: &str, detail: Detail) -> BTreeMap<String, LinkState> {
    let mut walk = storage.walk().tags(&name(repository), detail);
    let mut all = BTreeMap::new();
    while let Some(chunk) = walk.next().await.unwrap() {
        let found = chunk.found.into_iter();
        all.extend(found.map(|found| (found.name.as_str().to_owned(), found.state)));
    }
    all
}

fn says(state: &LinkState) -> Option<Digest> {
    match state {
        LinkState::Whole(record) => Some(record.digest),
        _ => None,
    }
}

async fn fill(storage: &Storage) {
    for repository in ["a", "a/b", "c/d/e"] {
        let repository = name(repository);
        let manifest = sha256(b"manifest");
        for text in ["v1", "v2"] {
            let (repository, tag) = (repository.clone(), tag(text));
            let index = Link::TagIndex {
                repository: repository.clone(),
                tag: tag.clone(),
                digest: manifest,
            };
            let current = Link::TagCurrent { repository, tag };
            storage.links().write(&current, &manifest).await.unwrap();
            storage.links().write(&index, &manifest).await.unwrap();
        }
        for digest in [sha256(b"manifest"), sha512(b"manifest")] {
            let repository = repository.clone();
            let link = Link::Revision { repository, digest };
            storage.links().write(&link, &manifest).await.unwrap();
        }
        let link = Link::Layer {
            repository,
            digest: sha256(b"layer"),
        };
        storage.links().write(&link, &sha256(b"layer")).await.unwrap();
    }
    for bytes in [&b"manifest"[..], b"layer"] {
        storage
            .blobs()
            .put(&sha256(bytes), Bytes::from_static(bytes))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_walk_finds_everything_that_was_written_and_nothing_else() {
    for Subject { storage, .. } in &every_kind() {
        fill(storage).await;
        let found: Vec<String> = repositories(storage).await.keys().map(ToString::to_string).collect();
        assert_eq!(found, ["a", "a/b", "c/d/e"]);
        for repository in ["a", "a/b", "c/d/e"] {
            let walk = storage.walk();
            let found = tags(storage, repository, Detail::Content).await;
            assert_eq!(found.keys().collect::<Vec<_>>(), ["v1", "v2"]);
            assert!(found.values().all(|state| says(state) == Some(sha256(b"manifest"))));
            let found = digests(walk.revisions(&name(repository), Detail::Content)).await;
            let names: Vec<Digest> = found.keys().copied().collect();
            assert_eq!(names, [sha256(b"manifest"), sha512(b"manifest")]);
            assert!(found.values().all(|state| says(state) == Some(sha256(b"manifest"))));
            let found = digests(walk.layers(&name(repository), Detail::Content)).await;
            assert_eq!(says(&found[&sha256(b"layer")]), Some(sha256(b"layer")));
            let history = walk.tag_history(&name(repository), &tag("v1"), Detail::Content);
            assert_eq!(digests(history).await.len(), 1);
        }
        assert_eq!(foreign(storage).await, Vec::<String>::new());
        let mut blobs = BTreeMap::new();
        let mut walk = storage.walk().blobs();
        while let Some(chunk) = walk.next().await.unwrap() {
            blobs.extend(chunk.found.iter().map(|blob| (blob.digest, blob.fingerprint.size)));
        }
        assert_eq!(blobs, BTreeMap::from([(sha256(b"manifest"), 8), (sha256(b"layer"), 5)]));
    }
}

#[tokio::test]
async fn a_walk_over_nothing_finds_nothing() {
    for Subject { storage, .. } in &every_kind() {
        assert!(repositories(storage).await.is_empty());
        assert!(storage.walk().blobs().next().await.unwrap().is_none());
        assert!(tags(storage, "a", Detail::Stat).await.is_empty());
        assert!(
            digests(storage.walk().layers(&name("a"), Detail::Stat))
                .await
                .is_empty()
        );
        assert_eq!(storage.walk().times(&name("a")).await.unwrap(), FolderTimes::default());
    }
}

#[tokio::test]
async fn stating_tells_the_fingerprint_that_writing_and_reading_tell() {
    for Subject { storage, .. } in &every_kind() {
        fill(storage).await;
        let link = Link::TagCurrent {
            repository: name("a"),
            tag: tag("v1"),
        };
        let record = storage.links().read(&link).await.unwrap().unwrap();
        let found = tags(storage, "a", Detail::Stat).await;
        assert_eq!(found["v1"], LinkState::Stat(record.fingerprint));
        let found = tags(storage, "a", Detail::Content).await;
        assert_eq!(found["v1"], LinkState::Whole(record));
        let written = storage.links().write(&link, &sha256(b"other")).await.unwrap();
        let found = tags(storage, "a", Detail::Stat).await;
        assert_eq!(found["v1"], LinkState::Stat(written.fingerprint));
    }
}

#[tokio::test]
async fn folder_times_tell_new_and_vanished_entries() {
    for subject in &every_kind() {
        let storage = &subject.storage;
        fill(storage).await;
        let before = storage.walk().times(&name("a/b")).await.unwrap();
        assert_eq!(repositories(storage).await[&name("a/b")], before);
        assert!(before.tags.is_some() && before.revisions_sha512.is_some());
        assert_eq!((before.layers_sha512, before.uploads), (None, None));
        if !subject.has_folders() {
            // a bucket tells what there is, not when it changed
            assert_eq!(before.tags, Some(0));
            continue;
        }

        let current = Link::TagCurrent {
            repository: name("a/b"),
            tag: tag("v1"),
        };
        storage.links().write(&current, &sha256(b"moved")).await.unwrap();
        let moved = storage.walk().times(&name("a/b")).await.unwrap();
        assert_eq!(moved, before, "a tag that moves changes its link only");

        let new = Link::TagCurrent {
            repository: name("a/b"),
            tag: tag("v3"),
        };
        storage.links().write(&new, &sha256(b"x")).await.unwrap();
        let after = storage.walk().times(&name("a/b")).await.unwrap();
        assert_ne!(after.tags, before.tags);
        assert_eq!(after.layers_sha256, before.layers_sha256);

        let layer = Link::Layer {
            repository: name("a/b"),
            digest: sha256(b"layer"),
        };
        let _: Ticket = storage.links().remove(&layer).await.unwrap();
        let last = storage.walk().times(&name("a/b")).await.unwrap();
        assert_ne!(last.layers_sha256, before.layers_sha256);
        assert_eq!(last.tags, after.tags);
    }
}

#[tokio::test]
async fn a_repository_with_nothing_but_an_upload_is_found() {
    for Subject { storage, .. } in &every_kind() {
        let state = UploadState::new(false);
        let uploads = storage.uploads();
        let mut writer = uploads
            .writer(&name("new"), id(1), "2026-01-02T03:04:05Z", state)
            .await
            .unwrap();
        writer.write(content(100_000)).await.unwrap();
        writer.finish().await.unwrap();
        let found = repositories(storage).await;
        assert!(found[&name("new")].uploads.is_some());
    }
}

#[tokio::test]
async fn large_folders_come_in_chunks_and_whole() {
    for Subject { storage, .. } in &every_kind() {
        let writes = (0..2500).map(|number| async move {
            let tag = tag(&format!("t{number}"));
            let link = Link::TagCurrent {
                repository: name("big"),
                tag,
            };
            storage.links().write(&link, &sha256(b"x")).await.unwrap();
        });
        stream::iter(writes).buffer_unordered(16).collect::<()>().await;
        let found = tags(storage, "big", Detail::Content).await;
        assert_eq!(found.len(), 2500);
        assert!(found.values().all(|state| says(state) == Some(sha256(b"x"))));
    }
}
