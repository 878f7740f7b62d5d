//! The front door of the main listener: which part of the program answers a path.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::json;
use tracing::Instrument as _;
use wharf_access::Principal;
use wharf_api_common::body::{OnSent, Sent};
use wharf_api_common::{
    AccessRecord, Answered, BaseUrls, Body, ClientAddress, Observed, RequestIds, Via, request_id, response,
};
use wharf_api_distribution::{DistributionApi, Endpoint, Origin};
use wharf_api_management::ManagementApi;
use wharf_auth::Authenticator;

use crate::health::{self, Health, Status};
use crate::listen::{ConnectionInfo, Handler};
use crate::metrics::{Metrics, Upload};
use crate::telemetry::{self, AccessLog, RequestContext};

/// Answers every request of the main listener.
pub struct FrontDoor {
    /// `/v2/` and the token service.
    pub api: Arc<DistributionApi>,
    /// `/api/v2.0/`
    pub management: Arc<ManagementApi>,
    /// Who asks the management API.
    pub authenticator: Arc<Authenticator>,
    /// Ready or not, serving or not.
    pub health: Health,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The access log, unless it is switched off.
    pub access_log: Option<Arc<AccessLog>>,
    /// The prefix, and whom to believe about client addresses.
    pub base_urls: BaseUrls,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// `http.headers`: put into every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Handler for FrontDoor {
    type Body = Observed<Departure>;

    async fn call(&self, request: Request<Incoming>, connection: &Arc<ConnectionInfo>) -> Response<Self::Body> {
        let began = Instant::now();
        let proxies = self.base_urls.proxies();
        let client = ClientAddress::of(request.headers(), &connection.peer, proxies);
        let id = self
            .request_ids
            .for_request(request.headers(), proxies.trusts(&connection.peer));
        let record = self.record(&request, client);
        let context = Arc::new(RequestContext {
            id: id.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            client,
            user: std::sync::OnceLock::new(),
        });
        let method = request.method().clone();
        let bytes_in = content_length(request.headers());
        let origin = Origin {
            via: Via {
                peer: connection.peer,
                port: connection.local.tcp().map(|address| address.port()),
                tls: connection.is_tls(),
            },
            client,
            send_file: connection.send_file.clone(),
        };
        let path = request.uri().path();
        let span = telemetry::request_span(&request, || {
            Endpoint::parse(path).map_or("other", |found| found.handler())
        });
        let routed = self.route(request.map(Body::new), origin).instrument(span.clone());
        let answered = telemetry::scope(context, routed).await;
        let Answered {
            mut response,
            handler,
            principal,
        } = answered;
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers.insert(request_id::HEADER, id.header_value());
        span.record("http.response.status_code", response.status().as_u16());
        let http = self.metrics.http(handler);
        http.begin();
        let departure = Departure {
            metrics: Arc::clone(&self.metrics),
            access_log: self.access_log.clone(),
            record,
            principal,
            handler,
            method,
            status: response.status().as_u16(),
            bytes_in,
            began,
        };
        Observed::response(response, departure)
    }

    fn panicked(&self) -> Response<Self::Body> {
        let response = not_answered();
        self.metrics.http("unknown").begin();
        let departure = Departure {
            metrics: Arc::clone(&self.metrics),
            access_log: None,
            record: None,
            principal: None,
            handler: "unknown",
            method: Method::GET,
            status: 500,
            bytes_in: 0,
            began: Instant::now(),
        };
        Observed::response(response, departure)
    }
}

impl FrontDoor {
    async fn route(&self, request: Request<Body>, origin: Origin) -> Answered {
        let path = request.uri().path();
        match path {
            "/livez" => return answered("livez", health::live()),
            "/readyz" => return answered("readyz", health::ready(&self.health)),
            _ => {}
        }
        if self.health.status() == Status::Failing {
            return answered("unavailable", failing(&self.health));
        }
        let prefix = self.base_urls.prefix();
        let Some(rest) = path.strip_prefix(prefix) else {
            return answered("unknown", not_found());
        };
        match rest {
            "/service/token" => self.api.token(request, origin).await,
            _ if rest == "/v2" || rest.starts_with("/v2/") => {
                let request = without_prefix(request, prefix.len());
                self.distribution(request, origin).await
            }
            _ if rest.starts_with("/api/") => {
                let address = origin.client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let (api, authenticator) = (Arc::clone(&self.management), Arc::clone(&self.authenticator));
                let request = without_prefix(request, prefix.len());
                finished(async move { api.answer(request, &authenticator, address).await }).await
            }
            "" | "/" => answered("root", root()),
            _ => answered("unknown", not_found()),
        }
    }

