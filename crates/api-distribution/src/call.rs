//! One request to `/v2/`, after its credentials were checked.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use wharf_access::Principal;
use wharf_api_common::{BaseUrl, BaseUrls, Body, SendFile, Via, query, response};
use wharf_oci::Digest;

use crate::error::Failure;

/// `Docker-Content-Digest`
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`
pub const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// `OCI-Subject`
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// `OCI-Tag`
pub const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// `OCI-Filters-Applied`
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What an operation answers: HTTP, or a failure that becomes it.
pub type Answer = Result<Response<Body>, Failure>;

/// What the handlers need to know of a request.
pub struct Call<'a> {
    /// Method, target and headers.
    pub parts: &'a Parts,
    /// Who asks.
    pub principal: &'a Arc<Principal>,
    /// The connection.
    pub via: &'a Via,
    /// Sends files without copying, where the connection can.
    pub send_file: Option<&'a dyn SendFile>,
    /// How URLs are built.
    pub base_urls: &'a BaseUrls,
}

impl Call<'_> {
    /// The address under which this client reaches us.
    pub fn base(&self) -> BaseUrl {
        self.base_urls.of(&self.parts.headers, &self.parts.uri, self.via)
    }

    /// The query string, empty when there is none.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The first parameter of this name that is not empty.
    pub fn parameter(&self, name: &str) -> Option<String> {
        query::first(self.query(), name)
            .filter(|value| !value.is_empty())
            .map(|value| value.into_owned())
    }

    /// An empty answer with a `Location`.
    pub fn located(&self, status: StatusCode, path: &str) -> Response<Body> {
        let mut answer = response::empty(status);
        if let Some(value) = self.base().location_value(path) {
            answer.headers_mut().insert(header::LOCATION, value);
        }
        answer
    }

    /// 201 for content that is now there.
    pub fn created(&self, path: &str, digest: &Digest) -> Response<Body> {
        let mut answer = self.located(StatusCode::CREATED, path);
        set_digest(&mut answer, digest);
        answer
    }
}

/// Sets `Docker-Content-Digest`.
pub fn set_digest(answer: &mut Response<Body>, digest: &Digest) {
    answer
        .headers_mut()
        .insert(CONTENT_DIGEST, text_value(digest.to_string()));
}

/// A header value of text that is known to be visible ASCII; anything else becomes empty.
pub fn text_value(text: impl Into<bytes::Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).unwrap_or(HeaderValue::from_static(""))
}
