//! Making snapshots.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use futures_util::future::join;
use wharf_metadata::transfer::{self, Purpose};
use wharf_metadata::{Tx, settings};

use super::super::create::{blocking, header};
use super::super::error::{Error, Result};
use super::super::format::{Totals, json, pack};
use super::super::key::BackupKey;
use super::files::{self, Name};
use super::{List, Outcome, Part, Snapshots, State, read};
use crate::Random;

/// The setting that says which snapshots are of this index: it goes with it into backups.
pub const LINEAGE: &str = "snapshot.lineage";
/// Parts that wait to be written.
const AHEAD: usize = 4;

/// What the reader of the index hands to the writer of the storage.
enum Step {
    New { name: String, sealed: Bytes },
    End(Box<List>),
}

impl Snapshots {
    pub(super) async fn write(&self, state: &mut State) -> Result<Outcome> {
        let lineage = self.lineage().await?;
        let known = self.known(state, &lineage).await?;
        // what is committed from now on is in it, or will be noticed again
        let changes = self.metadata.changes();
        let (sender, receiver) = sync_channel(AHEAD);
        let packer = Packer {
            key: Arc::clone(&self.key),
            random: Arc::clone(&self.random),
            known,
            sender,
        };
        let at = (self.clock)();
        let reading = self.metadata.read_long(move |tx| packer.send_all(tx, at));
        let (read, written) = join(reading, self.receive(state, receiver)).await;
        let (list, parts, bytes) = written?;
        read?;
        let is_same = state
            .newest
            .as_ref()
            .is_some_and(|newest| newest.parts == list.parts && newest.totals == list.totals);
        if is_same {
            state.is_saved(changes);
            return Ok(Outcome::Unchanged);
        }
        let name = Name::new(&lineage, at)?;
        let sealed = files::seal(&json(&list)?, &self.key, &self.random)?;
        self.storage.state().write(&name.file, sealed).await?;
        state.newest = Some(list);
        state.is_saved(changes);
        self.prune(state, &lineage).await?;
        Ok(Outcome::Made { parts, bytes })
    }

    /// The name that the snapshots of this index have in common.
    async fn lineage(&self) -> Result<String> {
        if let Some(lineage) = self.metadata.read(|tx| settings::get_text(tx, LINEAGE)).await? {
            return Ok(lineage);
        }
        let mut bytes = [0; 8];
        (self.random)(&mut bytes);
        let lineage: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let new = lineage.clone();
        let written = self
            .metadata
            .write(move |tx| settings::set(tx, LINEAGE, new.as_bytes()));
        let () = written.await?;
        Ok(lineage)
    }

    /// The parts that are there; the first time also the newest snapshot of this index.
    async fn known(&self, state: &mut State, lineage: &str) -> Result<HashSet<String>> {
        if let Some(parts) = &state.parts {
            return Ok(parts.clone());
        }
        let parts: HashSet<String> = files::parts(&self.storage).await?.into_iter().collect();
        let names = files::names(&self.storage).await?;
        if let Some(name) = names.iter().find(|name| name.lineage == lineage) {
            // one that cannot be read is as good as none: the next one is whole again
            state.newest = read::list(&self.storage, name, &self.key).await.ok();
        }
        state.parts = Some(parts.clone());
        Ok(parts)
    }

    /// Writes the parts that are new, each durable before the list that names it.
    async fn receive(&self, state: &mut State, receiver: Receiver<Step>) -> Result<(List, usize, u64)> {
        let (mut parts, mut bytes, mut receiver) = (0, 0, receiver);
        loop {
            let step;
            (receiver, step) = blocking(move || {
                let step = receiver.recv().map_err(|_| Error::Interrupted);
                Ok((receiver, step))
            })
            .await?;
            match step? {
                Step::New { name, sealed } => {
                    parts += 1;
                    bytes += sealed.len() as u64;
                    self.storage.state().write(&files::part(&name)?, sealed).await?;
                    state.parts.get_or_insert_default().insert(name);
                }
                Step::End(list) => return Ok((*list, parts, bytes)),
            }
        }
    }

    /// Removes the oldest snapshots of this index, and the parts that none has any more.
    async fn prune(&self, state: &mut State, lineage: &str) -> Result<()> {
        let names = files::names(&self.storage).await?;
        let (mut kept, mut own, mut is_any_gone) = (Vec::new(), 0, false);
        for name in names {
            own += usize::from(name.lineage == lineage);
            if name.lineage == lineage && own > self.rules.keep {
                self.storage.state().remove(&name.file).await?;
                is_any_gone = true;
            } else {
                kept.push(name);
            }
        }
        if !is_any_gone {
            return Ok(());
        }
        let mut needed = HashSet::new();
        for name in &kept {
            match read::list(&self.storage, name, &self.key).await {
                Ok(list) => needed.extend(list.parts.into_iter().map(|part| part.name)),
                // what it needs is not known, so nothing can be spared
                Err(error) => {
                    tracing::debug!(snapshot = name.file.as_str(), %error, "no part of a snapshot is removed");
                    return Ok(());
                }
            }
        }
        let all = state.parts.take().unwrap_or_default();
        let (left, unneeded): (HashSet<_>, Vec<_>) = {
            let (left, unneeded): (Vec<_>, Vec<_>) = all.into_iter().partition(|name| needed.contains(name));
            (left.into_iter().collect(), unneeded)
        };
        for name in unneeded {
            self.storage.state().remove(&files::part(&name)?).await?;
        }
        state.parts = Some(left);
        Ok(())
    }
}

/// Turns rows into parts, on the thread that reads the index.
struct Packer {
    key: Arc<BackupKey>,
    random: Random,
    known: HashSet<String>,
    sender: SyncSender<Step>,
}

impl Packer {
    fn send_all(mut self, tx: &mut Tx<'_>, at: jiff::Timestamp) -> Result<()> {
        let header = header(tx, at)?;
        let (mut parts, mut totals) = (Vec::new(), Totals::default());
        transfer::read_stable(tx, Purpose::Snapshot, |chunk| {
            totals.add(&chunk);
            let rows = chunk.encode();
            let name = self.key.name_of(&rows)?;
            parts.push(Part {
                table: chunk.table().to_owned(),
                name: name.clone(),
            });
            if self.known.insert(name.clone()) {
                let sealed = files::seal(&pack(&rows)?, &self.key, &self.random)?;
                self.send(Step::New { name, sealed })?;
            }
            Ok::<_, Error>(())
        })?;
        totals.sequences = transfer::sequences(tx)?.into_iter().collect();
        let list = List { header, parts, totals };
        self.send(Step::End(Box::new(list)))
    }

    /// Fails when nobody writes any more, who then knows why.
    fn send(&self, step: Step) -> Result<()> {
        self.sender.send(step).map_err(|_| Error::Interrupted)
    }
}
