//! Making links follow where several processes do: an entry is claimed, written, and settled before
//! the answer.

use wharf_metadata::{Entry, mirror, tags, trash};

use super::claims::{Claimed, Claims};
use super::{BATCH, Key, Mirror, Settled, fingerprint_row};
use crate::Result;

impl Mirror {
    /// Where several processes write: works off what one of them has left that died, and writes once
    /// more what was taken over from it. Called in intervals of some seconds; answers how many entries
    /// there were.
    ///
    /// # Errors
    ///
    /// As [`Mirror::settle`], after every entry was tried.
    pub async fn recover_left(&self) -> Result<usize> {
        let Some(claims) = &self.claims else { return Ok(0) };
        let left = claims.left().await?;
        let mut outcome = Ok(left.len());
        for (repository_id, entry) in left {
            let settled = self.settle_claimed(claims, repository_id, &[entry]).await;
            outcome = outcome.and_then(|count| settled.map(|_| count));
        }
        let files = self.metadata.read(|tx| trash::pending_files(tx, BATCH)).await?;
        for file in &files {
            self.settle_file(file).await?;
        }
        outcome.map(|count| count + files.len())
    }

    /// [`Mirror::settle`] where several processes write. Answers whether any of the entries was
    /// pending: one that the caller has not raised was left by a request that got no answer.
    pub(super) async fn settle_claimed(&self, claims: &Claims, repository_id: i64, entries: &[Entry]) -> Result<bool> {
        let mut sorted = entries.to_vec();
        sorted.sort();
        sorted.dedup();
        let mut turns = Vec::with_capacity(sorted.len());
        for entry in &sorted {
            turns.push(self.locks.lock((repository_id, entry.clone())).await);
        }
        let claimed = claims.claim(repository_id, &sorted).await?;
        if claimed.entries.is_empty() {
            let mut owed = self.owed();
            return Ok(entries
                .iter()
                .any(|entry| owed.remove(&(repository_id, entry.clone())).is_some()));
        }
        let mut written = Vec::new();
        let mut outcome = Ok(());
        // in the order of the caller: a tag after its manifest
        for entry in entries.iter().filter(|entry| claimed.entries.contains(entry)) {
            let key = (repository_id, entry.clone());
            match self.follow_claimed(claims, &claimed, &key).await {
                Ok(settled) => {
                    self.owed().remove(&key);
                    written.extend(settled);
                }
                Err(error) => outcome = Err(self.owe(&key, &error)),
            }
        }
        self.end_claims(claims, repository_id, (claimed, written)).await?;
        outcome.map(|()| true)
    }

    /// Makes the storage equal to the index while the claim lasts; `None` where there is no
    /// repository any more.
    async fn follow_claimed(&self, claims: &Claims, claimed: &Claimed, key: &Key) -> Result<Option<Settled>> {
        let Some(wanted) = self.wanted(key).await? else {
            self.drop_orphan(key).await?;
            return Ok(None);
        };
        let Some(version) = wanted.version else { return Ok(None) };
        claims.check(claimed)?;
        let link = self.make(key, &wanted).await?;
        Ok(Some(Settled {
            key: key.clone(),
            version,
            link,
        }))
    }

    /// Forgets what was written, durably, and lets everything go.
    async fn end_claims(
        &self,
        claims: &Claims,
        repository_id: i64,
        (claimed, written): (Claimed, Vec<Settled>),
    ) -> Result<()> {
        self.storage.links().flush().await?;
        let (holder, now) = (claims.holder(), claims.now());
        let ended = self.metadata.write(move |tx| {
            for settled in &written {
                if let Some((tag, digest, fingerprint)) = &settled.link {
                    let seen = (tag.clone(), *digest, fingerprint_row(fingerprint));
                    tags::set_links(tx, repository_id, &[seen])?;
                }
            }
            for settled in &written {
                mirror::settle_claimed(tx, repository_id, &settled.key.1, settled.version, (&holder, now))?;
            }
            // what could not be written is for others to try too
            mirror::release(tx, repository_id, &claimed.entries, &holder)
        });
        Ok(ended.await?)
    }
}
