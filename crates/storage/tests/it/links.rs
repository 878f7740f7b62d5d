//! Link files.

use crate::support::{every_kind, name, on_disk, sha256, sha512, tag};
use std::fs;
use wharf_storage::{ErrorKind, Link};

fn links() -> Vec<Link> {
    let repository = name("team/app");
    vec![
        Link::TagCurrent {
            repository: repository.clone(),
            tag: tag("v1"),
        },
        Link::TagIndex {
            repository: repository.clone(),
            tag: tag("v1"),
            digest: sha256(b"m"),
        },
        Link::Revision {
            repository: repository.clone(),
            digest: sha256(b"m"),
        },
        Link::Revision {
            repository: repository.clone(),
            digest: sha512(b"m"),
        },
        Link::Layer {
            repository: repository.clone(),
            digest: sha256(b"l"),
        },
        Link::Layer {
            repository,
            digest: sha512(b"l"),
        },
    ]
}

#[tokio::test]
async fn a_link_says_what_was_written_last() {
    for subject in every_kind() {
        let store = subject.storage.links();
        for link in links() {
            assert_eq!(store.read(&link).await.unwrap(), None);
            let first = store.write(&link, &sha256(b"1")).await.unwrap();
            assert_eq!(store.read(&link).await.unwrap().unwrap().fingerprint, first.fingerprint);
            let second = store.write(&link, &sha256(b"2")).await.unwrap();
            let record = store.read(&link).await.unwrap().unwrap();
            assert_eq!(record.digest, sha256(b"2"));
            assert_eq!(record.fingerprint, second.fingerprint);
            assert_ne!(first.fingerprint, second.fingerprint, "a rewrite must show");
        }
    }
}

#[tokio::test]
async fn a_flush_covers_what_was_written_before_it() {
    for subject in every_kind() {
        let store = subject.storage.links();
        let mut tickets = Vec::new();
        for link in links() {
            tickets.push(store.write(&link, &sha256(b"1")).await.unwrap().ticket);
        }
        tickets.push(store.remove(&links()[0]).await.unwrap());
        let covered = store.flush().await.unwrap();
        assert!(
            tickets.iter().all(|ticket| *ticket <= covered),
            "{tickets:?} {covered:?}"
        );
        assert_eq!(store.flush().await.unwrap(), covered);
    }
}

#[tokio::test]
async fn a_removed_link_is_gone_with_its_folder_and_nothing_else() {
    for subject in every_kind() {
        let store = subject.storage.links();
        for link in links() {
            store.write(&link, &sha256(b"1")).await.unwrap();
        }
        for (position, link) in links().iter().enumerate().skip(2) {
            store.remove(link).await.unwrap();
            store.remove(link).await.unwrap();
            assert_eq!(store.read(link).await.unwrap(), None);
            for other in &links()[position + 1..] {
                assert!(store.read(other).await.unwrap().is_some(), "{other:?} after {link:?}");
            }
        }
        assert!(store.read(&links()[0]).await.unwrap().is_some());
        store.remove(&links()[0]).await.unwrap();
        assert_eq!(store.read(&links()[0]).await.unwrap(), None);
        assert_eq!(
            store.read(&links()[1]).await.unwrap(),
            None,
            "the tag's history goes with it"
        );
        store.write(&links()[0], &sha256(b"2")).await.unwrap();
        assert_eq!(store.read(&links()[0]).await.unwrap().unwrap().digest, sha256(b"2"));
    }
    let subject = on_disk();
    let store = subject.storage.links();
    for link in links() {
        store.write(&link, &sha256(b"1")).await.unwrap();
        store.remove(&link).await.unwrap();
    }
    let repository = subject
        .folder
        .as_ref()
        .unwrap()
        .path()
        .join("docker/registry/v2/repositories/team/app");
    for folder in ["_manifests/tags", "_manifests/revisions/sha256", "_layers/sha512"] {
        assert_eq!(fs::read_dir(repository.join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[tokio::test]
async fn a_link_holds_the_text_that_distribution_writes() {
    let subject = on_disk();
    subject.storage.links().write(&links()[3], &sha256(b"m")).await.unwrap();
    let file = format!(
        "docker/registry/v2/repositories/team/app/_manifests/revisions/sha512/{}/link",
        sha512(b"m").hex()
    );
    let text = fs::read_to_string(subject.folder.as_ref().unwrap().path().join(file)).unwrap();
    assert_eq!(text, sha256(b"m").to_string());
}

#[tokio::test]
async fn a_link_to_a_sha512_is_refused() {
    for subject in every_kind() {
        let error = subject
            .storage
            .links()
            .write(&links()[0], &sha512(b"m"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_link_that_holds_no_digest_is_damaged_not_missing() {
    let subject = on_disk();
    let store = subject.storage.links();
    store.write(&links()[0], &sha256(b"m")).await.unwrap();
    let file = "docker/registry/v2/repositories/team/app/_manifests/tags/v1/current/link";
    let file = subject.folder.as_ref().unwrap().path().join(file);
    for text in ["", "sha256:12", "hello"] {
        fs::write(&file, text).unwrap();
        let error = store.read(&links()[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("tags/v1/current/link"), "{error}");
    }
    fs::write(&file, "x".repeat(10_000)).unwrap();
    assert_eq!(store.read(&links()[0]).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_rewrite_in_place_by_another_program_changes_the_fingerprint() {
    let subject = on_disk();
    let store = subject.storage.links();
    let ours = store.write(&links()[0], &sha256(b"1")).await.unwrap();
    let file = "docker/registry/v2/repositories/team/app/_manifests/tags/v1/current/link";
    fs::write(
        subject.folder.as_ref().unwrap().path().join(file),
        sha256(b"2").to_string(),
    )
    .unwrap();
    let record = store.read(&links()[0]).await.unwrap().unwrap();
    assert_eq!(record.digest, sha256(b"2"));
    assert_ne!(record.fingerprint, ours.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_removers_of_neighbouring_links_do_not_disturb_each_other() {
    for subject in every_kind() {
        let store = subject.storage.links();
        let work = (0..8u8).map(|worker| async move {
            let link = Link::Layer {
                repository: name("a/b"),
                digest: sha256(&[worker]),
            };
            for round in 0..30u8 {
                store.write(&link, &sha256(&[round])).await.unwrap();
                assert_eq!(store.read(&link).await.unwrap().unwrap().digest, sha256(&[round]));
                store.remove(&link).await.unwrap();
                if round % 8 == 0 {
                    store.flush().await.unwrap();
                }
            }
        });
        futures_util::future::join_all(work).await;
    }
}
