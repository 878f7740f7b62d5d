//! The lists: tags, catalog, referrers.

use http::{StatusCode, header};
use serde_json::json;
use wharf_api_common::{Page, PageError, paging, response};
use wharf_oci::index::Referrers;
use wharf_oci::{Digest, ErrorCode, RepositoryName, media_type};
use wharf_registry::catalog::Catalog;
use wharf_registry::referrers::ReferrerLists;
use wharf_registry::tag::Tags;

use crate::call::{Answer, Call, OCI_FILTERS_APPLIED, text_value};
use crate::error::Failure;

/// How many referrers one answer holds.
const REFERRERS_PAGE: usize = 1000;

/// The page sizes that the configuration allows.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// `catalog.maxentries`: a larger `n` is refused.
    pub catalog: usize,
    /// `tags.maxtags`: a larger `n` is cut.
    pub tags: usize,
}

/// `GET /v2/<name>/tags/list`. Without `n` it is the whole list, as clients expect.
pub async fn tags(tags: &Tags, limits: PageLimits, call: &Call<'_>, name: &RepositoryName) -> Answer {
    let page = page(call)?;
    let limit = page
        .n
        .map(|n| usize::try_from(n).unwrap_or(usize::MAX).min(limits.tags));
    let list = tags.list(call.principal, name, page.last.as_deref(), limit).await?;
    let mut answer = response::json(StatusCode::OK, &json!({ "name": name.as_str(), "tags": list.tags }));
    if let (true, Some(limit), Some(last)) = (list.has_more, limit, list.tags.last()) {
        let path = call.base().path(&format!("/v2/{name}/tags/list"));
        if let Some(link) = paging::link_next(&path, limit as u64, last, &[]) {
            answer.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(answer)
}

/// `GET /v2/_catalog`: the repositories that the principal may pull.
pub async fn catalog(catalog: &Catalog, limits: PageLimits, call: &Call<'_>) -> Answer {
    /// distribution's page when the client names none
    const DEFAULT_PAGE: usize = 100;
    let page = page(call)?;
    let wanted = page.n.map_or(DEFAULT_PAGE.min(limits.catalog), |n| {
        usize::try_from(n).unwrap_or(usize::MAX)
    });
    if wanted > limits.catalog {
        let message = format!(
            "n={wanted} is more than the {} entries that catalog.maxentries allows",
            limits.catalog
        );
        return Err(
            Failure::bad_request(ErrorCode::PaginationNumberInvalid, message).with_detail(json!({ "n": wanted }))
        );
    }
    let list = catalog.list(call.principal, page.last.as_deref(), wanted).await?;
    let names: Vec<&str> = list.names.iter().map(RepositoryName::as_str).collect();
    let mut answer = response::json(StatusCode::OK, &json!({ "repositories": names }));
    if let (true, Some(last)) = (list.has_more, names.last())
        && let Some(link) = paging::link_next(&call.base().path("/v2/_catalog"), wanted as u64, last, &[])
    {
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

/// `GET /v2/<name>/referrers/<digest>`: never 404 (distribution-spec "Listing Referrers").
pub async fn referrers(lists: &ReferrerLists, call: &Call<'_>, name: &RepositoryName, subject: &Digest) -> Answer {
    let page = page(call)?;
    let artifact_type = call.parameter("artifactType");
    let limit = page
        .n
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(REFERRERS_PAGE)
        .clamp(1, REFERRERS_PAGE);
    let list = lists
        .list(
            call.principal,
            name,
            subject,
            artifact_type.as_deref(),
            page.last.as_deref(),
            limit,
        )
        .await?;
    let next = list.next.map(|last| {
        let path = call.base().path(&format!("/v2/{name}/referrers/{subject}"));
        let filter: Vec<(&str, &str)> = artifact_type
            .iter()
            .map(|value| ("artifactType", value.as_str()))
            .collect();
        paging::link_next(&path, limit as u64, &last, &filter)
    });
    let mut answer = response::json(StatusCode::OK, &Referrers::new(list.referrers));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, text_value(media_type::OCI_INDEX));
    if artifact_type.is_some() {
        headers.insert(OCI_FILTERS_APPLIED, text_value("artifactType"));
    }
    if let Some(link) = next.flatten() {
        headers.insert(header::LINK, link);
    }
    Ok(answer)
}

fn page(call: &Call<'_>) -> Result<Page, Failure> {
    Page::of(&call.parts.uri)
        .map_err(|error: PageError| Failure::bad_request(ErrorCode::PaginationNumberInvalid, error.to_string()))
}
