use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf::shutdown::{Shutdown, Tasks};

use crate::support::PATIENCE;

#[tokio::test]
async fn tasks_are_told_to_stop_and_waited_for() {
    let tasks = Tasks::new(Shutdown::new());
    let done = Arc::new(AtomicBool::new(false));
    let (theirs, shutdown) = (Arc::clone(&done), tasks.shutdown().clone());
    tasks.spawn("tidy", async move {
        shutdown.stopping().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        theirs.store(true, Ordering::Relaxed);
    });
    assert!(!tasks.shutdown().is_stopping());
    tasks.shutdown().begin();
    assert!(tasks.finish(PATIENCE).await.is_empty());
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_task_that_does_not_stop_is_named() {
    let tasks = Tasks::new(Shutdown::new());
    tasks.spawn("good", async {});
    tasks.spawn("stubborn", std::future::pending());
    tasks.shutdown().begin();
    assert_eq!(tasks.finish(Duration::from_millis(50)).await, ["stubborn"]);
}

#[tokio::test]
async fn a_task_that_panics_is_not_waited_for() {
    let tasks = Tasks::new(Shutdown::new());
    tasks.spawn("faulty", async { panic!("a fault on purpose") });
    assert!(tasks.finish(PATIENCE).await.is_empty());
}
