//! From one engine to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Chunk, Origin, Purpose, begin, finish, insert, mark, read, sequences, set_sequences, unfinished, unmark};
use crate::error::Kind;
use crate::{Error, Metadata};

/// Chunks that wait to be inserted: with their size the bound of the memory it takes.
const AHEAD: usize = 4;

const OPERATION: &str = "copy the index";

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows of each table that had any, as they were counted in both.
    pub rows: BTreeMap<String, u64>,
}

impl Copied {
    /// Rows of all tables.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

enum Step {
    Rows(Chunk),
    Sequences(Vec<(String, i64)>),
}

/// Copies everything from one index, as one snapshot of it, to another, which must be empty unless
/// `force`. Until it has ended well the other one counts as unfinished. `progress` is told the
/// table and how many of its rows have arrived.
///
/// # Errors
///
/// [`Kind::Unique`] when the target is not empty; failures of either index.
pub async fn copy(
    from: &Metadata,
    to: &Metadata,
    force: bool,
    mut progress: impl FnMut(&str, u64),
) -> Result<Copied, Error> {
    refuse_same(from, to, force).await?;
    to.write(move |tx| begin(tx, Origin::Index, force)).await?;
    let (sender, receiver) = sync_channel(AHEAD);
    let reading = from.read_long(move |tx| send_all(tx, &sender));
    let writing = receive_all(to, receiver, &mut progress);
    let (read, written) = futures_util::future::join(reading, writing).await;
    // a reader whose receiver has gone only says so: the writer knows why
    let copied = written?;
    read?;
    Ok(copied)
}

/// Refuses to copy an index onto itself, by whatever names it is called: what is marked in the target
/// must not appear in the source.
async fn refuse_same(from: &Metadata, to: &Metadata, force: bool) -> Result<(), Error> {
    let refused = |why| Error::new(Kind::Other, OPERATION, why);
    if from.read(unfinished).await?.is_some() {
        return Err(refused(
            "the source is not whole: loading it was begun and never finished",
        ));
    }
    let was_marked = to.write(move |tx| mark(tx, Origin::Index, force)).await?;
    if from.read(unfinished).await?.is_none() {
        return Ok(());
    }
    if !was_marked {
        to.write(unmark).await?;
    }
    Err(refused("source and target are the same database"))
}

fn send_all(tx: &mut crate::Tx<'_>, sender: &SyncSender<Step>) -> Result<(), Error> {
    let gone = |_| Error::new(Kind::Other, OPERATION, "the target takes no more rows");
    read(tx, Purpose::Move, |chunk| sender.send(Step::Rows(chunk)).map_err(gone))?;
    let sequences = sequences(tx)?;
    sender.send(Step::Sequences(sequences)).map_err(gone)
}

async fn receive_all(
    to: &Metadata,
    receiver: Receiver<Step>,
    progress: &mut impl FnMut(&str, u64),
) -> Result<Copied, Error> {
    let mut copied = Copied::default();
    let mut receiver = receiver;
    loop {
        let step;
        (receiver, step) = next(receiver).await?;
        match step {
            Some(Step::Rows(chunk)) => {
                let rows = copied.rows.entry(chunk.table().to_owned()).or_default();
                *rows += chunk.rows();
                let (table, rows) = (chunk.table().to_owned(), *rows);
                let chunk = Arc::new(chunk);
                to.write(move |tx| insert(tx, &chunk)).await?;
                progress(&table, rows);
            }
            Some(Step::Sequences(sequences)) => {
                let rows: Vec<(String, u64)> = copied.rows.clone().into_iter().collect();
                to.write(move |tx| set_sequences(tx, &sequences)).await?;
                to.write(move |tx| finish(tx, &rows)).await?;
                return Ok(copied);
            }
            None => return Err(Error::new(Kind::Other, OPERATION, "the source ended too early")),
        }
    }
}

/// The next step, waited for on a thread that may block.
async fn next(receiver: Receiver<Step>) -> Result<(Receiver<Step>, Option<Step>), Error> {
    tokio::task::spawn_blocking(move || {
        let step = receiver.recv().ok();
        (receiver, step)
    })
    .await
    .map_err(|error| Error::new(Kind::Other, OPERATION, error))
}
