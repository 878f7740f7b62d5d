//! The management API on the machine's own socket: whoever may open it is the operator.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use wharf_api_common::{Answered, Body};
use wharf_api_management::index::{Accepted, IndexKeeper, Role};
use wharf_api_management::{Caller, Failure, ManagementApi, Resources};
use wharf_registry::catalog::Catalog;
use wharf_registry::tag::Tags;

use super::Workings;
use super::handler::{finished, not_answered};
use crate::config::Config;
use crate::listen::{self, Address, ConnectionInfo, Handler, Listener};
use crate::shutdown::Tasks;

/// Makes the API over what runs in this process.
pub(super) fn api(config: &Config, tasks: &Tasks, workings: &Workings) -> ManagementApi {
    ManagementApi::new(Resources {
        accounts: workings.accounts.clone(),
        jobs: workings.jobs.clone(),
        collector: workings.collector.clone(),
        verification: workings.verification.clone(),
        lifecycle: workings.lifecycle.clone(),
        catalog: Catalog::new(workings.index.metadata.clone(), workings.adoption.clone()),
        tags: Tags::new(workings.repositories.clone(), workings.index.metadata.clone()),
        index: Arc::new(Keeper {
            config: config.clone(),
            tasks: tasks.clone(),
            workings: workings.clone(),
        }),
        backups: workings.backups.clone(),
    })
}

/// What concerns the program as a whole.
struct Keeper {
    config: Config,
    tasks: Tasks,
    workings: Workings,
}

impl IndexKeeper for Keeper {
    fn accept_storage(&self) -> BoxFuture<'_, Result<Accepted, Failure>> {
        Box::pin(async {
            let accepted = super::accept_storage(&self.config, &self.tasks, &self.workings).await;
            accepted.map_err(|error| Failure::internal(format!("{error:#}")))
        })
    }

    fn role(&self) -> Role {
        match (self.workings.is_stopped, self.workings.index.is_owner()) {
            (true, _) => Role::Command,
            (false, true) => Role::Owner,
            (false, false) => Role::StandBy,
        }
    }

    fn is_trusted(&self) -> bool {
        self.workings.index.is_trusted()
    }
}

/// Listens on the socket until the process stops.
///
/// # Errors
///
/// The socket cannot be kept to its owner.
pub(super) async fn listen(socket: PathBuf, tasks: &Tasks, api: Arc<ManagementApi>) -> Result<()> {
    let config = listen::Config::new(Address::unix(&socket));
    let listener = match Listener::bind(config).await {
        Ok(listener) => listener,
        // a folder deeper than the 107 bytes that a socket's path may have is no reason not to serve
        Err(error) => {
            tracing::warn!(%error, "no administration socket: commands work only while the registry is stopped");
            return Ok(());
        }
    };
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("administration socket", async move {
        let drain = Duration::from_secs(1);
        listener
            .serve(Arc::new(OperatorDoor { api }), None, shutdown, drain)
            .await;
    });
    Ok(())
}

/// Answers whoever may open the socket.
struct OperatorDoor {
    api: Arc<ManagementApi>,
}

impl Handler for OperatorDoor {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, _connection: &Arc<ConnectionInfo>) -> Response<Body> {
        let (api, request) = (Arc::clone(&self.api), request.map(Body::new));
        let answered: Answered = finished(async move { api.answer_as(request, Caller::operator()).await }).await;
        answered.response
    }

    fn panicked(&self) -> Response<Body> {
        not_answered()
    }
}
