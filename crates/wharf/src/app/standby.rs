//! Standing by (consistency rule 9): a second process on the same folder is ready and serves reads
//! while the first one owns the index, and takes over when that one ends. So a rolling update of
//! a Deployment with one replica completes.

use std::sync::Arc;
use std::time::Duration;

use wharf_api_management::ManagementApi;
use wharf_registry::adoption::Adoption;
use wharf_registry::caches::Caches;

use super::{Workings, index, jobs, own};
use crate::config::Config;
use crate::shutdown::Tasks;

/// How often it is looked whether the owner has ended.
const INTERVAL: Duration = Duration::from_millis(500);

/// Takes the index as the owner writes it: nothing of it is remembered, nothing is compared.
pub(super) fn begin(caches: &Caches, adoption: &Adoption) {
    caches.set_exact(false);
    adoption.trust();
}

/// Waits for the owner to end and takes over.
pub(super) fn start(config: &Config, tasks: &Tasks, workings: &Workings, duties: (Arc<ManagementApi>, jobs::Engine)) {
    tracing::info!("another process owns the index: this one stands by, serves pulls and answers pushes with 503");
    let (config, inner, workings) = (config.clone(), tasks.clone(), workings.clone());
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("standby", async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.stopping() => return,
            }
            match workings.index.take_over(&config, &workings.storage).await {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the index cannot be taken over; it is tried again"
                ),
            }
        }
        if let Err(error) = Box::pin(promote(&config, &inner, &workings, duties)).await {
            tracing::error!(
                error = format!("{error:#}"),
                "this process owns the index but cannot work with it: restart it"
            );
        }
    });
}

/// Becomes what a process is that found no other one at its start.
async fn promote(
    config: &Config,
    tasks: &Tasks,
    workings: &Workings,
    duties: (Arc<ManagementApi>, jobs::Engine),
) -> anyhow::Result<()> {
    workings.adoption.refuse();
    workings.adoption.distrust();
    index::prepare(config, workings).await?;
    workings.caches.set_exact(true);
    own(config, tasks, workings, duties).await?;
    tracing::info!("the owner has ended: this process owns the index now");
    Ok(())
}
