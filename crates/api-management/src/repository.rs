//! `/repositories/{name}`: deleting, with or without a way back.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::delete;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use wharf_oci::Digest;
use wharf_registry::deletion::{Fate, Order};

use crate::call::{Administrator, Answer, Params, actor, address, done, json as answer};
use crate::trash::parsed;
use crate::{Caller, Resources};

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/repositories/{name}", delete(delete_repository))
        .route("/repositories/{name}/tags/{tag}", delete(delete_tag))
        .route("/repositories/{name}/manifests/{digest}", delete(delete_manifest))
}

#[derive(Deserialize)]
struct How {
    /// At once and for good.
    #[serde(default)]
    purge: bool,
}

impl How {
    fn order<'a>(&self, caller: &'a Caller, address: &'a str) -> Order<'a> {
        let fate = if self.purge { Fate::Purge } else { Fate::Trash };
        Order::management(actor(caller, address), fate)
    }
}

async fn delete_repository(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path(name): Path<String>,
    Params(how): Params<How>,
) -> Answer {
    let name = parsed("repository", &name)?;
    let address = address(&caller);
    let deletions = &resources.lifecycle.deletions;
    let deleted = deletions.repository(how.order(&caller, &address), &name).await?;
    answer(&json!({
        "manifests": deleted.manifests,
        "expires_at": deleted.expires_at.map(|at| at.to_jiff().to_string()),
    }))
}

async fn delete_tag(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path((name, tag)): Path<(String, String)>,
    Params(how): Params<How>,
) -> Answer {
    let (name, tag) = (parsed("repository", &name)?, parsed("tag", &tag)?);
    let address = address(&caller);
    let deletions = &resources.lifecycle.deletions;
    deletions.tag(how.order(&caller, &address), &name, &tag).await?;
    done(StatusCode::OK)
}

async fn delete_manifest(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path((name, digest)): Path<(String, String)>,
    Params(how): Params<How>,
) -> Answer {
    let name = parsed("repository", &name)?;
    let digest: Digest = parsed("digest", &digest)?;
    let address = address(&caller);
    let deletions = &resources.lifecycle.deletions;
    deletions.manifest(how.order(&caller, &address), &name, &digest).await?;
    done(StatusCode::OK)
}
