//! `/index`: the index as a whole.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::call::{Administrator, Answer, json};
use crate::{Failure, Resources};

/// What only the program as a whole can do with its index.
pub trait IndexKeeper: Send + Sync {
    /// Takes what the storage holds now for true; what is gone from it goes from the index.
    fn accept_storage(&self) -> BoxFuture<'_, Result<Accepted, Failure>>;
}

/// What became of an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// It has its effect already.
    Now,
    /// It has its effect at the next start.
    AtNextStart,
    /// Storage and index belong together.
    Nothing,
}

pub(crate) fn routes() -> Router<Resources> {
    Router::new().route("/index/accept-storage", post(accept_storage))
}

async fn accept_storage(State(resources): State<Resources>, Administrator(_): Administrator) -> Answer {
    let accepted = resources.index.accept_storage().await?;
    json(&serde_json::json!({ "accepted": accepted }))
}
