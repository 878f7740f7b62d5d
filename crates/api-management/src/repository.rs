//! `/repositories` and `/repositories/{name}`: listing, and deleting with or without a way back.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_oci::Digest;
use wharf_registry::deletion::{Fate, Order};

use crate::call::{Administrator, Answer, Params, actor, address, done, json as answer};
use crate::trash::parsed;
use crate::{Caller, Resources};

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/repositories", get(repositories))
        .route("/repositories/{name}", delete(delete_repository))
        .route("/repositories/{name}/tags", get(tags))
        .route("/repositories/{name}/tags/{tag}", delete(delete_tag))
        .route("/repositories/{name}/manifests/{digest}", delete(delete_manifest))
}

/// Names of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

#[derive(Deserialize)]
struct Page {
    page_size: Option<usize>,
    /// The last name of the page before.
    after: Option<String>,
}

impl Page {
    fn limit(&self) -> usize {
        self.page_size.unwrap_or(PAGE.0).clamp(1, PAGE.1)
    }
}

async fn repositories(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Params(page): Params<Page>,
) -> Answer {
    let listed = resources
        .catalog
        .list(&caller.principal, page.after.as_deref(), page.limit());
    let listed = listed.await?;
    let names: Vec<Value> = listed
        .names
        .iter()
        .map(|name| json!({ "name": name.as_str() }))
        .collect();
    let next = listed.names.last().filter(|_| listed.has_more);
    answer(&json!({ "repositories": names, "next": next.map(|name| name.as_str()) }))
}

async fn tags(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path(name): Path<String>,
    Params(page): Params<Page>,
) -> Answer {
    let name = parsed("repository", &name)?;
    let (after, limit) = (page.after.as_deref(), page.limit());
    let (found, has_more) = resources.tags.details(&caller.principal, &name, after, limit).await?;
    let next = found.last().filter(|_| has_more).map(|last| last.tag.as_str());
    let tags = found.iter().map(|found| {
        json!({
            "name": found.tag.as_str(),
            "digest": found.digest.to_string(),
            "media_type": found.media_type,
            "updated_at": found.updated_at.to_jiff().to_string(),
        })
    });
    answer(&json!({ "tags": tags.collect::<Vec<_>>(), "next": next }))
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
