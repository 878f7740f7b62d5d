//! Full disks, read-only volumes and missing rights.

use crate::support::{content, id, name, on_disk, open, quick_folder, sha256, tag};
use bytes::Bytes;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};
use wharf_storage::{Error, ErrorKind, Fault, Link, StateName, Storage, UploadState, Verdict, filesystem};

const STARTED: &str = "2026-01-02T03:04:05Z";

/// One push, as storage sees it.
async fn push(storage: &Storage, number: u128, bytes: &Bytes) -> Result<(), Error> {
    let (repository, uploads) = (name("a/b"), storage.uploads());
    let mut writer = uploads
        .writer(&repository, id(number), STARTED, UploadState::new(false))
        .await?;
    for part in bytes.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(part)).await?;
    }
    let state = writer.finish().await?;
    let digest = uploads.publish(&repository, id(number), &state).await?;
    storage
        .blobs()
        .put(&sha256(b"manifest"), Bytes::from_static(b"manifest"))
        .await?;
    let links = storage.links();
    links
        .write(
            &Link::Layer {
                repository: repository.clone(),
                digest,
            },
            &digest,
        )
        .await?;
    let manifest = sha256(b"manifest");
    links
        .write(
            &Link::TagCurrent {
                repository,
                tag: tag("v1"),
            },
            &manifest,
        )
        .await?;
    storage
        .state()
        .write(&StateName::new("epoch").unwrap(), Bytes::from_static(b"1"))
        .await
}

async fn assert_pushed(storage: &Storage, bytes: &Bytes) {
    let size = bytes.len() as u64;
    let verdict = storage.blobs().verify(&sha256(bytes)).await.unwrap();
    assert_eq!(verdict, Verdict::Whole { size });
    let link = Link::TagCurrent {
        repository: name("a/b"),
        tag: tag("v1"),
    };
    assert_eq!(
        storage.links().read(&link).await.unwrap().unwrap().digest,
        sha256(b"manifest")
    );
}

