//! Where tests write.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

/// A folder that is gone with the test, where syncing costs nothing if there is such a place.
pub fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    made.expect("a temporary folder")
}

/// The digests of all bytes that a storage folder holds.
pub fn stored_blobs(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join("docker/registry/v2/blobs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let name = folder.file_name().expect("a folder with a name").to_string_lossy();
                found.insert(format!("sha256:{name}"));
            }
        }
    }
    found
}
