//! Requests that the library does not know, signed by its signatures for URLs.

use super::{
    Objects,
    error::{Refusal, failed},
};
use crate::{Error, ErrorKind, Result, paths::Location};
use bytes::Bytes;
use object_store::{
    multipart::PartId,
    path::Path,
    signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer},
};
use serde::Deserialize;
use std::{ops::Range, time::Duration};

/// How long a URL lives that is used at once.
const LIFETIME: Duration = Duration::from_secs(600);
/// How often a request is sent that is refused for now.
const ATTEMPTS: u32 = 8;
/// The pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A URL that an object can be read at.
pub(super) async fn url(
    signer: &dyn Signer,
    path: &Path,
    lifetime: Duration,
    query: Option<(&str, &str)>,
) -> object_store::Result<String> {
    let options = SignedUrlOptions::new().with_query(query);
    let url = signer.signed_url_opts(Method::GET, path, lifetime, &options).await?;
    Ok(url.into())
}

/// One request.
struct Request<'a> {
    method: Method,
    path: &'a Path,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, HeaderValue)>,
}

/// A multipart upload that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// What it will become.
    pub(crate) location: Location,
    pub(crate) id: String,
    /// When it began, RFC 3339.
    pub(crate) initiated: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadList {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
    #[serde(default)]
    initiated: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CopiedPart {
    #[serde(rename = "ETag")]
    e_tag: String,
}

impl Objects {
    /// Copies bytes of `source` as one part of a multipart upload.
    pub(super) async fn copy_part(
        &self,
        (source, target, id): (&Path, &Path, &String),
        number: u64,
        range: Range<u64>,
    ) -> Result<PartId> {
        let Some(server) = &self.inner.server_copy else {
            return Err(Error::new(ErrorKind::Unsupported, "copy parts of", source));
        };
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let source_header = format!("{}/{}", server.bucket, encoded(source.as_ref()));
        let header = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| Error::because(ErrorKind::Invalid, "copy", source, error))
        };
        let request = Request {
            method: Method::PUT,
            path: target,
            query: vec![("partNumber", number.to_string()), ("uploadId", id.clone())],
            headers: vec![
                ("x-amz-copy-source", header(&source_header)?),
                ("x-amz-copy-source-range", header(&range)?),
            ],
        };
        let answer: CopiedPart = self.send("copy", &request).await?;
        Ok(PartId {
            content_id: answer.e_tag,
        })
    }

    /// The multipart uploads in a folder, however deep, that nobody has completed.
    pub(crate) async fn unfinished(&self, folder: &Location) -> Result<Vec<Unfinished>> {
        let mut all = Vec::new();
        if self.inner.server_copy.is_none() {
            return Ok(all);
        }
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        loop {
            let mut query = vec![("uploads", String::new()), ("prefix", self.prefix(folder)?)];
            if !key_marker.is_empty() {
                query.push(("key-marker", key_marker.clone()));
                query.push(("upload-id-marker", id_marker.clone()));
            }
            let request = Request {
                method: Method::GET,
                path: &Path::ROOT,
                query,
                headers: Vec::new(),
            };
            let page: UploadList = self.send("list the uploads of", &request).await?;
            all.extend(page.uploads.into_iter().filter_map(|upload| {
                let path = Path::parse(&upload.key).ok()?;
                Some(Unfinished {
                    location: self.location(&path)?,
                    id: upload.upload_id,
                    initiated: upload.initiated,
                })
            }));
            let is_stuck = page.next_key_marker == key_marker && page.next_upload_id_marker == id_marker;
            if !page.is_truncated || is_stuck {
                return Ok(all);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    /// Sends a request until it is answered for good.
    async fn send<T: serde::de::DeserializeOwned>(&self, operation: &'static str, request: &Request<'_>) -> Result<T> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let error = match self.try_send(operation, request).await {
                Ok(body) => match quick_xml::de::from_reader(body.as_ref()) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => Error::because(ErrorKind::Unavailable, operation, request.path, error),
                },
                Err(error) if error.kind() == ErrorKind::Unavailable => error,
                Err(error) => return Err(error),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(Error::new(ErrorKind::Unavailable, operation, request.path))
    }

    async fn try_send(&self, operation: &'static str, request: &Request<'_>) -> Result<Bytes> {
        let mut options = SignedUrlOptions::new().with_query(request.query.clone());
        for (name, value) in &request.headers {
            options = options.with_signed_header(HeaderName::from_static(name), value.clone());
        }
        let signer = &self.inner.plain.signer;
        let url = signer.signed_url_opts(request.method.clone(), request.path, LIFETIME, &options);
        let url = url.await.map_err(|error| failed(operation, request.path, &error))?;
        let client = self.inner.transport.client(!request.headers.is_empty());
        let mut prepared = client.request(request.method.clone(), url);
        for (name, value) in &request.headers {
            prepared = prepared.header(*name, value.clone());
        }
        let unanswered = |error: reqwest::Error| {
            // the URL carries a signature
            let error = error.without_url();
            Error::because(ErrorKind::Unavailable, operation, request.path, error)
        };
        let answer = prepared.send().await.map_err(unanswered)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unanswered)?;
        let text = String::from_utf8_lossy(&body);
        // a copy that fails late is told with the status of a success
        let is_late = status.is_success() && text.contains("<Error>");
        if status.is_success() && !is_late {
            return Ok(body);
        }
        let status = if is_late { 500 } else { status.as_u16() };
        let refusal = Refusal::with_body(status, &text);
        Err(Error::because(
            refusal.kind(),
            operation,
            request.path,
            refusal.to_string(),
        ))
    }
}

/// A key as it stands in a header.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
