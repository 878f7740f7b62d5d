//! The OCI distribution API under `/v2/` and the token service.
//!
//! A request is parsed once into an [`Endpoint`], its credentials become a principal, and a thin
//! handler calls one capability of the registry. What goes wrong becomes HTTP in [`error`] and
//! nowhere else.

mod blobs;
mod call;
mod endpoint;
mod error;
mod lists;
mod manifests;
mod redirects;
mod token;
mod uploads;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use serde_json::json;
use wharf_access::Principal;
use wharf_api_common::{Answered, BaseUrls, Body, ClientAddress, SendFile, Via, response};
use wharf_auth::{Authenticator, Authorization, Base, Reason};
use wharf_oci::ErrorCode;
use wharf_registry::catalog::Catalog;
use wharf_registry::deletion::Deletions;
use wharf_registry::pull::Pulls;
use wharf_registry::push::Pushes;
use wharf_registry::referrers::ReferrerLists;
use wharf_registry::repository::Repositories;
use wharf_registry::tag::Tags;

pub use endpoint::{Endpoint, EndpointError};
pub use lists::PageLimits;
pub use redirects::Redirects;

use call::{Answer, Call};
use error::{Failure, Wanted};

/// `Docker-Distribution-Api-Version`
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The capabilities that the API offers.
pub struct Capabilities {
    /// Which repository a name means.
    pub repositories: Repositories,
    /// Reading.
    pub pulls: Pulls,
    /// Writing.
    pub pushes: Pushes,
    /// Deleting.
    pub deletions: Deletions,
    /// Tag lists.
    pub tags: Tags,
    /// The repository list.
    pub catalog: Catalog,
    /// Referrer lists.
    pub referrers: ReferrerLists,
    /// Where clients get blobs from; `None` = from here.
    pub redirects: Option<Arc<dyn Redirects>>,
}

/// Answers every request under `/v2/`, and the token service.
pub struct DistributionApi {
    capabilities: Capabilities,
    authenticator: Arc<Authenticator>,
    base_urls: BaseUrls,
    limits: PageLimits,
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The connection.
    pub via: Via,
    /// The client, as far as it can be believed.
    pub client: ClientAddress,
    /// Sends files without copying, where the connection can.
    pub send_file: Option<Arc<dyn SendFile>>,
}

impl DistributionApi {
    /// Offers `capabilities` to whom `authenticator` lets in.
    pub const fn new(
        capabilities: Capabilities,
        authenticator: Arc<Authenticator>,
        base_urls: BaseUrls,
        limits: PageLimits,
    ) -> Self {
        Self {
            capabilities,
            authenticator,
            base_urls,
            limits,
        }
    }

    /// Answers a request whose path begins with `/v2`.
    pub async fn answer(&self, request: Request<Body>, origin: Origin) -> Answered {
        let (parts, body) = request.into_parts();
        let endpoint = Endpoint::parse(parts.uri.path());
        let handler = endpoint.as_ref().map_or("unknown", Endpoint::handler);
        let (principal, answer) = match self.authenticate(&parts, &origin).await {
            Ok(principal) => {
                let answer = match endpoint {
                    Ok(endpoint) => self.dispatch(&parts, body, endpoint, &principal, &origin).await,
                    Err(error) => Err(Failure::from(error)),
                };
                (Some(principal), answer)
            }
            Err(failure) => (None, Err(failure)),
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(failure) => self.refuse(failure, &parts, &origin, principal.as_deref()),
        };
        response
            .headers_mut()
            .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        Answered {
            response,
            handler,
            principal,
        }
    }

