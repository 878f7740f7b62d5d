//! Where tests write.

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
