//! A bucket without a database server has one process, as a folder has: its index lies on that process's machine.
//! A record in the bucket says who it is, for processes on other machines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wharf_storage::{StateName, Storage};

/// How often the owner says that it lives.
pub(in crate::app) const INTERVAL: Duration = Duration::from_secs(10);
/// An owner that lives says so more often than this.
const SIGN_OF_LIFE: Duration = Duration::from_secs(25);
/// The name of what tells this machine's folder from others.
const NAME: &str = "owner";

/// Who works on a bucket.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Record {
    /// of the folder that the index lies in
    index: String,
    /// for people
    detail: String,
    /// raised as long as the process lives
    beat: u64,
}

/// This process's claim on a bucket.
pub(in crate::app) struct Claim {
    storage: Storage,
    index: String,
    beat: AtomicU64,
}

impl Claim {
    /// Takes the bucket `storage` for the index beside which `local` lies and is locked.
    pub(in crate::app) async fn take(storage: &Storage, local: &Storage) -> Result<Self> {
        let claim = Self {
            storage: storage.clone(),
            index: index_name(local).await?,
            beat: AtomicU64::new(0),
        };
        if let Some(before) = claim.read().await?
            && before.index != claim.index
        {
            tracing::info!(
                owner = before.detail,
                "another process has worked on the bucket: looking whether it lives"
            );
            tokio::time::sleep(SIGN_OF_LIFE).await;
            if claim.read().await?.is_some_and(|after| after != before) {
                bail!(
                    "another wharf process works on this bucket with an index of its own ({}): stop it, or give both \
                     the same database server (database.url)",
                    before.detail
                );
            }
        }
        claim.write().await?;
        Ok(claim)
    }

    /// Says that this process lives. `false` when another one has taken the bucket.
    pub(in crate::app) async fn renew(&self) -> Result<bool> {
        if self.read().await?.is_some_and(|record| record.index != self.index) {
            return Ok(false);
        }
        self.write().await?;
        Ok(true)
    }

    /// Lets the next one begin at once.
    pub(in crate::app) async fn release(&self) -> Result<()> {
        if self.read().await?.is_some_and(|record| record.index == self.index) {
            self.storage.state().remove(&name()?).await?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Option<Record>> {
        let bytes = self.storage.state().read(&name()?).await?;
        // what is no record is nobody's
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    async fn write(&self) -> Result<()> {
        let record = Record {
            index: self.index.clone(),
            detail: format!("process {} of wharf {}", std::process::id(), crate::app::VERSION),
            beat: self.beat.fetch_add(1, Ordering::Relaxed),
        };
        let text = Bytes::from(serde_json::to_vec(&record)?);
        Ok(self.storage.state().write(&name()?, text).await?)
    }
}

fn name() -> Result<StateName> {
    StateName::new(NAME).context("no legal name")
}

/// What tells the folder of the index from all others; made when it is missing.
async fn index_name(local: &Storage) -> Result<String> {
    if let Some(bytes) = local.state().read(&name()?).await? {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let mut nonce = [0_u8; 16];
    (crate::app::random())(&mut nonce);
    let text: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    local.state().write(&name()?, Bytes::from(text.clone())).await?;
    Ok(text)
}