    /// Answers `/service/token`.
    pub async fn token(&self, request: Request<Body>, origin: Origin) -> Answered {
        let (parts, body) = request.into_parts();
        let repositories = &self.capabilities.repositories;
        let answer = token::token(&self.authenticator, repositories, &parts, body, address(&origin)).await;
        let response = answer.unwrap_or_else(|mut failure| {
            // the token service asks for a password, not for a token
            let is_unauthorized = failure.challenge.take().is_some();
            let mut answer = failure.into_response();
            if is_unauthorized {
                answer.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"wharf\""),
                );
            }
            answer
        });
        Answered {
            response,
            handler: "token",
            principal: None,
        }
    }

    async fn authenticate(&self, parts: &Parts, origin: &Origin) -> Result<Arc<Principal>, Failure> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let authorization = header.map(|value| Authorization::new(value.as_bytes()));
        self.authenticator
            .authenticate(authorization, address(origin))
            .await
            .map_err(token::from_auth)
    }

    async fn dispatch(
        &self,
        parts: &Parts,
        body: Body,
        endpoint: Endpoint,
        principal: &Arc<Principal>,
        origin: &Origin,
    ) -> Answer {
        let call = Call {
            parts,
            principal,
            via: &origin.via,
            send_file: origin.send_file.as_deref(),
            base_urls: &self.base_urls,
        };
        let Capabilities {
            pulls,
            pushes,
            deletions,
            tags,
            catalog,
            referrers,
            redirects,
            ..
        } = &self.capabilities;
        let redirects = redirects.as_deref();
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match (&parts.method, &endpoint) {
            (_, Endpoint::Base) if is_read => base(principal),
            (_, Endpoint::Manifest(name, reference)) if is_read => manifests::get(pulls, &call, name, reference).await,
            (_, Endpoint::Blob(name, digest)) if is_read => blobs::get(pulls, redirects, &call, name, digest).await,
            (_, Endpoint::Tags(name)) if is_read => lists::tags(tags, self.limits, &call, name).await,
            (_, Endpoint::Catalog) if is_read => lists::catalog(catalog, self.limits, &call).await,
            (_, Endpoint::Referrers(name, digest)) if is_read => lists::referrers(referrers, &call, name, digest).await,
            (_, Endpoint::Upload(name, id)) if is_read => uploads::status(pushes, &call, name, id).await,
            (&Method::POST, Endpoint::Uploads(name)) => uploads::start(pushes, &call, name, body).await,
            (&Method::PATCH, Endpoint::Upload(name, id)) => uploads::append(pushes, &call, name, id, body).await,
            (&Method::PUT, Endpoint::Upload(name, id)) => uploads::complete(pushes, &call, name, id, body).await,
            (&Method::DELETE, Endpoint::Upload(name, id)) => uploads::cancel(pushes, &call, name, id).await,
            (&Method::PUT, Endpoint::Manifest(name, reference)) => {
                manifests::put(pushes, &call, name, reference.clone(), body).await
            }
            (&Method::DELETE, Endpoint::Manifest(name, reference)) => {
                manifests::delete(deletions, &call, name, reference).await
            }
            (&Method::DELETE, Endpoint::Blob(name, digest)) => blobs::delete(deletions, &call, name, digest).await,
            (method, endpoint) => Err(not_allowed(method, endpoint)),
        }
    }

    /// The answer to a failure, with the challenge that helps.
    fn refuse(
        &self,
        mut failure: Failure,
        parts: &Parts,
        origin: &Origin,
        principal: Option<&Principal>,
    ) -> Response<Body> {
        let challenge = failure.challenge.take();
        let mut answer = failure.into_response();
        if let Some(wanted) = challenge {
            let reason = match (
                wanted.error,
                principal.is_some_and(|principal| principal.scopes.is_some()),
            ) {
                (Some(_), _) => Reason::InvalidToken,
                (None, true) => Reason::InsufficientScope,
                (None, false) => Reason::Credentials,
            };
            let base = self.base_urls.of(&parts.headers, &parts.uri, &origin.via);
            let url = base.absolute("");
            let base = Base {
                url: &url,
                is_certain: base.scheme_is_certain(),
            };
            let Wanted { scopes, .. } = wanted;
            let challenge = self.authenticator.challenge(reason, &scopes, base);
            response::set(answer.headers_mut(), header::WWW_AUTHENTICATE, &challenge.to_string());
        }
        answer
    }
}

/// `GET /v2/`: docker decides by this answer alone whether it signs in, so nobody gets a 200
/// without credentials where signing in is possible. Who shows a token that was made for nobody
/// has been at the token service already and is not sent there again.
fn base(principal: &Principal) -> Answer {
    if principal.is_anonymous() && principal.scopes.is_none() {
        return Err(Failure::unauthorized("authentication required", Wanted::default()));
    }
    Ok(response::json(StatusCode::OK, &json!({})))
}

fn not_allowed(method: &Method, endpoint: &Endpoint) -> Failure {
    let allowed = endpoint.allowed();
    let message = format!("{method} is not possible here, use one of {allowed}");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message).with_header(header::ALLOW, allowed)
}

/// Throttling is per address; an unnamed local process counts as this machine.
fn address(origin: &Origin) -> IpAddr {
    origin.client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
