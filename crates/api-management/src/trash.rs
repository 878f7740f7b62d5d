//! `/trash`: what was deleted and can be brought back.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_registry::trash::{Filter, Kind, Purged, Restored, Selector, Trash, Trashed, Usage};

use crate::call::{Administrator, Answer, Params, Payload, actor, address, json as answer};
use crate::{Failure, Resources};

/// Entries of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/trash", get(list))
        .route("/trash/usage", get(usage))
        .route("/trash/restore", post(restore))
        .route("/trash/purge", post(purge))
        .route("/trash/{id}", get(show))
}

/// Which entries are meant.
struct Wanted {
    repository: Option<String>,
    /// Deleted at least so many seconds ago.
    older_than: Option<u64>,
}

#[derive(Deserialize)]
struct ListQuery {
    repository: Option<String>,
    older_than: Option<u64>,
    page_size: Option<usize>,
    /// The last entry of the page before.
    before: Option<i64>,
}

/// What to bring back or to purge: one entry, or all that a filter means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    id: Option<i64>,
    repository: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
    older_than: Option<u64>,
    /// Everything that the filter means; without a filter, everything.
    #[serde(default)]
    all: bool,
    /// Move tags that point to something else by now.
    #[serde(default)]
    force: bool,
}

enum Meant {
    One(Selector),
    Many(Filter),
}

async fn list(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Params(query): Params<ListQuery>,
) -> Answer {
    let wanted = Wanted {
        repository: query.repository,
        older_than: query.older_than,
    };
    let limit = query.page_size.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let trash = &resources.lifecycle.trash;
    let filter = filter(trash, wanted)?;
    let mut entries = trash
        .list(&caller.principal, filter, query.before, limit.saturating_add(1))
        .await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(|last| last.id);
    let entries: Vec<Value> = entries.iter().map(shown).collect();
    answer(&json!({ "entries": entries, "next": next }))
}

async fn show(State(resources): State<Resources>, Administrator(caller): Administrator, Path(id): Path<i64>) -> Answer {
    let trash = &resources.lifecycle.trash;
    let entry = trash.get(&caller.principal, &Selector::Id(id)).await?;
    answer(&shown(&entry))
}

async fn usage(State(resources): State<Resources>, Administrator(caller): Administrator) -> Answer {
    let trash = &resources.lifecycle.trash;
    let total = trash.usage(&caller.principal, None).await?;
    let repositories = trash.usage_by_repository(&caller.principal).await?;
    let repositories: Vec<Value> = repositories
        .iter()
        .map(|(name, usage)| {
            let mut value = used(usage);
            value["repository"] = json!(name.as_str());
            value
        })
        .collect();
    answer(&json!({
        "keep_seconds": trash.keep().time().as_secs(),
        "total": used(&total),
        "repositories": repositories,
    }))
}

async fn restore(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(what): Payload<What>,
) -> Answer {
    let trash = &resources.lifecycle.trash;
    let force = what.force;
    let address = address(&caller);
    let actor = actor(&caller, &address);
    match meant(trash, what)? {
        Meant::One(selector) => {
            let restored = trash.restore(actor, &selector, force).await?;
            answer(&came_back(&restored))
        }
        Meant::Many(filter) => {
            let restored = trash.restore_all(actor, filter, force).await?;
            let failures: Vec<Value> = restored
                .failures
                .iter()
                .map(|(entry, why)| json!({ "entry": entry, "message": why }))
                .collect();
            answer(&json!({
                "manifests": restored.manifests,
                "tags": restored.tags,
                "kept_tags": restored.kept_tags,
                "failed": restored.failed,
                "failures": failures,
            }))
        }
    }
}

async fn purge(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(what): Payload<What>,
) -> Answer {
    let trash = &resources.lifecycle.trash;
    let address = address(&caller);
    let actor = actor(&caller, &address);
    let Purged { manifests, tags } = match meant(trash, what)? {
        Meant::One(selector) => trash.remove(actor, &selector).await?,
        Meant::Many(filter) => trash.empty(actor, filter).await?,
    };
    answer(&json!({ "manifests": manifests, "tags": tags }))
}

/// Refuses a request that names nothing, so that a slip does not mean everything.
fn meant(trash: &Trash, what: What) -> Result<Meant, Failure> {
    let named = [what.id.is_some(), what.tag.is_some(), what.digest.is_some()];
    let wanted = Wanted {
        repository: what.repository,
        older_than: what.older_than,
    };
    match named.iter().filter(|is_named| **is_named).count() {
        0 if what.all || wanted.repository.is_some() || wanted.older_than.is_some() => {
            Ok(Meant::Many(filter(trash, wanted)?))
        }
        0 => Err(Failure::bad_request(
            "say what is meant: an id, a repository with a tag or digest, a filter, or all",
        )),
        1 if what.all || wanted.older_than.is_some() => Err(Failure::bad_request(
            "an entry and a filter exclude each other: use one of them",
        )),
        1 => {
            if let Some(id) = what.id {
                return Ok(Meant::One(Selector::Id(id)));
            }
            let repository = wanted
                .repository
                .ok_or_else(|| Failure::bad_request("a tag or digest needs its repository"))?;
            let repository = parsed("repository", &repository)?;
            match (what.tag, what.digest) {
                (Some(tag), _) => Ok(Meant::One(Selector::Tag(repository, parsed("tag", &tag)?))),
                (None, digest) => {
                    let digest = parsed("digest", &digest.unwrap_or_default())?;
                    Ok(Meant::One(Selector::Manifest(repository, digest)))
                }
            }
        }
        _ => Err(Failure::bad_request("name one entry: by id, tag or digest")),
    }
}

fn filter(trash: &Trash, wanted: Wanted) -> Result<Filter, Failure> {
    let repository = wanted.repository.map(|name| parsed("repository", &name)).transpose()?;
    Ok(trash.filter(repository, wanted.older_than.map(Duration::from_secs)))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|error| Failure::bad_request(format!("{what} {text:?}: {error}")))
}

fn shown(entry: &Trashed) -> Value {
    json!({
        "id": entry.id,
        "kind": match entry.kind {
            Kind::Manifest => "manifest",
            Kind::Tag => "tag",
        },
        "repository": entry.repository.as_str(),
        "digest": entry.digest().to_string(),
        "tags": entry.tags.iter().map(|kept| kept.tag.as_str()).collect::<Vec<_>>(),
        "media_type": entry.media_type,
        "artifact_type": entry.artifact_type,
        "size": entry.size,
        "pushed_at": entry.pushed_at.to_jiff().to_string(),
        "pushed_by": entry.pushed_by,
        "deleted_at": entry.trashed_at.to_jiff().to_string(),
        "deleted_by": entry.trashed_by,
        "reason": entry.reason,
        "expires_at": entry.expires_at.to_jiff().to_string(),
    })
}

fn used(usage: &Usage) -> Value {
    json!({
        "manifests": usage.manifests,
        "tags": usage.tags,
        "bytes": usage.bytes,
        "bytes_only_here": usage.only_here,
    })
}

fn came_back(restored: &Restored) -> Value {
    let texts = |digests: &[wharf_oci::Digest]| digests.iter().map(ToString::to_string).collect::<Vec<String>>();
    let kept_tags: Vec<Value> = restored
        .kept_tags
        .iter()
        .map(|kept| json!({ "tag": kept.tag.as_str(), "digest": kept.digest.to_string() }))
        .collect();
    json!({
        "repository": restored.repository.as_str(),
        "manifests": texts(&restored.manifests),
        "tags": restored.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        "kept_tags": kept_tags,
        "absent_children": texts(&restored.absent_children),
    })
}
