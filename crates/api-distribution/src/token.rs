//! `/service/token`: the built-in token service (distribution "Token Authentication", GET, and
//! "OAuth2 token authentication", POST).

use std::collections::HashMap;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;
use wharf_access::Visibility;
use wharf_api_common::{Body, response};
use wharf_auth::{Authenticator, Authorization, Failure as AuthFailure, TokenRequest};
use wharf_oci::{ErrorCode, RepositoryName};
use wharf_registry::repository::Repositories;

use crate::error::{Failure, Wanted};

/// No form of a client is longer, in bytes.
const MAX_FORM: usize = 64 << 10;

/// Answers GET and POST.
pub async fn token(
    authenticator: &Authenticator,
    repositories: &Repositories,
    parts: &http::request::Parts,
    body: Body,
    address: IpAddr,
) -> Result<Response<Body>, Failure> {
    let Some(service) = authenticator.token_service() else {
        let message = "this registry does not issue tokens: it is configured for another way to sign in";
        return Err(Failure::not_found(ErrorCode::Unsupported, message));
    };
    let request = match parts.method {
        Method::GET | Method::HEAD => TokenRequest::parse_query(parts.uri.query().unwrap_or_default()),
        Method::POST => TokenRequest::parse_form(&read_form(body).await?),
        _ => {
            let failure = Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::Unsupported,
                "use GET or POST",
            );
            return Err(failure.with_header(header::ALLOW, "GET, POST"));
        }
    };
    let request = match request {
        Ok(request) => for_docker(request, &parts.method),
        Err(error) => {
            let body = json!({ "error": error.code(), "error_description": error.to_string() });
            return Ok(response::json(StatusCode::BAD_REQUEST, &body));
        }
    };
    let authorization = parts
        .headers
        .get(header::AUTHORIZATION)
        .map(|value| Authorization::new(value.as_bytes()));
    let principal = service
        .authenticate(&request, authorization, address)
        .await
        .map_err(from_auth)?;
    let mut visibilities: HashMap<RepositoryName, Visibility> = HashMap::new();
    for name in request.repositories() {
        let visibility = repositories.visibility(&name).await?;
        visibilities.insert(name, visibility);
    }
    let visibility = |name: &RepositoryName| visibilities.get(name).copied().unwrap_or_default();
    let answer = service
        .answer(&principal, &request, visibility)
        .await
        .map_err(from_auth)?;
    let mut answer = response::json(StatusCode::OK, &answer);
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// `docker login` would keep a refresh token in place of the password. podman, buildah and skopeo
/// look into docker's file and then refuse to sign in ("auth file contains an Identity token"),
/// and kubelets find no password in a pull secret that was made of it. So docker, which asks with
/// GET and names itself, gets none; who asks otherwise does.
fn for_docker(mut request: TokenRequest, method: &Method) -> TokenRequest {
    if request.client_id == "docker" && *method != Method::POST {
        request.wants_refresh_token = false;
    }
    request
}

async fn read_form(body: Body) -> Result<Bytes, Failure> {
    match Limited::new(body, MAX_FORM).collect().await {
        Ok(form) => Ok(form.to_bytes()),
        Err(error) => Err(Failure::bad_request(
            ErrorCode::Unknown,
            format!("the form cannot be read: {error}"),
        )),
    }
}

/// What a refused credential means on the wire.
pub fn from_auth(failure: AuthFailure) -> Failure {
    let message = failure.to_string();
    let retry_after = failure.retry_after().map(|wait| wait.as_secs().max(1));
    let mut answer = match &failure {
        AuthFailure::Header(_) | AuthFailure::OtherKind(_) | AuthFailure::WrongCredentials => {
            Failure::unauthorized(message, Wanted::default())
        }
        AuthFailure::Token(_) => Failure::unauthorized(
            message,
            Wanted {
                scopes: Vec::new(),
                error: Some("invalid_token"),
            },
        ),
        AuthFailure::Throttled(_) => Failure::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message),
        AuthFailure::Busy(_) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message),
        AuthFailure::Accounts(error) => {
            tracing::error!(%error, "credentials cannot be checked");
            let message = "credentials cannot be checked now: try again";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
        }
    };
    answer.retry_after = retry_after;
    answer
}
