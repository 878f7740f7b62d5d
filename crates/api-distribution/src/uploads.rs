//! `/v2/<name>/blobs/uploads/` and the sessions under it (distribution-spec "Pushing blobs").

use std::io;

use futures_util::StreamExt as _;
use http::{HeaderValue, Response, StatusCode, header};
use wharf_api_common::{Body, ContentRange, response};
use wharf_oci::{Algorithm, Digest, ErrorCode, RepositoryName};
use wharf_registry::Error;
use wharf_registry::push::{Chunk, Pushes, Start, Started, UploadStatus};

use crate::call::{Answer, Call, UPLOAD_ID, text_value};
use crate::error::Failure;

/// POST: a new session, a mount, or the whole blob at once.
pub async fn start(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, body: Body) -> Answer {
    let start = Start {
        mount: call.parameter("mount").map(|text| parse_digest(&text)).transpose()?,
        from: call.parameter("from").and_then(|text| text.parse().ok()),
        algorithm: wanted_algorithm(call)?,
    };
    let digest = call.parameter("digest").map(|text| parse_digest(&text)).transpose()?;
    match pushes.start(call.principal, name, &start).await? {
        Started::Mounted(digest) => Ok(call.created(&blob_path(name, &digest), &digest)),
        Started::Session(status) => match digest {
            Some(digest) if has_body(call, &digest) => {
                let digest = finish(pushes, call, name, &status.id, digest, body).await?;
                Ok(call.created(&blob_path(name, &digest), &digest))
            }
            _ => Ok(progress(call, StatusCode::ACCEPTED, name, &status)),
        },
    }
}

/// Whether a POST with `digest=` brings the blob: some clients name the digest and send the
/// bytes later all the same.
fn has_body(call: &Call<'_>, digest: &Digest) -> bool {
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let headers = &call.parts.headers;
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(0) => digest.to_string() == EMPTY,
        Some(_) => true,
        None => headers.contains_key(header::TRANSFER_ENCODING),
    }
}

fn wanted_algorithm(call: &Call<'_>) -> Result<Algorithm, Failure> {
    let name = call.parameter("digest-algorithm");
    let of_digest = call
        .parameter("digest")
        .filter(|digest| digest.starts_with("sha512:"))
        .map(|_| "sha512");
    match name.as_deref().or(of_digest) {
        None => Ok(Algorithm::Sha256),
        Some(name) => name.parse().map_err(|error: wharf_oci::DigestError| {
            Failure::bad_request(ErrorCode::DigestInvalid, format!("digest-algorithm {name:?}: {error}"))
        }),
    }
}

/// PATCH: one chunk, or everything as a stream.
pub async fn append(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, id: &str, body: Body) -> Answer {
    let status = pushes
        .append(call.principal, name, id, chunk(call, body)?)
        .await
        .map_err(|error| resumable(call, name, error))?;
    Ok(progress(call, StatusCode::ACCEPTED, name, &status))
}

/// PUT: the last bytes, if any, and the digest of the whole.
pub async fn complete(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, id: &str, body: Body) -> Answer {
    let Some(text) = call.parameter("digest") else {
        return Err(Failure::bad_request(
            ErrorCode::DigestInvalid,
            "the parameter \"digest\" is missing: it names the digest of the whole blob",
        ));
    };
    let digest = finish(pushes, call, name, id, parse_digest(&text)?, body).await?;
    Ok(call.created(&blob_path(name, &digest), &digest))
}

async fn finish(
    pushes: &Pushes,
    call: &Call<'_>,
    name: &RepositoryName,
    id: &str,
    digest: Digest,
    body: Body,
) -> Result<Digest, Failure> {
    let chunk = chunk(call, body)?;
    pushes
        .complete(call.principal, name, id, chunk, &digest)
        .await
        .map_err(|error| resumable(call, name, error))?;
    Ok(digest)
}

/// GET and HEAD: where the session stands.
pub async fn status(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, id: &str) -> Answer {
    let status = pushes.status(call.principal, name, id).await?;
    Ok(progress(call, StatusCode::NO_CONTENT, name, &status))
}

/// DELETE: the session ends and its bytes go.
pub async fn cancel(pushes: &Pushes, call: &Call<'_>, name: &RepositoryName, id: &str) -> Answer {
    pushes.cancel(call.principal, name, id).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

fn chunk(call: &Call<'_>, body: Body) -> Result<Chunk, Failure> {
    let headers = &call.parts.headers;
    let range = ContentRange::of(headers).map_err(|error| {
        Failure::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorCode::RangeInvalid,
            error.to_string(),
        )
    })?;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let in_range = range.map(|range| range.range.length());
    if let (Some(in_range), Some(announced)) = (in_range, announced)
        && in_range != announced
    {
        let message = format!("Content-Range names {in_range} bytes, but the body has {announced}");
        return Err(Failure::bad_request(ErrorCode::SizeInvalid, message));
    }
    let frames = futures_util::TryStreamExt::map_err(body.into_data_stream(), io::Error::other).boxed();
    Ok(Chunk {
        start: range.map(|range| range.range.start),
        length: in_range.or(announced),
        bytes: frames,
    })
}

fn parse_digest(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| {
        Failure::bad_request(
            ErrorCode::DigestInvalid,
            format!("digest {text:?} is not valid: {error}"),
        )
    })
}

fn blob_path(name: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// The answer that tells how far a session is.
fn progress(call: &Call<'_>, status: StatusCode, name: &RepositoryName, upload: &UploadStatus) -> Response<Body> {
    let mut answer = call.located(status, &upload_path(name, &upload.id));
    let headers = answer.headers_mut();
    headers.insert(header::RANGE, text_value(received(upload.offset)));
    headers.insert(UPLOAD_ID, text_value(upload.id.clone()));
    if status == StatusCode::ACCEPTED {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    answer
}

fn upload_path(name: &RepositoryName, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// `0-<last byte>`; an empty upload is `0-0` too, as docker expects.
fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// A chunk out of order is answered with what the client needs to go on.
fn resumable(call: &Call<'_>, name: &RepositoryName, error: Error) -> Failure {
    let known = match &error {
        Error::RangeInvalid { offset, upload, .. } => Some((*offset, upload.clone())),
        _ => None,
    };
    let failure = Failure::from(error);
    match known {
        Some((offset, id)) => failure
            .with_header(header::LOCATION, call.base().location(&upload_path(name, &id)))
            .with_header(header::RANGE, received(offset))
            .with_header(UPLOAD_ID, id),
        None => failure,
    }
}
