//! Storages to test, and what every test needs.

use crate::objects::{self, Bucket};
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256, Sha512};
use tempfile::TempDir;
use uuid::Uuid;
use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_storage::{BlobReader, Storage, filesystem, s3};

/// A storage and the folder or the bucket that it lies in, if any.
pub struct Subject {
    pub storage: Storage,
    pub folder: Option<TempDir>,
    pub bucket: Option<Bucket>,
}

impl Subject {
    /// Whether it has files and folders, or what looks the same.
    pub fn has_folders(&self) -> bool {
        self.bucket.is_none()
    }
}

/// One storage of every kind, and a folder where uploads go past the page cache from their first
/// byte on.
pub fn every_kind() -> Vec<Subject> {
    let mut all = vec![
        Subject {
            storage: Storage::memory(),
            folder: None,
            bucket: None,
        },
        on_disk(),
        past_the_cache(quick_folder()),
    ];
    if objects::is_wanted() {
        all.push(in_bucket());
    }
    all
}

/// The kinds whose uploads are files.
pub fn with_files() -> Vec<Subject> {
    every_kind().into_iter().filter(Subject::has_folders).collect()
}

/// A storage in a prefix of a new bucket.
pub fn in_bucket() -> Subject {
    let bucket = objects::bucket();
    Subject {
        storage: Storage::s3(&settings(&bucket)).unwrap(),
        folder: None,
        bucket: Some(bucket),
    }
}

/// How a bucket is used.
pub fn settings(bucket: &Bucket) -> s3::Settings {
    s3::Settings {
        bucket: bucket.name().to_owned(),
        region: objects::REGION.to_owned(),
        endpoint: Some(bucket.server().endpoint()),
        root: "/images/of/ours/".to_owned(),
        credentials: s3::Credentials::Static(s3::Keys {
            access_key: objects::ACCESS_KEY.to_owned(),
            secret_key: objects::SECRET_KEY.to_owned(),
            session_token: None,
        }),
        ..s3::Settings::default()
    }
}

/// A storage whose uploads go past the page cache from their first byte on.
pub fn past_the_cache(folder: TempDir) -> Subject {
    Subject {
        storage: open(folder.path()).caching(0),
        folder: Some(folder),
        bucket: None,
    }
}

/// A storage in a new folder.
pub fn on_disk() -> Subject {
    let folder = quick_folder();
    let storage = open(folder.path());
    Subject {
        storage,
        folder: Some(folder),
        bucket: None,
    }
}

/// A folder where syncing costs nothing, for tests that do it thousands of times.
pub fn quick_folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

/// The storage in a folder.
pub fn open(folder: &std::path::Path) -> Storage {
    Storage::filesystem(filesystem::Config {
        root: folder.to_owned(),
    })
    .unwrap()
}

pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::Sha256(Sha256::digest(bytes).into())
}

pub fn sha512(bytes: &[u8]) -> Digest {
    Digest::Sha512(Sha512::digest(bytes).into())
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// `length` bytes that differ from place to place.
pub fn content(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Everything that a range of a reader streams.
pub async fn collect(reader: &BlobReader, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut stream = reader.stream(range);
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    bytes
}