#[tokio::test]
async fn a_push_that_fails_at_any_step_says_why_and_succeeds_once_the_fault_is_gone() {
    let bytes = content(1_300_000);
    for (fault, kind, cached) in [
        (Fault::DiskFull, ErrorKind::NoSpace, u64::MAX),
        (Fault::ReadOnly, ErrorKind::ReadOnly, u64::MAX),
        (Fault::DiskFull, ErrorKind::NoSpace, 0),
    ] {
        for steps in 0.. {
            let folder = quick_folder();
            let config = filesystem::Config {
                root: folder.path().to_owned(),
            };
            let (storage, recorder) = Storage::recorded(config).unwrap();
            let storage = storage.caching(cached);
            recorder.fail_after(steps, fault);
            let outcome = push(&storage, 1, &bytes).await;
            let has_failed = recorder.has_failed();
            recorder.recover();
            if let Err(error) = outcome {
                assert_eq!(error.kind(), kind, "{error}");
                push(&storage, 2, &bytes).await.unwrap();
            }
            assert_pushed(&storage, &bytes).await;
            if !has_failed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_the_disk_was_full() {
    let bytes = content(3_000_000);
    for (steps, cached) in (0..12).flat_map(|steps| [(steps, u64::MAX), (steps, 0)]) {
        let folder = quick_folder();
        let config = filesystem::Config {
            root: folder.path().to_owned(),
        };
        let (storage, recorder) = Storage::recorded(config).unwrap();
        let storage = storage.caching(cached);
        let uploads = storage.uploads();
        let empty = UploadState::new(false);
        let mut writer = uploads.writer(&name("a"), id(1), STARTED, empty).await.unwrap();
        recorder.fail_after(steps, Fault::DiskFull);
        let mut outcome = Ok(());
        for part in bytes.chunks(200_000) {
            outcome = writer.write(Bytes::copy_from_slice(part)).await;
            if outcome.is_err() {
                break;
            }
        }
        let outcome = match outcome {
            Ok(()) => writer.finish().await.map(drop),
            failed => failed,
        };
        let good = writer.state().clone();
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            writer
                .write(content(1))
                .await
                .expect_err("a broken writer must not pretend");
            writer.finish().await.expect_err("a broken writer must not pretend");
        }
        recorder.recover();
        let rest = bytes.slice(usize::try_from(good.offset()).unwrap()..);
        let mut writer = uploads.writer(&name("a"), id(1), STARTED, good).await.unwrap();
        writer.write(rest).await.unwrap();
        let state = writer.finish().await.unwrap();
        let digest = uploads.publish(&name("a"), id(1), &state).await.unwrap();
        assert_eq!(digest, sha256(&bytes));
        let verdict = storage.blobs().verify(&digest).await.unwrap();
        assert_eq!(verdict, Verdict::Whole { size: 3_000_000 });
    }
}

#[tokio::test]
async fn an_upload_goes_through_the_page_cache_where_the_way_past_it_is_refused() {
    let bytes = content(4_300_001);
    for steps in 0..12 {
        let folder = quick_folder();
        let config = filesystem::Config {
            root: folder.path().to_owned(),
        };
        let (storage, recorder) = Storage::recorded(config).unwrap();
        let storage = storage.caching(0);
        recorder.fail_after(steps, Fault::NoDirectWrites);
        push(&storage, 1, &bytes).await.unwrap();
        assert_pushed(&storage, &bytes).await;
    }
}

#[tokio::test]
async fn a_disk_that_is_really_full_is_told_as_such() {
    // The device that is always full stands in for the data file.
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    let folder = root
        .join("docker/registry/v2/repositories/a/_uploads")
        .join(id(1).to_string());
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("data")).unwrap();
    // More than a page would go past the page cache, which this device refuses.
    let storage = subject.storage.clone().caching(0);
    for size in [10, 600_000] {
        let empty = UploadState::new(false);
        let mut writer = storage
            .uploads()
            .writer(&name("a"), id(1), STARTED, empty)
            .await
            .unwrap();
        writer.write(content(size)).await.unwrap();
        let error = writer.finish().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert!(error.to_string().contains("_uploads/"), "{error}");
        assert_eq!(writer.state().offset(), 0);
    }
}

/// A small filesystem in memory, where the user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts at `folder`, which exists.
    fn mount_at(folder: &Path, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("skipped: mounting a tmpfs needs rights that this user does not have");
        }
        is_mounted
    }

    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        Self::mount_at(folder.path(), options).then(|| Self(folder))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mount = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(mount.unwrap().success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn pushes_work_again_after_space_returns_to_a_full_volume() {
    let Some(disk) = SmallDisk::mount("size=2m") else {
        return;
    };
    let storage = open(disk.path());
    push(&storage, 1, &content(600_000)).await.unwrap();
    let error = push(&storage, 2, &content(3_000_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let error = storage
        .blobs()
        .put(&sha256(b"x"), content(2_000_000))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_pushed(&storage, &content(600_000)).await;
    storage.uploads().delete(&name("a/b"), id(2)).await.unwrap();
    push(&storage, 3, &content(700_000)).await.unwrap();
    assert_pushed(&storage, &content(700_000)).await;
}

#[tokio::test]
async fn a_read_only_volume_serves_and_refuses_changes_as_such() {
    let Some(disk) = SmallDisk::mount("size=8m") else {
        return;
    };
    let storage = open(disk.path());
    let bytes = content(300_000);
    push(&storage, 1, &bytes).await.unwrap();
    disk.remount("ro");
    assert_pushed(&storage, &bytes).await;
    assert!(storage.state().volume().await.unwrap().unwrap().is_read_only);
    let link = Link::TagCurrent {
        repository: name("a/b"),
        tag: tag("v1"),
    };
    for outcome in [
        push(&storage, 2, &content(10)).await,
        storage.state().check().await,
        storage.links().remove(&link).await.map(drop),
        storage.blobs().delete(&sha256(&bytes)).await,
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    assert_pushed(&storage, &bytes).await;
    disk.remount("rw");
    push(&storage, 3, &content(10)).await.unwrap();
}

#[tokio::test]
async fn a_tree_with_a_volume_mounted_inside_takes_pushes() {
    let subject = on_disk();
    let registry = subject.folder.as_ref().unwrap().path().join("docker");
    fs::create_dir(&registry).unwrap();
    if !SmallDisk::mount_at(&registry, "size=8m") {
        return;
    }
    let outcome = push(&subject.storage, 1, &content(300_000)).await;
    let flushed = subject.storage.links().flush().await;
    let is_whole = subject.storage.blobs().stat(&sha256(b"manifest")).await;
    let beside = registry
        .join("registry/v2/blobs/sha256")
        .join(&sha256(b"manifest").hex()[..2]);
    let beside = fs::read_dir(beside.join(sha256(b"manifest").hex())).map(Iterator::count);
    Command::new("umount").arg(&registry).status().unwrap();
    outcome.unwrap();
    flushed.unwrap();
    assert_eq!(is_whole.unwrap(), Some(8));
    assert_eq!(beside.unwrap(), 1, "nothing temporary stays beside the blob");
}

#[tokio::test]
async fn a_folder_without_rights_is_told_with_its_place() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: rights do not bind the superuser");
        return;
    }
    let subject = on_disk();
    let root = subject.folder.as_ref().unwrap().path();
    push(&subject.storage, 1, &content(10)).await.unwrap();
    let hex = sha256(&content(10)).hex();
    let file = root.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let error = subject.storage.blobs().open(&sha256(&content(10))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains(&hex), "{error}");
    let temporaries = root.join("wharf/tmp");
    fs::set_permissions(&temporaries, Permissions::from_mode(0o500)).unwrap();
    let error = push(&subject.storage, 2, &content(11)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    fs::set_permissions(&temporaries, Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_folder_where_a_blob_belongs_is_damage_not_absence() {
    let subject = on_disk();
    let hex = sha256(b"x").hex();
    let root = subject.folder.as_ref().unwrap().path();
    let place = root.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    fs::create_dir_all(place).unwrap();
    let error = subject.storage.blobs().open(&sha256(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
