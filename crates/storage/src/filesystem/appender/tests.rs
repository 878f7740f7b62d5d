use super::*;
use crate::{filesystem::Disk, paths};
use tempfile::TempDir;
use uuid::Uuid;

const KIB: usize = 1 << 10;

fn appender(cached: u64) -> (TempDir, FileAppender) {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path().to_owned(), Disk::Real);
    let location = paths::upload_data(&"a".parse().unwrap(), Uuid::from_u128(1));
    let appender = FileAppender::open(&tree, location, 0, cached).unwrap();
    (folder, appender)
}

/// `length` bytes that begin `step` bytes behind a page in memory.
fn memory(buffer: &mut Vec<u8>, step: usize, length: usize) -> &[u8] {
    *buffer = vec![7; length + 2 * ALIGNMENT];
    let start = (ALIGNMENT + step - buffer.as_ptr().addr() % ALIGNMENT) % ALIGNMENT;
    &buffer[start..start + length]
}

#[test]
fn whole_pages_behind_the_cached_size_go_past_the_cache() {
    let mut buffer = Vec::new();
    for (offset, length, cached, part) in [
        (0, 1024 * KIB, 0, 0..1024 * KIB),
        (0, 1024 * KIB, 100, 4 * KIB..1024 * KIB),
        (0, 1024 * KIB, 4096, 4 * KIB..1024 * KIB),
        (1, 1024 * KIB, 0, 4 * KIB - 1..1024 * KIB - 1),
        (4095, 300 * KIB, 0, 1..300 * KIB - 4095),
        (8192, 300 * KIB + 5, 4096, 0..300 * KIB),
        (0, 1024 * KIB, u64::MAX, 0..0),
        (0, 1024 * KIB, 1 << 20, 0..0),
        (0, 1024 * KIB, 900 << 10, 0..0),
        (0, LEAST - 1, 0, 0..0),
        (0, LEAST, 0, 0..LEAST),
        (1, 10, 0, 0..0),
        (0, 0, 0, 0..0),
    ] {
        let (_folder, appender) = appender(cached);
        let bytes = memory(&mut buffer, offset as usize % ALIGNMENT, length);
        assert_eq!(appender.direct_part(offset, bytes), part, "{offset} {length} {cached}");
    }
}

#[test]
fn bytes_that_lie_askew_in_memory_go_through_the_cache() {
    let (_folder, appender) = appender(0);
    let mut buffer = Vec::new();
    let bytes = memory(&mut buffer, 8, 1024 * KIB);
    assert_eq!(appender.direct_part(0, bytes), 0..0);
    appender.write(0, bytes).unwrap();
    assert_eq!(*lock(&appender.way), Way::Untried);
    assert_eq!(appender.file.metadata().unwrap().len(), 1 << 20);
}

#[test]
fn the_descriptor_returns_to_the_cache_for_what_is_not_aligned() {
    let (_folder, appender) = appender(0);
    let mut buffer = Vec::new();
    let bytes = memory(&mut buffer, 0, 300 * KIB + 1);
    appender.write(0, bytes).unwrap();
    let way = *lock(&appender.way);
    // Where the filesystem knows no other way, it stays with the cache.
    assert!(matches!(way, Way::Cached | Way::CachedOnly), "{way:?}");
    let flags = rustix::fs::fcntl_getfl(&appender.file).unwrap();
    assert!(!flags.contains(OFlags::DIRECT));
}
