//! Our own small files.

use crate::support::{every_kind, on_disk, open};
use bytes::Bytes;
use wharf_storage::{ErrorKind, StateName};

fn file(text: &str) -> StateName {
    StateName::new(text).unwrap()
}

#[tokio::test]
async fn a_state_file_keeps_its_latest_content() {
    for subject in every_kind() {
        let state = subject.storage.state();
        assert_eq!(state.read(&file("identity.json")).await.unwrap(), None);
        for text in ["{}", "{\"a\":1}", ""] {
            state
                .write(&file("identity.json"), Bytes::from_static(text.as_bytes()))
                .await
                .unwrap();
            assert_eq!(state.read(&file("identity.json")).await.unwrap().unwrap(), text);
        }
        state.remove(&file("identity.json")).await.unwrap();
        state.remove(&file("identity.json")).await.unwrap();
        assert_eq!(state.read(&file("identity.json")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn state_files_are_listed_by_folder() {
    for subject in every_kind() {
        let state = subject.storage.state();
        assert_eq!(state.list(&file("types")).await.unwrap(), []);
        for name in ["types/b", "types/a", "other/c"] {
            state.write(&file(name), Bytes::new()).await.unwrap();
        }
        assert_eq!(
            state.list(&file("types")).await.unwrap(),
            [file("types/a"), file("types/b")]
        );
    }
}

#[tokio::test]
async fn a_lock_is_held_by_one_at_a_time() {
    for subject in every_kind() {
        if !subject.has_folders() {
            let error = subject.storage.state().lock(&file("owner.lock")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            continue;
        }
        let second = match &subject.folder {
            Some(folder) => open(folder.path()),
            None => subject.storage.clone(),
        };
        let lock = subject.storage.state().lock(&file("owner.lock")).await.unwrap();
        assert!(lock.is_some());
        assert!(second.state().lock(&file("owner.lock")).await.unwrap().is_none());
        assert!(second.state().lock(&file("other.lock")).await.unwrap().is_some());
        drop(lock);
        assert!(second.state().lock(&file("owner.lock")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_healthy_storage_passes_its_check() {
    for subject in every_kind() {
        subject.storage.state().check().await.unwrap();
        subject.storage.state().check().await.unwrap();
    }
}

#[tokio::test]
async fn a_local_folder_tells_its_volume_and_own_folder() {
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let volume = subject.storage.state().volume().await.unwrap().unwrap();
    assert!(volume.free > 0 && volume.free <= volume.total, "{volume:?}");
    assert!(!volume.is_read_only);
    let own = subject.storage.state().folder().await.unwrap().unwrap();
    assert_eq!(own, root.join("wharf"));
    assert!(own.is_dir());
    let storage = open(&root.join("not/yet"));
    assert_eq!(storage.state().volume().await.unwrap().unwrap().total, volume.total);
    assert!(!root.join("not").exists(), "looking makes nothing");
}
