//! The registry of this machine for command-line tools: the running one over its socket, or its
//! files when none runs. Both answer the same API.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use http::{Method, Request, Response, header};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use wharf_api_common::Body;
use wharf_api_management::{Caller, ManagementApi, PREFIX};

use super::{Workings, jobs, management};
use crate::config::Config;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, Tasks};

/// The longest answer that is read whole, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// The registry that a configuration describes.
pub struct Local {
    way: Way,
}

enum Way {
    /// Another process runs it.
    Running(SendRequest<Body>),
    /// Nobody runs it: this process holds its index until [`Local::close`].
    Stopped(Box<Stopped>),
}

struct Stopped {
    api: ManagementApi,
    workings: Workings,
    tasks: Tasks,
}

impl Local {
    /// Reaches the running registry, or opens the files of a stopped one.
    ///
    /// # Errors
    ///
    /// It runs but does not answer, or its files cannot be opened.
    pub async fn open(config: &Config) -> Result<Self> {
        if let Some(stream) = connect(super::admin_socket(config).as_deref()).await? {
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (requests, connection) = handshake.context("the running registry does not answer on its socket")?;
            #[expect(clippy::disallowed_methods, reason = "the composition root starts tasks")]
            // it ends with the last request; what went wrong is that request's answer
            tokio::spawn(async move { drop(connection.await) });
            return Ok(Self {
                way: Way::Running(requests),
            });
        }
        let tasks = Tasks::new(Shutdown::new());
        let metrics = Arc::new(Metrics::new(super::VERSION));
        let workings = super::stopped(config, &Health::new(), &metrics).await?;
        jobs::Engine::new(config, &workings, &metrics).start_for_command(&tasks);
        let api = management::api(config, &tasks, &workings);
        Ok(Self {
            way: Way::Stopped(Box::new(Stopped { api, workings, tasks })),
        })
    }

    /// Whether a registry runs, rather than this process working on its files.
    pub const fn is_running(&self) -> bool {
        matches!(self.way, Way::Running(_))
    }

    /// Calls the API at a path below `/api/v2.0` and reads the JSON answer; an empty one is null.
    ///
    /// # Errors
    ///
    /// What the API says is wrong, or the registry cannot be reached any more.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        payload: Option<&Value>,
    ) -> Result<T> {
        let answer = self.send(method, path, payload).await?;
        let bytes = axum::body::to_bytes(answer.into_body(), LONGEST_ANSWER).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).context("the registry's answer cannot be read: use wharf of the same version")
    }

    /// The same, answering the body as it comes.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub async fn send(&mut self, method: Method, path: &str, payload: Option<&Value>) -> Result<Response<Body>> {
        let body = match payload {
            Some(payload) => Body::from(serde_json::to_vec(payload)?),
            None => Body::empty(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let answer = match &mut self.way {
            Way::Running(requests) => {
                requests.ready().await.context("the running registry has ended")?;
                let answer = requests.send_request(request).await;
                answer.context("the running registry did not answer")?.map(Body::new)
            }
            Way::Stopped(stopped) => stopped.api.answer_as(request, Caller::operator()).await.response,
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refusal(answer).await)
    }

    /// Lets the files go.
    pub async fn close(self) {
        if let Way::Stopped(stopped) = self.way {
            let Stopped { workings, tasks, .. } = *stopped;
            tasks.shutdown().begin();
            // what was asked for has been answered; nothing of it is still under way
            drop(tasks.finish(Duration::from_secs(10)).await);
            workings.index.close().await;
        }
    }
}

/// What the API says is wrong.
async fn refusal(answer: Response<Body>) -> anyhow::Error {
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20)
        .await
        .unwrap_or_default();
    let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match told["errors"][0]["message"].as_str() {
        Some(message) => anyhow!(message.to_owned()),
        None => anyhow!("the registry answered {status}"),
    }
}

/// A connection to the running registry; `None` when none runs.
async fn connect(socket: Option<&Path>) -> Result<Option<UnixStream>> {
    let Some(socket) = socket else { return Ok(None) };
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error).with_context(|| format!("the running registry cannot be asked on {}", socket.display())),
        },
    }
}

/// Runs a command's calls on a registry and lets it go afterwards, whatever became of them.
///
/// # Errors
///
/// The registry cannot be reached, or what `calls` returns.
pub fn with<T>(config: &Config, calls: impl AsyncFnOnce(&mut Local) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut local = Local::open(config).await?;
        let outcome = calls(&mut local).await;
        local.close().await;
        outcome
    })
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_plain(byte) {
            true => segment.push(char::from(byte)),
            false => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// For a command that needs the registry to be stopped.
///
/// # Errors
///
/// It runs.
pub async fn must_be_stopped(config: &Config, what: &str) -> Result<()> {
    match connect(super::admin_socket(config).as_deref()).await? {
        Some(_) => bail!("{what} needs the registry to be stopped, and it runs"),
        None => Ok(()),
    }
}
