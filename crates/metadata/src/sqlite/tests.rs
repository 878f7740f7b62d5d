//! What only the inside can provoke: a full disk.

use std::sync::{Arc, atomic::AtomicI64};

use super::{Config, Writer, job, open_writer};
use crate::error::Kind;
use crate::{Error, Tx, settings};

/// A writer whose database may grow by little only.
fn writer_on_a_small_disk(folder: &tempfile::TempDir) -> Writer {
    let connection = open_writer(&Config::new(folder.path().join("index.db"))).unwrap();
    let pages: i64 = connection.query_row("pragma page_count", (), |row| row.get(0)).unwrap();
    connection
        .execute_batch(&format!("pragma max_page_count = {}", pages + 8))
        .unwrap();
    Writer::start(connection, Arc::new(AtomicI64::new(0))).unwrap()
}

fn fill(tx: &mut Tx<'_>, number: usize, bytes: usize) -> Result<usize, Error> {
    settings::set(tx, &format!("setting {number}"), &vec![b'x'; bytes])?;
    Ok(number)
}

#[test]
fn a_job_that_fills_the_disk_is_told_so_and_its_neighbours_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer_on_a_small_disk(&folder);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (first, _) = job(move |_| {
        // ends, with an error, when the other end is dropped; this job may run twice
        let _ = held.recv();
        Ok::<(), Error>(())
    });
    writer.queue().blocking_send(first).unwrap();
    let answers: Vec<_> = (0..9)
        .map(|number| {
            let bytes = if number == 4 { 1 << 20 } else { 10 };
            let (job, answer) = job(move |tx| fill(tx, number, bytes));
            writer.queue().blocking_send(job).unwrap();
            answer
        })
        .collect();
    drop(release);
    for (number, answer) in answers.into_iter().enumerate() {
        let result = answer.blocking_recv().unwrap();
        if number == 4 {
            assert_eq!(result.unwrap_err().kind(), Kind::NoSpace);
        } else {
            assert_eq!(result.unwrap(), number);
        }
    }
    // and the writer goes on
    let (job, answer) = job(|tx| fill(tx, 10, 10));
    writer.queue().blocking_send(job).unwrap();
    answer.blocking_recv().unwrap().unwrap();
    writer.stop();
}