    async fn distribution(&self, request: Request<Body>, origin: Origin) -> Answered {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.api.answer(request, origin).await;
        }
        let api = Arc::clone(&self.api);
        finished(async move { api.answer(request, origin).await }).await
    }

    fn record(&self, request: &Request<Incoming>, client: ClientAddress) -> Option<(Timestamp, AccessRecord)> {
        self.access_log.as_ref()?;
        #[expect(clippy::disallowed_methods, reason = "the composition root reads the clock")]
        let now = Timestamp::now();
        let record = AccessRecord {
            client: client.ip,
            user: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            status: 0,
            bytes: 0,
            referer: request.headers().get(header::REFERER).cloned(),
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
        };
        Some((now, record))
    }
}

/// Changes run in a task of their own: when the client goes away, what was begun is still
/// finished, so that index and storage never part halfway.
#[expect(clippy::disallowed_methods, reason = "the composition root starts tasks")]
pub(super) async fn finished(work: impl Future<Output = Answered> + Send + 'static) -> Answered {
    let outcome = match telemetry::current() {
        Some(context) => tokio::spawn(telemetry::scope(context, work)).await,
        None => tokio::spawn(work).await,
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "a request failed");
        answered("unknown", not_answered())
    })
}

/// What is written down once an answer has left.
pub struct Departure {
    metrics: Arc<Metrics>,
    access_log: Option<Arc<AccessLog>>,
    record: Option<(Timestamp, AccessRecord)>,
    principal: Option<Arc<Principal>>,
    handler: &'static str,
    method: Method,
    status: u16,
    bytes_in: u64,
    began: Instant,
}

impl OnSent for Departure {
    fn sent(self, sent: Sent) {
        let duration: Duration = self.began.elapsed();
        let http = self.metrics.http(self.handler);
        http.observe(&self.method, self.status, duration, self.bytes_in, sent.bytes);
        if let Some(upload) = upload_outcome(self.handler, &self.method, self.status) {
            self.metrics.upload(upload);
        }
        if let (Some(log), Some((at, mut record))) = (self.access_log, self.record) {
            record.user = self
                .principal
                .as_deref()
                .map(Principal::name)
                .filter(|name| !name.is_empty())
                .map(Arc::from);
            record.status = self.status;
            record.bytes = sent.bytes;
            log.write(at, &record);
        }
    }
}

/// What an answer means for an upload, for `wharf_uploads_total`.
fn upload_outcome(handler: &str, method: &Method, status: u16) -> Option<Upload> {
    let is_upload = matches!(handler, "blob_upload" | "blob_upload_chunk");
    Some(match (method, status) {
        _ if !is_upload => return None,
        (&Method::POST, 202) => Upload::Started,
        (&Method::POST, 201) => Upload::Mounted,
        (&Method::PUT, 201) => Upload::Finished,
        (&Method::DELETE, 204) => Upload::Cancelled,
        (&Method::PATCH | &Method::PUT, 400 | 416) => Upload::Refused,
        (_, 500..) => Upload::Failed,
        _ => return None,
    })
}

fn answered(handler: &'static str, response: Response<Body>) -> Answered {
    Answered {
        response,
        handler,
        principal: None,
    }
}

/// As distribution answers `GET /`: load balancers probe it.
fn root() -> Response<Body> {
    let mut answer = response::empty(StatusCode::OK);
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn not_found() -> Response<Body> {
    let message = "there is nothing here: the registry's API begins at /v2/";
    response::json(
        StatusCode::NOT_FOUND,
        &json!({"errors": [{"code": "UNSUPPORTED", "message": message}]}),
    )
}

/// The answer when the program itself failed.
pub(super) fn not_answered() -> Response<Body> {
    let message = "the registry failed to answer: its log says why";
    response::json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({"errors": [{"code": "UNKNOWN", "message": message}]}),
    )
}

fn failing(health: &Health) -> Response<Body> {
    let entry = json!({"code": "UNAVAILABLE", "message": "service unavailable", "detail": health.failures()});
    let mut answer = response::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "errors": [entry] }));
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

fn without_prefix(mut request: Request<Body>, length: usize) -> Request<Body> {
    if length == 0 {
        return request;
    }
    let target = request
        .uri()
        .path_and_query()
        .and_then(|target| target.as_str().get(length..)?.parse().ok());
    if let Some(target) = target {
        *request.uri_mut() = target;
    }
    request
}

fn content_length(headers: &http::HeaderMap) -> u64 {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or_default()
}
