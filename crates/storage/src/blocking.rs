//! The one place that hands work to the runtime's pool of blocking threads.

use crate::{Error, ErrorKind, Result};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::task::JoinHandle;

/// Work that runs on a blocking thread, to its end even when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Job<T>(JoinHandle<T>);

/// Starts `work` at once.
pub(crate) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Job<T> {
    Job(tokio::task::spawn_blocking(work))
}

impl<T> Job<T> {
    /// Whether waiting for it takes no time.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Runs `work` and waits for it.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    start(work).await?
}

impl<T> Future for Job<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).map_err(|error| {
            // A cancelled job means that the runtime is shutting down.
            let kind = if error.is_cancelled() {
                ErrorKind::Unavailable
            } else {
                ErrorKind::Other
            };
            Error::because(kind, "finish", "a storage task", error)
        }))
    }
}
