//! Reading no faster than somebody wants.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far reading may run ahead of its pace before it waits.
const SLACK: Duration = Duration::from_millis(50);

/// Bounds how many bytes are read per second, over all that share it.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    /// When everything that was read so far should have been read.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many bytes per second; `None` or 0 for as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0),
            due: Mutex::new(None),
        }
    }

    /// Waits until `bytes` more may have been read.
    pub async fn wait(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let now = Instant::now();
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
            // time in which nothing was read is not made up for
            let next = due.map_or(now, |due| due.max(now)) + takes;
            *due = Some(next);
            next
        };
        if due > now + SLACK {
            tokio::time::sleep_until(due).await;
        }
    }
}
