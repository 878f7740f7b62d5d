//! What a process that died left in deletion.

use wharf_metadata::garbage_collection::{self as queue, Pass};
use wharf_metadata::{Metadata, Timestamp};
use wharf_storage::Storage;

use crate::Result;

/// Rows that are settled in one go.
const BATCH: usize = 200;
/// Who settles them.
const OWNER: &str = "start";

/// Settles blobs that were being deleted when the last process ended: those whose bytes are still
/// there are present again with a fresh grace period, for somebody else may have used them since;
/// the others are forgotten. For the only process that works on the storage, before it begins.
/// Answers how many there were.
///
/// # Errors
///
/// Storage or index fail.
pub async fn recover_deleting(metadata: &Metadata, storage: &Storage, now: jiff::Timestamp) -> Result<usize> {
    let pass = Pass {
        owner: OWNER.to_owned(),
        epoch: 0,
        now: now.into(),
        grace: 0,
        untagged_after: None,
        deadline: now.into(),
    };
    let mut total = 0;
    loop {
        let take = pass.clone();
        let taken = metadata
            .write(move |tx| queue::deleting_overdue(tx, &take, Timestamp(i64::MAX), BATCH))
            .await?;
        if taken.is_empty() {
            return Ok(total);
        }
        total += taken.len();
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for blob in taken {
            match storage.blobs().stat(&blob.sha256).await? {
                None => gone.push(blob),
                Some(_) => kept.push(blob),
            }
        }
        // durably gone, before their rows are
        let digests = gone.iter().map(|blob| blob.sha256).collect();
        storage.blobs().delete_all(digests).await?;
        let now = pass.now;
        let settled = metadata.write(move |tx| {
            queue::abandon_deleting(tx, &kept, OWNER, (now, now))?;
            queue::finish_deleting(tx, &gone, OWNER)?;
            // what is left is held by something although its bytes are gone: pulls say so
            queue::abandon_deleting(tx, &gone, OWNER, (now, now))
        });
        let _lost: usize = settled.await?;
    }
}
