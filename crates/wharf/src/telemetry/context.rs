//! Which request a line of the log belongs to.
//!
//! Spans would cost an allocation and formatting per request even when nothing is logged; this
//! is a pointer swap per poll.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use http::{Method, Uri};
use tokio::task::futures::TaskLocalFuture;
use wharf_api_common::{ClientAddress, RequestId};

/// What every line that a request causes says about it.
#[derive(Debug)]
pub struct RequestContext {
    /// `http.request.id`
    pub id: RequestId,
    /// `http.request.method`
    pub method: Method,
    /// `http.request.uri`; the log shows its path only, since queries may hold secrets.
    pub uri: Uri,
    /// `http.request.remoteaddr`
    pub client: ClientAddress,
    /// `auth.user.name`, once it is known.
    pub user: OnceLock<Arc<str>>,
}

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// Runs a future so that every line it logs names the request.
pub fn scope<F: Future>(context: Arc<RequestContext>, future: F) -> TaskLocalFuture<Arc<RequestContext>, F> {
    CURRENT.scope(context, future)
}

/// Runs a closure so that every line it logs names the request: for `spawn_blocking`.
pub fn in_scope<T>(context: Option<Arc<RequestContext>>, work: impl FnOnce() -> T) -> T {
    match context {
        Some(context) => CURRENT.sync_scope(context, work),
        None => work(),
    }
}

/// The request that is being answered by this task.
#[must_use]
pub fn current() -> Option<Arc<RequestContext>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Looks at the request that is being answered by this task.
pub(super) fn with_current<T>(look: impl FnOnce(&RequestContext) -> T) -> Option<T> {
    CURRENT.try_with(|context| look(context)).ok()
}
