//! The management API under `/api/v2.0/`: one file per resource.
//!
//! It has two doors. On the registry's own port a caller signs in as for `/v2/`; on the socket in
//! `wharf/` whoever may open it is the operator of the machine. Command-line tools use the second
//! one, and the same router in their own process when no registry runs: there is one way to do a
//! thing. What goes wrong becomes HTTP in [`error`] and nowhere else.

mod backup;
mod call;
pub mod error;
mod garbage_collection;
pub mod index;
mod jobs;
mod repository;
mod tag_history;
mod trash;
mod users;
mod verification;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse as _;
use http::{Request, header};
use tower_service::Service as _;
use wharf_access::{Identity, Principal};
use wharf_api_common::{Answered, Body};
use wharf_auth::{Accounts, Authenticator, Authorization};
use wharf_registry::backup::Backups;
use wharf_registry::catalog::Catalog;
use wharf_registry::garbage_collection::Collector;
use wharf_registry::jobs::Jobs;
use wharf_registry::lifecycle::Lifecycle;
use wharf_registry::tag::Tags;
use wharf_registry::verification::Verification;

pub use error::Failure;

/// Where the API begins.
pub const PREFIX: &str = "/api/v2.0";

/// What the API manages. Cloning shares it.
#[derive(Clone)]
pub struct Resources {
    /// The local accounts, where people sign in with them.
    pub accounts: Option<Accounts>,
    /// The index as a whole.
    pub index: Arc<dyn index::IndexKeeper>,
    /// Backups of it.
    pub backups: Backups,
    /// Long and scheduled work.
    pub jobs: Jobs,
    /// What removes what nothing holds.
    pub collector: Collector,
    /// Comparing index and storage.
    pub verification: Verification,
    /// What can be done to what was pushed.
    pub lifecycle: Lifecycle,
    /// Lists repositories.
    pub catalog: Catalog,
    /// Lists tags.
    pub tags: Tags,
}

/// Who calls, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Where it calls from; `None` on the machine's own socket.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// Whoever may open the registry's files on its machine.
    pub fn operator() -> Self {
        Self {
            principal: Arc::new(Principal::whole(Identity::Operator)),
            address: None,
        }
    }
}

/// Answers every request under [`PREFIX`].
pub struct ManagementApi {
    router: Router,
}

impl ManagementApi {
    /// Manages `resources`.
    pub fn new(resources: Resources) -> Self {
        let routes = Router::new()
            .merge(users::routes())
            .merge(index::routes())
            .merge(jobs::routes())
            .merge(backup::routes())
            .merge(garbage_collection::routes())
            .merge(verification::routes())
            .merge(repository::routes())
            .merge(tag_history::routes())
            .merge(trash::routes())
            .fallback(call::no_such_resource)
            .method_not_allowed_fallback(call::no_such_method)
            .with_state(resources);
        Self {
            router: Router::new().nest(PREFIX, routes).fallback(call::no_such_resource),
        }
    }

    /// Answers a request that shows its credentials.
    pub async fn answer(&self, request: Request<Body>, authenticator: &Authenticator, address: IpAddr) -> Answered {
        let header = request.headers().get(header::AUTHORIZATION);
        let authorization = header.map(|value| Authorization::new(value.as_bytes()));
        match authenticator.authenticate(authorization, address).await {
            Ok(principal) => {
                let address = Some(address);
                self.answer_as(request, Caller { principal, address }).await
            }
            Err(failure) => Answered {
                response: Failure::from(failure).into_response(),
                handler: HANDLER,
                principal: None,
            },
        }
    }

    /// Answers a request of somebody who is known already.
    pub async fn answer_as(&self, mut request: Request<Body>, caller: Caller) -> Answered {
        let principal = Some(Arc::clone(&caller.principal));
        request.extensions_mut().insert(caller);
        let Ok(response) = self.router.clone().call(request).await;
        Answered {
            response,
            handler: HANDLER,
            principal,
        }
    }
}

/// What metrics call it.
const HANDLER: &str = "management";
