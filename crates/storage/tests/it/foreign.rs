//! Folders that other registries, programs and accidents left behind.

use crate::{
    support::{name, on_disk, sha256, sha512},
    walk::{digests, foreign, repositories, tags},
};
use std::{fs, path::Path};
use wharf_storage::{Detail, LinkState, Session};

const V2: &str = "docker/registry/v2";

fn write(root: &Path, place: &str, content: &str) {
    let path = root.join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn entries_that_no_registry_writes_are_reported_and_passed_over() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let link = sha256(b"m").to_string();
    let repositories_folder = format!("{V2}/repositories");
    write(
        root,
        &format!("{repositories_folder}/a/_manifests/tags/v1/current/link"),
        &link,
    );
    write(root, &format!("{repositories_folder}/a/notes.txt"), "hello");
    write(
        root,
        &format!("{repositories_folder}/UPPER/_manifests/tags/v1/current/link"),
        &link,
    );
    write(root, &format!("{repositories_folder}/_trash/x"), "");
    write(
        root,
        &format!("{repositories_folder}/a/_manifests/tags/.hidden/current/link"),
        &link,
    );
    write(root, &format!("{repositories_folder}/a/_manifests/tags/v1.tmp"), "");
    write(root, &format!("{V2}/blobs/sha256/README"), "");
    write(root, &format!("{V2}/blobs/sha256/ab/short/data"), "");
    std::os::unix::fs::symlink("nowhere", root.join(&repositories_folder).join("dangling")).unwrap();

    let found: Vec<String> = repositories(&subject.storage)
        .await
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["a"]);
    assert_eq!(
        foreign(&subject.storage).await,
        [
            format!("{V2}/blobs/sha256/README"),
            format!("{V2}/blobs/sha256/ab/short"),
            format!("{repositories_folder}/UPPER"),
            format!("{repositories_folder}/_trash"),
            format!("{repositories_folder}/a/notes.txt"),
            format!("{repositories_folder}/dangling"),
        ]
    );
    let found = tags(&subject.storage, "a", Detail::Content).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["v1"]);
    let mut walk = subject.storage.walk().tags(&name("a"), Detail::Stat);
    let mut chunk = walk.next().await.unwrap().unwrap();
    chunk.foreign.sort();
    assert_eq!(chunk.foreign.len(), 2, "{:?}", chunk.foreign);
}

#[tokio::test]
async fn broken_links_are_reported_as_broken() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let tags_folder = format!("{V2}/repositories/a/_manifests/tags");
    write(
        root,
        &format!("{tags_folder}/good/current/link"),
        &format!("{}\n", sha256(b"m")),
    );
    write(root, &format!("{tags_folder}/empty/current/link"), "");
    write(root, &format!("{tags_folder}/words/current/link"), "not a digest");
    fs::create_dir_all(root.join(&tags_folder).join("missing")).unwrap();
    fs::create_dir_all(root.join(&tags_folder).join("folder/current/link")).unwrap();
    write(
        root,
        &format!("{tags_folder}/file/current"),
        "a file where a folder belongs",
    );
    let found = tags(&subject.storage, "a", Detail::Content).await;
    assert!(matches!(found["good"], LinkState::Whole(record) if record.digest == sha256(b"m")));
    assert!(matches!(found["empty"], LinkState::Broken(_)));
    assert!(matches!(found["words"], LinkState::Broken(_)));
    for gone in ["missing", "folder", "file"] {
        assert_eq!(found[gone], LinkState::Missing, "{gone}");
    }
    let found = tags(&subject.storage, "a", Detail::Stat).await;
    assert!(matches!(found["empty"], LinkState::Stat(fingerprint) if fingerprint.size == 0));
    assert_eq!(found["folder"], LinkState::Missing);
}

#[tokio::test]
async fn what_distribution_and_its_predecessors_leave_is_understood() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let repository = format!("{V2}/repositories/old/app");
    let hex = sha256(b"m").hex();
    let link = sha256(b"m").to_string();
    let revision = format!("{repository}/_manifests/revisions/sha256/{hex}");
    write(root, &format!("{revision}/link"), &link);
    write(root, &format!("{revision}/signatures/sha256/{hex}/link"), &link);
    // Deleted through distribution's API: the folder stays.
    let deleted = sha256(b"deleted");
    let folder = format!("{repository}/_manifests/revisions/sha256/{}", deleted.hex());
    fs::create_dir_all(root.join(folder)).unwrap();
    let long = sha512(b"layer");
    write(root, &format!("{repository}/_layers/sha512/{}/link", long.hex()), &link);
    let session = "0191a3c4-0000-7000-8000-000000000001";
    write(
        root,
        &format!("{repository}/_uploads/{session}/startedat"),
        "2024-05-06T07:08:09Z\n",
    );
    write(
        root,
        &format!("{repository}/_uploads/{session}/hashstates/sha256/0"),
        "x",
    );
    write(root, &format!("{repository}/_uploads/not-a-session/data"), "x");
    // A repository of which nothing is left but its folder.
    fs::create_dir_all(root.join(format!("{V2}/repositories/empty/_manifests/tags"))).unwrap();
    fs::create_dir_all(root.join(format!("{V2}/repositories/bare"))).unwrap();

    let found: Vec<String> = repositories(&subject.storage)
        .await
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["empty", "old/app"]);
    let found = digests(subject.storage.walk().revisions(&name("old/app"), Detail::Content)).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[&deleted], LinkState::Missing);
    let found = digests(subject.storage.walk().layers(&name("old/app"), Detail::Content)).await;
    assert!(matches!(found[&long], LinkState::Whole(record) if record.digest == sha256(b"m")));
    let sessions = subject.storage.uploads().list(&name("old/app")).await.unwrap();
    let [
        Session {
            id, started_at, size, ..
        },
    ] = &sessions[..]
    else {
        panic!("{sessions:?}")
    };
    assert_eq!(id.to_string(), session);
    assert_eq!(started_at.as_deref(), Some("2024-05-06T07:08:09Z"));
    assert_eq!(*size, None);
    subject.storage.uploads().delete(&name("old/app"), *id).await.unwrap();
    assert_eq!(subject.storage.uploads().list(&name("old/app")).await.unwrap(), []);
}

#[tokio::test]
async fn deleting_a_tag_does_not_follow_links_out_of_the_root() {
    let subject = on_disk();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    let root = subject.folder.as_ref().unwrap().path();
    let tag = format!("{V2}/repositories/a/_manifests/tags/v1");
    write(root, &format!("{tag}/current/link"), &sha256(b"m").to_string());
    std::os::unix::fs::symlink(outside.path(), root.join(&tag).join("index")).unwrap();
    let link = wharf_storage::Link::TagCurrent {
        repository: name("a"),
        tag: "v1".parse().unwrap(),
    };
    subject.storage.links().remove(&link).await.unwrap();
    assert!(!root.join(&tag).exists());
    assert_eq!(fs::read_to_string(outside.path().join("precious")).unwrap(), "x");
}
