//! The access log's fast path: requests append to a buffer in memory, a thread writes it out.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wharf_api_common::AccessRecord;

/// Lines wait at most this long.
const FLUSH_AFTER: Duration = Duration::from_millis(100);
/// More than this is written at once.
const FLUSH_AT: usize = 64 * 1024;
/// When the reader of our output is this far behind, lines are dropped and counted: a stuck log
/// collector must not stop pulls.
const MOST: usize = 8 * 1024 * 1024;

/// Writes access records.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    dropped: AtomicU64,
    zone: TimeZone,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// The second that `stamp` shows, so that time is formatted once per second.
    second: i64,
    stamp: Vec<u8>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLog {
    /// Writes to the standard output of the process, with times in its time zone.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn stdout() -> io::Result<Self> {
        Self::start(io::stdout(), TimeZone::system())
    }

    /// Writes to `out`, with times in `zone`.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn start(out: impl Write + Send + 'static, zone: TimeZone) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
            zone,
        });
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_out(&theirs, out))?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Appends one line. `now` is when the request came, as Apache and distribution have it.
    pub fn write(&self, now: Timestamp, record: &AccessRecord) {
        let mut state = self.shared.lock();
        let state = &mut *state;
        if state.lines.len() >= MOST {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if state.second != now.as_second() || state.stamp.is_empty() {
            state.second = now.as_second();
            let local = now.to_zoned(self.shared.zone.clone());
            state.stamp.clear();
            // writing into a Vec cannot fail
            let _ = write!(state.stamp, "{}", local.strftime("%d/%b/%Y:%H:%M:%S %z"));
        }
        let before = state.lines.len();
        record.write_line(&state.stamp, &mut state.lines);
        let filled = before < FLUSH_AT && state.lines.len() >= FLUSH_AT;
        if before == 0 || filled {
            self.shared.wake.notify_one();
        }
    }

    /// Lines that were dropped because nobody read the output fast enough.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is waiting and stops. Dropping does the same.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // a writer that panicked has nothing more to write
            let _ = writer.join();
        }
    }
}

fn write_out(shared: &Shared, mut out: impl Write) {
    let mut batch = Vec::with_capacity(FLUSH_AT + FLUSH_AT / 4);
    let mut reported = 0;
    loop {
        let closed = collect(shared, &mut batch);
        let written = out.write_all(&batch).and_then(|()| out.flush());
        if let Err(error) = written {
            // a closed stdout is how some people switch the log off
            tracing::debug!(%error, "cannot write the access log");
        }
        batch.clear();
        if batch.capacity() > 2 * FLUSH_AT {
            batch = Vec::with_capacity(FLUSH_AT + FLUSH_AT / 4);
        }
        let dropped = shared.dropped.load(Ordering::Relaxed);
        if dropped > reported {
            let lines = dropped - reported;
            tracing::warn!(lines, "access log lines were dropped, the output is read too slowly");
            reported = dropped;
        }
        if closed {
            return;
        }
    }
}

/// Waits for lines and swaps them out; `true` when these are the last.
fn collect(shared: &Shared, batch: &mut Vec<u8>) -> bool {
    let mut state = shared.lock();
    while state.lines.is_empty() && !state.closed {
        let woken = shared.wake.wait(state);
        state = woken.unwrap_or_else(PoisonError::into_inner);
    }
    if !state.closed && state.lines.len() < FLUSH_AT {
        let fill = |state: &mut State| !state.closed && state.lines.len() < FLUSH_AT;
        let waited = shared.wake.wait_timeout_while(state, FLUSH_AFTER, fill);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    std::mem::swap(&mut state.lines, batch);
    state.closed
}
