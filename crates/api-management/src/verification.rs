//! `/index/verify` and `/index/rebuild`: comparing index and storage, and making the index anew.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use wharf_registry::verification::Options;

use crate::call::{Administrator, Answer, Payload, accepted, address, job_actor};
use crate::index::Role;
use crate::{Failure, Resources};

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/index/verify", post(verify))
        .route("/index/rebuild", post(rebuild))
}

async fn verify(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(wish): Payload<Value>,
) -> Answer {
    check(&resources)?;
    let options = Options::parse(&wish).map_err(Failure::bad_request)?;
    let address = address(&caller);
    let actor = job_actor(&caller, &address);
    accepted(resources.verification.start(&resources.jobs, &options, actor).await?)
}

async fn rebuild(State(resources): State<Resources>, Administrator(caller): Administrator) -> Answer {
    check(&resources)?;
    let address = address(&caller);
    let actor = job_actor(&caller, &address);
    accepted(resources.verification.start_rebuild(&resources.jobs, actor).await?)
}

/// # Errors
///
/// The storage is not the one of the index, or another process owns the index.
fn check(resources: &Resources) -> Result<(), Failure> {
    if !resources.index.is_trusted() {
        return Err(Failure::precondition(
            "the storage is not the one that the index knows: mount the right one, or see `wharf index accept-storage`",
        ));
    }
    match resources.index.role() {
        Role::StandBy => Err(Failure::unavailable(
            "this process stands by: ask the one that owns the index",
            5,
        )),
        Role::Owner | Role::Command => Ok(()),
    }
}
