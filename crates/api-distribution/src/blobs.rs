//! `/v2/<name>/blobs/<digest>`

use std::ops::Range;

use http::{HeaderValue, Method, Response, StatusCode, header};
use wharf_api_common::{Body, EntityTag, Precondition, Selection, range, response};
use wharf_oci::{Digest, ErrorCode, RepositoryName, media_type};
use wharf_registry::Error;
use wharf_registry::deletion::{Deletions, Order};
use wharf_registry::pull::{Blob, Pulls};

use crate::call::{Answer, CONTENT_DIGEST, Call, text_value};
use crate::error::Failure;
use crate::redirects::Redirects;

/// Content never changes under its digest, as distribution says too.
const FOR_A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A URL that is good for minutes, and for who was let in: kept by nobody.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// GET and HEAD. HEAD is always answered from here.
pub async fn get(
    pulls: &Pulls,
    redirects: Option<&dyn Redirects>,
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Answer {
    let blob = match call.parts.method {
        Method::HEAD => pulls.check_blob(call.principal, name, digest).await?,
        _ => pulls.blob(call.principal, name, digest).await?,
    };
    let text = digest.to_string();
    let tag = EntityTag::new(text.clone());
    let mut answer = match Precondition::of(&call.parts.headers, &call.parts.method, Some(&tag)) {
        Precondition::Proceed => {
            if let Some(answer) = elsewhere(redirects, call, &blob, &text).await? {
                return Ok(answer);
            }
            content(call, &blob, &tag, async || pulls.lost(name, digest).await).await?
        }
        Precondition::NotModified => response::empty(StatusCode::NOT_MODIFIED),
        Precondition::Failed => return Ok(response::empty(StatusCode::PRECONDITION_FAILED)),
    };
    let headers = answer.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, FOR_A_YEAR);
    headers.insert(header::ETAG, text_value(format!("\"{text}\"")));
    headers.insert(CONTENT_DIGEST, text_value(text));
    Ok(answer)
}

/// Sends the client to where the bytes are; what is in memory already is sent from here.
async fn elsewhere(
    redirects: Option<&dyn Redirects>,
    call: &Call<'_>,
    blob: &Blob,
    digest: &str,
) -> Result<Option<Response<Body>>, Failure> {
    let Some(redirects) = redirects.filter(|_| call.parts.method == Method::GET && !blob.is_in_memory()) else {
        return Ok(None);
    };
    let Some(url) = redirects.url(blob).await? else {
        return Ok(None);
    };
    let mut answer = response::empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, text_value(url));
    headers.insert(header::CACHE_CONTROL, NOT_KEPT);
    headers.insert(CONTENT_DIGEST, text_value(digest.to_owned()));
    Ok(Some(answer))
}

/// The whole blob, or the part that is asked for.
async fn content(call: &Call<'_>, blob: &Blob, tag: &EntityTag, lost: impl AsyncFnOnce() -> Error) -> Answer {
    let selection = if call.parts.method == Method::GET {
        Selection::of(&call.parts.headers, blob.size, Some(tag))
    } else {
        Selection::Whole
    };
    let (status, part) = match selection {
        Selection::Whole => (StatusCode::OK, 0..blob.size),
        Selection::Part(part) => (StatusCode::PARTIAL_CONTENT, part.start..part.end + 1),
        Selection::Unsatisfiable => {
            let message = format!("the range lies outside of the blob's {} bytes", blob.size);
            return Err(
                Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, message)
                    .with_header(header::CONTENT_RANGE, range::unsatisfied_content_range(blob.size)),
            );
        }
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCTET_STREAM));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = range::ByteRange {
            start: part.start,
            end: part.end - 1,
        };
        headers.insert(header::CONTENT_RANGE, text_value(range.content_range(blob.size)));
    }
    if call.parts.method == Method::GET {
        *answer.body_mut() = match body(call, blob, part).await? {
            Some(body) => body,
            None => return Err(lost().await.into()),
        };
    }
    Ok(answer)
}

/// The bytes of `part` with the fewest copies: from memory, from the file straight to the socket
/// where the connection can, else read as they leave. `None` when they are gone.
async fn body(call: &Call<'_>, blob: &Blob, part: Range<u64>) -> Result<Option<Body>, Failure> {
    if let Some(bytes) = blob.bytes(&part) {
        return Ok(Some(Body::from(bytes)));
    }
    match (call.send_file, blob.file()) {
        (Some(sender), Some(file)) => Ok(Some(sender.body(file, part.start, part.end - part.start))),
        _ => Ok(blob.start(part).await?.map(Body::from_stream)),
    }
}

/// DELETE: the repository forgets the blob.
pub async fn delete(deletions: &Deletions, call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    deletions.blob(Order::protocol(call.principal), name, digest).await?;
    Ok(response::empty(StatusCode::ACCEPTED))
}
