//! `/v2/<name>/manifests/<reference>`

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use wharf_api_common::{Body, EntityTag, Precondition, query, response};
use wharf_oci::{ErrorCode, Reference, RepositoryName, Tag};
use wharf_registry::Error;
use wharf_registry::deletion::{Deletions, Order};
use wharf_registry::pull::Pulls;
use wharf_registry::push::{ManifestPush, Pushes};

use crate::call::{Answer, CONTENT_DIGEST, Call, OCI_SUBJECT, OCI_TAG, text_value};
use crate::error::Failure;

/// Room for the headers of an answer with those that the front door adds, so that the map does not
/// grow while it is filled.
const HEADERS: usize = 12;

/// GET and HEAD. The stored bytes are served with their stored type, whatever `Accept` says:
/// nothing is converted.
pub async fn get(pulls: &Pulls, call: &Call<'_>, name: &RepositoryName, reference: &Reference) -> Answer {
    let manifest = pulls.manifest(call.principal, name, reference).await?;
    let is_modified = match call.parts.headers.contains_key(header::IF_NONE_MATCH)
        || call.parts.headers.contains_key(header::IF_MATCH)
    {
        true => {
            let tag = EntityTag::new(manifest.digest.to_string());
            Precondition::of(&call.parts.headers, &call.parts.method, Some(&tag))
        }
        false => Precondition::Proceed,
    };
    let mut answer = Response::new(Body::empty());
    answer.headers_mut().reserve(HEADERS);
    match is_modified {
        Precondition::Proceed => {
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_TYPE, text_value(manifest.media_type.clone()));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
            if call.parts.method == Method::GET {
                *answer.body_mut() = Body::from(manifest.bytes.clone());
                pulls.count(&manifest, reference);
            }
        }
        Precondition::NotModified => *answer.status_mut() = StatusCode::NOT_MODIFIED,
        Precondition::Failed => return Ok(response::empty(StatusCode::PRECONDITION_FAILED)),
    }
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, text_value(manifest.quoted_digest.clone()));
    headers.insert(CONTENT_DIGEST, text_value(manifest.digest_text.clone()));
    Ok(answer)
}

/// PUT by tag or by digest; by digest with further tags (`?tag=a&tag=b`).
pub async fn put(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, reference: Reference, body: Body) -> Answer {
    let mut tags = Vec::new();
    for tag in query::all(call.query(), "tag") {
        let tag: Tag = tag.parse().map_err(|error: wharf_oci::TagError| {
            Failure::bad_request(ErrorCode::TagInvalid, format!("tag {tag:?} is not valid: {error}"))
        })?;
        tags.push(tag);
    }
    let content_type = call
        .parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    pushes.check_manifest_push(call.principal, name).await?;
    let bytes = read_limited(body, pushes.manifest_limit()).await?;
    let push = ManifestPush {
        reference,
        content_type: content_type.map(str::to_owned),
        bytes,
        tags,
    };
    let accepted = pushes.manifest(call.principal, name, push).await?;
    let location = format!("/v2/{name}/manifests/{}", accepted.digest);
    let mut answer = call.created(&location, &accepted.digest);
    let headers = answer.headers_mut();
    if let Some(subject) = accepted.subject {
        headers.insert(OCI_SUBJECT, text_value(subject.to_string()));
    }
    for tag in accepted.extra_tags {
        headers.append(OCI_TAG, text_value(tag.to_string()));
    }
    Ok(answer)
}

async fn read_limited(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::ManifestTooLarge { limit }.into()),
        Err(error) => Err(Error::BodyIncomplete(error.to_string()).into()),
    }
}

/// DELETE of a tag, or of a manifest with all its tags.
pub async fn delete(deletions: &Deletions, call: &Call<'_>, name: &RepositoryName, reference: &Reference) -> Answer {
    let order = Order::protocol(call.principal);
    match reference {
        Reference::Tag(tag) => deletions.tag(order, name, tag).await?,
        Reference::Digest(digest) => deletions.manifest(order, name, digest).await?,
    }
    Ok(response::empty(StatusCode::ACCEPTED))
}
