//! The database server that holds the index, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures_util::future::OptionFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use wharf_api_common::{Body, response};
use wharf_metadata::error::Kind;
use wharf_metadata::server::Config as ServerConfig;
use wharf_metadata::{Location, Metadata};

use super::settings;
use crate::config::Config;
use crate::health::{self, Health, Scope};
use crate::listen::{self, ConnectionInfo, Handler, Listener};
use crate::shutdown::{Shutdown, Tasks};
use crate::tls::Certificates;

/// The name of the condition in `/readyz`.
const CONDITION: &str = "database";
/// What strangers are told; the log says more.
const WAITING: &str = "the database does not answer yet";
const LOST: &str = "the database does not answer";
/// How often the server is asked whether it is there.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long requests in flight may take when it is there.
const DRAIN: Duration = Duration::from_secs(1);

/// The server that the configuration names; `None` when the index is in a file.
///
/// # Errors
///
/// `database.url_file` cannot be read, or holds no URL of a server.
pub fn server(config: &Config) -> Result<Option<ServerConfig>> {
    let database = &config.database;
    let url = match (&database.url, &database.url_file) {
        (Some(url), _) => url.expose().to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("database.url_file {} cannot be read", file.display()))?,
        (None, None) => return Ok(None),
    };
    match Location::parse(&url).context("database.url")? {
        Location::Server(mut server) => {
            server.max_connections = database.max_connections;
            server.connect_timeout = database.connect_timeout;
            server.statement_timeout = database.statement_timeout;
            Ok(Some(*server))
        }
        Location::Sqlite(_) => Err(anyhow!(
            "database.url_file names a file: set database.path to it instead"
        )),
    }
}

/// Waits for a database server that does not answer yet. Meanwhile the process is live and not
/// ready. `false` when it was told to stop before.
///
/// # Errors
///
/// Waiting would not help: the server refuses us; or the address cannot be listened on.
pub async fn wait(config: &Config, health: &Health, shutdown: &Shutdown) -> Result<bool> {
    let Some(server) = server(config)? else {
        return Ok(true);
    };
    let Some(reason) = missing(&server).await? else {
        return Ok(true);
    };
    tracing::warn!(database = %server, reason, "waiting for the database: live, but not ready until it answers");
    health.fail(Scope::Ready, CONDITION, WAITING);
    let answering = Shutdown::new();
    let certificates = settings::tls(config).map(Certificates::load).transpose()?.map(Arc::new);
    let room = Arc::new(WaitingRoom { health: health.clone() });
    let main = Listener::bind(settings::listener(config)).await?;
    let main = main.serve(Arc::clone(&room), certificates, answering.clone(), DRAIN);
    // probes may be made there
    let debug = match &config.http.debug {
        Some(debug) => Some(Listener::bind(listen::Config::new(settings::address(&debug.listen))).await?),
        None => None,
    };
    let debug = debug.map(|listener| listener.serve(room, None, answering.clone(), DRAIN));
    let asking = async {
        let answer = ask_until_there(&server, shutdown).await;
        answering.begin();
        answer
    };
    let (_, _, answer) = tokio::join!(main, OptionFuture::from(debug), asking);
    let is_there = answer?;
    if is_there {
        health.recover(Scope::Ready, CONDITION);
        tracing::info!(database = %server, "the database answers");
    }
    Ok(is_there)
}

async fn ask_until_there(server: &ServerConfig, shutdown: &Shutdown) -> Result<bool> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.stopping() => return Ok(false),
        }
        match missing(server).await? {
            None => return Ok(true),
            Some(reason) => tracing::info!(database = %server, reason, "still waiting for the database"),
        }
    }
}

/// Why the server cannot be used yet; `None` when it can.
async fn missing(server: &ServerConfig) -> Result<Option<String>> {
    let config = server.clone();
    let asked = tokio::task::spawn_blocking(move || Metadata::probe(&config)).await?;
    match asked {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == Kind::Unavailable => Ok(Some(error.to_string())),
        Err(error) => Err(error).context("the database cannot be used"),
    }
}

/// Watches whether the server answers, for `/readyz`.
pub fn watch(tasks: &Tasks, metadata: &Metadata, health: &Health) {
    if metadata.path().is_some() {
        return;
    }
    let (metadata, health, shutdown) = (metadata.clone(), health.clone(), tasks.shutdown().clone());
    tasks.spawn("database", async move {
        let mut was_there = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.stopping() => return,
            }
            let reason = match tokio::time::timeout(PATIENCE, metadata.ping()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            if was_there != reason.is_none() {
                was_there = reason.is_none();
                match &reason {
                    None => tracing::info!("the database answers again"),
                    Some(reason) => tracing::error!(reason, "the database is lost: it is tried again"),
                }
            }
            match reason {
                None => health.recover(Scope::Ready, CONDITION),
                Some(_) => health.fail(Scope::Ready, CONDITION, LOST),
            }
        }
    });
}

/// What listens while the database is waited for.
struct WaitingRoom {
    health: Health,
}

impl Handler for WaitingRoom {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, _: &Arc<ConnectionInfo>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/livez") => health::live(),
            (&Method::GET | &Method::HEAD, "/readyz") => health::ready(&self.health),
            _ => unavailable(),
        }
    }

    fn panicked(&self) -> Response<Body> {
        unavailable()
    }
}

fn unavailable() -> Response<Body> {
    let message = "the registry waits for its database: try again";
    let errors = json!({"errors": [{"code": "UNAVAILABLE", "message": message}]});
    let mut answer = response::json(StatusCode::SERVICE_UNAVAILABLE, &errors);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}
