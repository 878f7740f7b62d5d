//! The debug listener (`http.debug.addr`): metrics and health for operators.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use wharf_api_common::response;

use super::responses::{live, ready, uncached};
use super::{Health, Scope};
use crate::listen::{ConnectionInfo, Handler, Stats};
use crate::metrics::Metrics;

/// What the debug listener serves.
#[derive(Clone, Debug)]
pub struct DebugConfig {
    /// The path of the metrics; `None` when `prometheus.enabled` is false.
    pub metrics_path: Option<String>,
    /// Shown under `/debug/vars`.
    pub version: &'static str,
}

/// Answers on the debug listener.
#[derive(Debug)]
pub struct Debug {
    config: DebugConfig,
    health: Health,
    metrics: Arc<Metrics>,
    listeners: Vec<(&'static str, Arc<Stats>)>,
    started: Instant,
}

/// Distribution's name and reason for a switch that an operator turned by hand.
const MANUAL: &str = "manual_http_status";
const MANUAL_REASON: &str = "manual check";

impl Debug {
    /// Serves these metrics and this health; `listeners` show up under `/debug/vars`.
    #[must_use]
    pub fn new(
        config: DebugConfig,
        health: Health,
        metrics: Arc<Metrics>,
        listeners: Vec<(&'static str, Arc<Stats>)>,
    ) -> Self {
        Self {
            config,
            health,
            metrics,
            listeners,
            started: Instant::now(),
        }
    }

    /// Answers one request.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if self.config.metrics_path.as_deref() == Some(path) {
            return if reading {
                self.scrape(request)
            } else {
                not_allowed("GET, HEAD")
            };
        }
        match path {
            "/debug/health/down" | "/debug/health/up" => self.switch(request.method(), path),
            _ if !reading => not_allowed("GET, HEAD"),
            "/debug/health" => uncached(self.health()),
            "/debug/vars" => uncached(self.vars()),
            "/livez" => live(),
            "/readyz" => ready(&self.health),
            _ if path.starts_with("/debug/pprof") => response::text(
                StatusCode::NOT_FOUND,
                "there are no Go profiles here: this is Wharf, use perf on the process instead\n",
            ),
            _ => response::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn scrape<B>(&self, request: &Request<B>) -> Response<Body> {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        self.metrics.text(accept).into_response()
    }

    fn health(&self) -> Response<Body> {
        let failures = self.health.failures();
        let status = if failures.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        response::json(status, &failures)
    }

    /// POST only; distribution answers 404 to other methods.
    fn switch(&self, method: &Method, path: &str) -> Response<Body> {
        if method != Method::POST {
            return response::empty(StatusCode::NOT_FOUND);
        }
        if path.ends_with("/down") {
            self.health.fail(Scope::Gate, MANUAL, MANUAL_REASON);
        } else {
            self.health.recover(Scope::Gate, MANUAL);
        }
        response::empty(StatusCode::OK)
    }

    fn vars(&self) -> Response<Body> {
        let listeners: serde_json::Map<_, _> = self
            .listeners
            .iter()
            .map(|(name, stats)| ((*name).to_owned(), listener(stats)))
            .collect();
        let vars = json!({
            "version": self.config.version,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "pid": std::process::id(),
            "listeners": listeners,
            "not_ready": self.health.not_ready(),
        });
        response::json(StatusCode::OK, &vars)
    }
}

fn listener(stats: &Stats) -> serde_json::Value {
    json!({
        "connections_open": stats.open(),
        "connections": stats.accepted(),
        "timeouts": stats.timeouts(),
        "tls_handshake_failures": stats.handshake_failures(),
        "received_bytes": stats.bytes_in(),
        "sent_bytes": stats.bytes_out(),
    })
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = response::text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

impl Handler for Debug {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, _connection: &Arc<ConnectionInfo>) -> Response<Body> {
        self.answer(&request)
    }

    fn panicked(&self) -> Response<Body> {
        response::empty(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
