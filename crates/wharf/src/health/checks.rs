//! Checks that run again and again: distribution's `storagedriver`, `file`, `http` and `tcp`.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Health, Scope};
use crate::shutdown::Shutdown;

type Outcome = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One check, ready to run.
pub struct Check {
    name: String,
    interval: Duration,
    threshold: u32,
    probe: Box<dyn Fn() -> Outcome + Send + Sync>,
}

/// A check that cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The URI of a check cannot be asked.
    #[error("health check {uri:?} is not an http or https URL")]
    Uri {
        /// Without credentials.
        uri: String,
    },
    /// A header of a check is ill-formed.
    #[error("health check header {name:?} is ill-formed")]
    Header {
        /// Its name; the value may be a secret.
        name: String,
    },
    /// No HTTP client can be made, mostly for want of certificate authorities.
    #[error("health check has no HTTP client: {reason}")]
    Client {
        /// What the client says.
        reason: String,
    },
}

/// What an `http` check asks for.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    /// The URL, asked with HEAD. Redirects are not followed.
    pub uri: String,
    /// Headers to send.
    pub headers: Vec<(String, Vec<String>)>,
    /// The status that means healthy.
    pub status: u16,
    /// How long an answer may take; `None` takes 10 s, or the interval if that is longer.
    pub timeout: Option<Duration>,
}

/// How long a check without a configured timeout waits, or its interval if that is longer: a peer
/// that never answers must count as a failure at some time.
const WAIT: Duration = Duration::from_secs(10);
/// No check runs more often than this, whatever is configured.
const SHORTEST: Duration = Duration::from_millis(10);

impl Check {
    /// A check of one's own. `threshold`: how many failures in a row count; 0 and 1 mean the first.
    pub fn new<F, P>(name: impl Into<String>, interval: Duration, threshold: u32, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self {
            name: name.into(),
            interval: interval.max(SHORTEST),
            threshold: threshold.max(1),
            probe: Box::new(move || Box::pin(probe())),
        }
    }

    /// Fails while a file exists: how operators take an instance out of service.
    #[must_use]
    pub fn file(path: PathBuf, interval: Duration) -> Self {
        let name = path.display().to_string();
        Self::new(name, interval, 1, move || {
            let found = match std::fs::metadata(&path) {
                Ok(_) => Err("file exists".to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            std::future::ready(found)
        })
    }

    /// Fails while an address, `host:port`, takes no connections.
    #[must_use]
    pub fn tcp(addr: String, limit: Option<Duration>, interval: Duration, threshold: u32) -> Self {
        let limit = limit.unwrap_or(interval.max(WAIT));
        Self::new(addr.clone(), interval, threshold, move || {
            let addr = addr.clone();
            async move {
                match timeout(limit, TcpStream::connect(&addr)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(format!("connection to {addr} failed: {error}")),
                    Err(_) => Err(format!("connection to {addr} took longer than {limit:?}")),
                }
            }
        })
    }

    /// Fails while a URL does not answer with the expected status.
    ///
    /// # Errors
    /// When the URL or a header is ill-formed.
    pub fn http(target: HttpTarget, interval: Duration, threshold: u32) -> Result<Self, CheckError> {
        let url = reqwest::Url::parse(&target.uri).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let name = without_credentials(&target.uri);
        let Some(url) = url else {
            return Err(CheckError::Uri { uri: name });
        };
        let client = reqwest::Client::builder()
            .timeout(target.timeout.unwrap_or(interval.max(WAIT)))
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers(&target.headers)?)
            .no_proxy()
            .build()
            .map_err(|error| CheckError::Client {
                reason: error.to_string(),
            })?;
        let status = target.status;
        Ok(Self::new(name, interval, threshold, move || {
            let asked = client.head(url.clone()).send();
            async move {
                let answer = asked.await.map_err(|error| plain(&error))?;
                let found = answer.status().as_u16();
                if found == status {
                    return Ok(());
                }
                Err(format!("downstream service returned unexpected status: {found}"))
            }
        }))
    }

    /// The name under which failures are shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the check until the process stops. Run it as a task.
    pub async fn run(self, health: Health, shutdown: Shutdown) {
        let mut failures = 0_u32;
        loop {
            let outcome = tokio::select! {
                outcome = (self.probe)() => outcome,
                () = shutdown.stopping() => return,
            };
            match outcome {
                Ok(()) => {
                    failures = 0;
                    health.recover(Scope::Gate, &self.name);
                }
                Err(reason) => {
                    failures = failures.saturating_add(1);
                    tracing::debug!(check = self.name, reason, failures, "health check failed");
                    if failures >= self.threshold {
                        health.fail(Scope::Gate, &self.name, reason);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = shutdown.stopping() => return,
            }
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("interval", &self.interval)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

fn headers(list: &[(String, Vec<String>)]) -> Result<HeaderMap, CheckError> {
    let mut headers = HeaderMap::new();
    for (name, values) in list {
        let ill_formed = || CheckError::Header { name: name.clone() };
        let key = HeaderName::try_from(name.as_str()).map_err(|_| ill_formed())?;
        for value in values {
            let value = HeaderValue::from_str(value).map_err(|_| ill_formed())?;
            headers.append(key.clone(), value);
        }
    }
    Ok(headers)
}

/// A URL as it may be shown: what stands before `@` may be a password.
fn without_credentials(uri: &str) -> String {
    match uri.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => uri.to_owned(),
    }
}

/// The causes of an error in one line, without its URL, which may hold credentials.
fn plain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "request failed".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
