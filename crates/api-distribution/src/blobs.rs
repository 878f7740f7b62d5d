//! `/v2/<name>/blobs/<digest>`

use std::ops::Range;

use http::{HeaderValue, Method, Response, StatusCode, header};
use wharf_api_common::{Body, EntityTag, Precondition, Selection, range, response};
use wharf_oci::{Digest, ErrorCode, RepositoryName, media_type};
use wharf_registry::deletion::{Deletions, Order};
use wharf_registry::pull::{Blob, Pulls};

use crate::call::{Answer, CONTENT_DIGEST, Call, text_value};
use crate::error::Failure;

/// Content never changes under its digest, as distribution says too.
const FOR_A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// GET and HEAD.
pub async fn get(pulls: &Pulls, call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    let blob = match call.parts.method {
        Method::HEAD => pulls.check_blob(call.principal, name, digest).await?,
        _ => pulls.blob(call.principal, name, digest).await?,
    };
    let text = digest.to_string();
    let tag = EntityTag::new(text.clone());
    let mut answer = match Precondition::of(&call.parts.headers, &call.parts.method, Some(&tag)) {
        Precondition::Proceed => content(call, &blob, &tag)?,
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

/// The whole blob, or the part that is asked for.
fn content(call: &Call<'_>, blob: &Blob, tag: &EntityTag) -> Answer {
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
        *answer.body_mut() = body(call, blob, part);
    }
    Ok(answer)
}

/// The bytes of `part` with the fewest copies: from memory, from the file straight to the socket
/// where the connection can, else read as they leave.
fn body(call: &Call<'_>, blob: &Blob, part: Range<u64>) -> Body {
    if let Some(bytes) = blob.bytes(&part) {
        return Body::from(bytes);
    }
    match (call.send_file, blob.file()) {
        (Some(sender), Some(file)) => sender.body(file, part.start, part.end - part.start),
        _ => Body::from_stream(blob.stream(part)),
    }
}

/// DELETE: the repository forgets the blob.
pub async fn delete(deletions: &Deletions, call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    deletions.blob(Order::protocol(call.principal), name, digest).await?;
    Ok(response::empty(StatusCode::ACCEPTED))
}
