//! Bytes under their sha256.

use crate::support::{self, collect, content, every_kind, sha256};
use bytes::Bytes;
use wharf_storage::{ErrorKind, Verdict};

#[tokio::test]
async fn a_blob_that_was_put_can_be_read_whole_and_in_part() {
    for subject in every_kind() {
        let blobs = subject.storage.blobs();
        let bytes = content(1_000_003);
        let digest = sha256(&bytes);
        assert_eq!(blobs.stat(&digest).await.unwrap(), None);
        assert!(blobs.open(&digest).await.unwrap().is_none());

        blobs.put(&digest, bytes.clone()).await.unwrap();

        assert_eq!(blobs.stat(&digest).await.unwrap(), Some(1_000_003));
        assert_eq!(blobs.read(&digest, 2_000_000).await.unwrap().unwrap(), bytes);
        let reader = blobs.open(&digest).await.unwrap().unwrap();
        assert_eq!(reader.size(), 1_000_003);
        assert_eq!(collect(&reader, 0..reader.size()).await, bytes);
        assert_eq!(collect(&reader, 262_143..600_001).await, bytes[262_143..600_001]);
        assert_eq!(collect(&reader, 999_999..u64::MAX).await, bytes[999_999..]);
        assert_eq!(collect(&reader, 5..5).await, b"");
        assert_eq!(collect(&reader, 2_000_000..3_000_000).await, b"");
        let size = 1_000_003;
        assert_eq!(blobs.verify(&digest).await.unwrap(), Verdict::Whole { size });
    }
}
