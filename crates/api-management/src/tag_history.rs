//! `/repositories/{name}/tags/{tag}/history` and `/revert`: where a tag has been.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_registry::tag_history::{Change, ManifestState, TagChange, Target};

use crate::call::{Administrator, Answer, Params, Payload, actor, address, json as answer};
use crate::trash::parsed;
use crate::{Failure, Resources};

/// Changes of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/repositories/{name}/tags/{tag}/history", get(history))
        .route("/repositories/{name}/tags/{tag}/revert", post(revert))
}

#[derive(Deserialize)]
struct Page {
    page_size: Option<usize>,
    /// The last change of the page before.
    before: Option<i64>,
}

/// Where the tag goes back to: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goal {
    digest: Option<String>,
    steps: Option<u32>,
}

async fn history(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path((name, tag)): Path<(String, String)>,
    Params(page): Params<Page>,
) -> Answer {
    let (name, tag) = (parsed("repository", &name)?, parsed("tag", &tag)?);
    let address = address(&caller);
    let limit = page.page_size.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let histories = &resources.lifecycle.tag_histories;
    let history = histories
        .history(actor(&caller, &address), &name, &tag, page.before, limit)
        .await?;
    let next = history.changes.last().filter(|_| history.has_more).map(|last| last.id);
    let found: Vec<Value> = history
        .found
        .iter()
        .map(|found| {
            let mut value = left(&found.state);
            value["digest"] = json!(found.digest.to_string());
            value["written_at"] = json!(found.written_at.map(|at| at.to_jiff().to_string()));
            value
        })
        .collect();
    answer(&json!({
        "current": history.current.map(|digest| digest.to_string()),
        "changes": history.changes.iter().map(shown).collect::<Vec<_>>(),
        "next": next,
        "found_in_storage": found,
    }))
}

async fn revert(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path((name, tag)): Path<(String, String)>,
    Payload(goal): Payload<Goal>,
) -> Answer {
    let (name, tag) = (parsed("repository", &name)?, parsed("tag", &tag)?);
    let target = match (goal.digest, goal.steps) {
        (Some(digest), None) => Target::Digest(parsed("digest", &digest)?),
        (None, Some(steps)) if steps > 0 => Target::Back(steps),
        (None, Some(_)) => {
            return Err(Failure::bad_request(
                "steps counts from 1, the one before the present one",
            ));
        }
        _ => return Err(Failure::bad_request("name a digest or a number of steps, not both")),
    };
    let address = address(&caller);
    let histories = &resources.lifecycle.tag_histories;
    let reverted = histories.revert(actor(&caller, &address), &name, &tag, target).await?;
    answer(&json!({
        "from": reverted.from.map(|digest| digest.to_string()),
        "to": reverted.to.to_string(),
    }))
}

fn shown(change: &TagChange) -> Value {
    let mut value = left(&change.state);
    value["id"] = json!(change.id);
    value["action"] = json!(word(change.action));
    value["digest"] = json!(change.digest.to_string());
    value["at"] = json!(change.at.to_jiff().to_string());
    value["by"] = json!(change.by);
    value
}

const fn word(action: Change) -> &'static str {
    match action {
        Change::Pushed => "pushed",
        Change::Deleted => "deleted",
        Change::Found => "found in storage",
        Change::Gone => "gone from storage",
        Change::Restored => "restored",
        Change::Reverted => "reverted",
    }
}

/// What is left of a manifest.
fn left(state: &ManifestState) -> Value {
    match state {
        ManifestState::Present => json!({ "manifest": "present" }),
        ManifestState::Gone => json!({ "manifest": "gone" }),
        ManifestState::Trashed { id, expires_at } => json!({
            "manifest": "trashed",
            "trash_id": id,
            "expires_at": expires_at.to_jiff().to_string(),
        }),
    }
}
