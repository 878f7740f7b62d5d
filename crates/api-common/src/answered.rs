//! What a front door hands to the listener.

use std::sync::Arc;

use http::Response;
use wharf_access::Principal;

use crate::Body;

/// An answer with what logs and metrics want to know of its request.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub response: Response<Body>,
    /// The kind of endpoint.
    pub handler: &'static str,
    /// Who asked, once that was known.
    pub principal: Option<Arc<Principal>>,
}
