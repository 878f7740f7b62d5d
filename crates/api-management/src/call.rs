//! What handlers take from a request.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Query};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use serde::de::DeserializeOwned;
use wharf_access::{Action, Decision, Resource, decide};
use wharf_api_common::{Body, response};
use wharf_registry::audit::Actor;
use wharf_registry::jobs;

use crate::error::{Code, Failure};
use crate::{Caller, PREFIX};

/// What a handler answers.
pub type Answer = Result<Response<Body>, Failure>;

/// A caller that may administer the registry.
pub struct Administrator(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Failure::internal("a request reached the API without its caller"))?;
        match decide(&caller.principal, Action::Administer, Resource::System) {
            Decision::Allowed => Ok(Self(caller)),
            Decision::NeedsCredentials => Err(Failure::unauthorized("sign in as an administrator")),
            Decision::Denied => Err(Failure::new(
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                "only administrators may do this",
            )),
        }
    }
}

/// The address that the audit log notes.
pub fn address(caller: &Caller) -> String {
    caller.address.map(|address| address.to_string()).unwrap_or_default()
}

/// Whoever calls, for the audit log.
pub fn actor<'a>(caller: &'a Caller, address: &'a str) -> Actor<'a> {
    Actor {
        principal: &caller.principal,
        address,
    }
}

/// Whoever wants a job.
pub fn job_actor<'a>(caller: &'a Caller, address: &'a str) -> jobs::Actor<'a> {
    jobs::Actor {
        name: caller.principal.name(),
        address,
    }
}

/// How many entries a page has: `usual` when nobody says, and `largest` at most.
pub fn page_size(wanted: Option<usize>, usual: usize, largest: usize) -> Result<usize, Failure> {
    match wanted.unwrap_or(usual) {
        size if (1..=largest).contains(&size) => Ok(size),
        size => Err(Failure::bad_request(format!(
            "page_size={size} is not within 1 and {largest}"
        ))),
    }
}

/// The JSON body of a request.
pub struct Payload<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Payload<T> {
    type Rejection = Failure;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Failure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(payload)) => Ok(Self(payload)),
            Err(rejection) => Err(unreadable(&rejection)),
        }
    }
}

fn unreadable(rejection: &JsonRejection) -> Failure {
    let status = rejection.status();
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        _ => Code::BadRequest,
    };
    Failure::new(status, code, rejection.body_text())
}

/// The parameters of the query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(params) = query.map_err(|rejection: QueryRejection| Failure::bad_request(rejection.body_text()))?;
        Ok(Self(params))
    }
}

/// The answer to a request that made something or did something, without a body.
pub fn done(status: StatusCode) -> Answer {
    Ok(response::empty(status))
}

/// The answer with a value.
pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Answer {
    Ok(response::json(StatusCode::OK, value))
}

/// Adds where the next page is.
pub fn link_next(answer: &mut Response<Body>, next: &str) -> Result<(), Failure> {
    set(answer, header::LINK, &format!("<{next}>; rel=\"next\""))
}

/// Adds where a job is.
pub fn locate_job(answer: &mut Response<Body>, id: i64) -> Result<(), Failure> {
    set(answer, header::LOCATION, &format!("{PREFIX}/jobs/{id}"))
}

/// The answer to a request that a job works off.
pub fn accepted(job: i64) -> Answer {
    let mut answer = response::json(StatusCode::ACCEPTED, &serde_json::json!({ "job": job }));
    locate_job(&mut answer, job)?;
    Ok(answer)
}

fn set(answer: &mut Response<Body>, name: HeaderName, value: &str) -> Result<(), Failure> {
    let value = HeaderValue::try_from(value).map_err(Failure::internal)?;
    answer.headers_mut().insert(name, value);
    Ok(())
}

pub async fn no_such_resource(uri: Uri) -> Failure {
    let path = uri.path();
    Failure::not_found(format!(
        "there is nothing at {path}: the management API begins at {PREFIX}/"
    ))
}

pub async fn no_such_method(method: Method, uri: Uri) -> Failure {
    let message = format!("{method} is not possible at {}", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, message)
}
