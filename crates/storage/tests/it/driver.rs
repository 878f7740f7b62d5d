//! What every driver does with bytes at places, below blobs, uploads and links.

use crate::support::{collect, every_kind, id, name, tag};
use bytes::Bytes;
use wharf_storage::{
    ErrorKind,
    driver::{ByteStore, Durability, Removal, Stat},
    paths,
};

#[tokio::test]
async fn a_put_replaces_an_object_as_a_whole() {
    for subject in every_kind() {
        let driver = subject.storage.driver();
        let place = paths::tag_current(&name("a"), &tag("v1"));
        assert_eq!(driver.get(&place, 100).await.unwrap(), None);
        assert_eq!(driver.stat(&place).await.unwrap(), None);
        let reader = {
            driver
                .put(&place, Bytes::from_static(b"first"), Durability::Now)
                .await
                .unwrap();
            driver.open(&place).await.unwrap().unwrap()
        };
        for durability in [Durability::Now, Durability::Batched, Durability::Lazy] {
            let text = Bytes::from(format!("{durability:?}"));
            let written = driver.put(&place, text.clone(), durability).await.unwrap();
            let object = driver.get(&place, 100).await.unwrap().unwrap();
            assert_eq!((object.bytes, object.fingerprint), (text, written.fingerprint));
            assert_eq!(
                driver.stat(&place).await.unwrap(),
                Some(Stat::File(written.fingerprint))
            );
        }
        if subject.has_folders() {
            assert_eq!(collect(&reader, 0..5).await, b"first", "a reader keeps what it opened");
        } else {
            let error = reader.start(0..5).await.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corrupt,
                "nothing else is read in its place: {error}"
            );
        }
        let folder = paths::tag(&name("a"), &tag("v1"));
        assert!(matches!(driver.stat(&folder).await.unwrap(), Some(Stat::Folder { .. })));
    }
}

#[tokio::test]
async fn appending_cuts_at_its_offset_and_refuses_a_gap() {
    for subject in every_kind() {
        let driver = subject.storage.driver();
        let place = paths::upload_data(&name("a"), id(1));
        if !subject.has_folders() {
            let error = driver.append(&place, 0, None).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            continue;
        }
        let appender = driver.append(&place, 0, None).await.unwrap();
        let expected: String = (0..3000).map(|number| number.to_string()).collect();
        appender.write(0, expected.as_bytes()).unwrap();
        let whole = driver.get(&place, 100_000).await.unwrap().unwrap().bytes;
        assert_eq!(whole, expected);
        drop(driver.append(&place, 4, None).await.unwrap());
        assert_eq!(driver.get(&place, 100_000).await.unwrap().unwrap().bytes, expected[..4]);
        let error = driver.append(&place, 5, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let missing = paths::upload_data(&name("a"), id(2));
        assert_eq!(
            driver.append(&missing, 1, None).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(driver.stat(&missing).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_rename_moves_and_replaces() {
    for subject in every_kind() {
        let driver = subject.storage.driver();
        let from = paths::upload_data(&name("a"), id(1));
        let to = paths::tag_current(&name("b/c"), &tag("v1"));
        for text in ["one", "two"] {
            driver
                .put(&from, Bytes::from_static(text.as_bytes()), Durability::Now)
                .await
                .unwrap();
            driver.rename(&from, &to, None).await.unwrap();
            assert_eq!(driver.get(&to, 10).await.unwrap().unwrap().bytes, text);
            assert_eq!(driver.stat(&from).await.unwrap(), None);
        }
        let error = driver.rename(&from, &to, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(driver.get(&to, 10).await.unwrap().unwrap().bytes, "two");
    }
}

#[tokio::test]
async fn deleting_prunes_as_far_as_it_is_told_and_folders_are_empty() {
    for subject in every_kind() {
        let driver = subject.storage.driver();
        let (v1, v2) = (tag("v1"), tag("v2"));
        let repository = name("a");
        for tag in [&v1, &v2] {
            let place = paths::tag_current(&repository, tag);
            driver
                .put(&place, Bytes::from_static(b"x"), Durability::Lazy)
                .await
                .unwrap();
        }
        let file = paths::tag_current(&repository, &v1);
        let prune = 5;
        driver
            .delete(vec![Removal { file, prune }], Durability::Now, None)
            .await
            .unwrap();
        assert_eq!(driver.stat(&paths::tag(&repository, &v1)).await.unwrap(), None);
        assert!(driver.stat(&paths::tag(&repository, &v2)).await.unwrap().is_some());
        let file = paths::tag_current(&repository, &v2);
        driver
            .delete(vec![Removal { file, prune: 0 }], Durability::Now, None)
            .await
            .unwrap();
        let is_left = driver.stat(&paths::tag(&repository, &v2)).await.unwrap().is_some();
        assert_eq!(is_left, subject.has_folders());
        driver
            .delete_folder(&paths::repository(&repository), Durability::Now)
            .await
            .unwrap();
        driver
            .delete_folder(&paths::repository(&repository), Durability::Now)
            .await
            .unwrap();
        assert_eq!(driver.stat(&paths::tags(&repository)).await.unwrap(), None);
        if subject.has_folders() {
            assert_eq!(driver.list(&paths::repositories()).next().await.unwrap(), None);
        }
    }
}
