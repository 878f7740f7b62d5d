//! The keys of a bucket: from AWS's files, a web identity (IRSA), the container's agent (EKS pod identity, ECS)
//! or the instance (IMDSv2), in the order of AWS's own SDKs. They are fetched when they are needed first and
//! renewed before they expire; a renewal that fails is tried again while the old ones are good.

mod answer;
mod container;
mod instance;
mod profile;
#[cfg(test)]
mod tests;
mod web_identity;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use wharf_registry::Clock;

use crate::config::{AccessKey, Credentials, S3};

/// Keys with less time than this are renewed.
const EARLY: SignedDuration = SignedDuration::from_secs(300);
/// How long a renewal that failed waits for the next one.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// How often the files of a profile are read.
const FILES: SignedDuration = SignedDuration::from_secs(10);

/// Finds the keys of a bucket and remembers them.
pub struct Finder {
    credentials: Credentials,
    region: String,
    clients: Clients,
    clock: Clock,
    found: StdMutex<Option<Found>>,
    /// One renews at a time.
    renewing: Mutex<()>,
}

/// The HTTP clients that keys are asked for with.
struct Clients {
    /// Of the machine itself: never by a proxy.
    near: reqwest::Client,
    /// Of AWS: by the proxy of the environment, with a verified certificate.
    far: reqwest::Client,
}

#[derive(Clone)]
struct Found {
    keys: AccessKey,
    /// From then on newer ones are looked for.
    renew: Timestamp,
    /// From then on they are of no use; `None` = never.
    end: Option<Timestamp>,
}

/// What a source has said.
struct Fetched {
    keys: AccessKey,
    /// `None` = as long as the files say so.
    end: Option<Timestamp>,
}

impl Finder {
    /// For the bucket `s3`. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// `cafile` cannot be read.
    pub fn new(s3: &S3, clock: Clock) -> Result<Self> {
        Ok(Self {
            credentials: s3.credentials.clone(),
            region: s3.region.clone(),
            clients: Clients::new(s3.ca_file.as_deref())?,
            clock,
            found: StdMutex::new(None),
            renewing: Mutex::new(()),
        })
    }

    /// The keys to sign with now.
    ///
    /// # Errors
    ///
    /// No source has any: each says why.
    pub async fn keys(&self) -> Result<AccessKey> {
        let now = (self.clock)();
        let usable = self.remembered().filter(|found| found.end.is_none_or(|end| now < end));
        match usable {
            Some(found) if now < found.renew => Ok(found.keys),
            Some(found) => {
                // whoever comes first renews, the others go on with what there is
                let Ok(_turn) = self.renewing.try_lock() else {
                    return Ok(found.keys);
                };
                match self.renew().await {
                    Ok(keys) => Ok(keys),
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "the bucket's keys cannot be renewed yet");
                        let renew = (self.clock)() + PAUSE;
                        self.remember(Found { renew, ..found.clone() });
                        Ok(found.keys)
                    }
                }
            }
            None => {
                let _turn = self.renewing.lock().await;
                // somebody else may have been asking meanwhile
                match self.remembered().filter(|found| now < found.renew) {
                    Some(found) => Ok(found.keys),
                    None => self.renew().await,
                }
            }
        }
    }

    async fn renew(&self) -> Result<AccessKey> {
        let fetched = Box::pin(self.fetch(&self.credentials)).await?;
        let now = (self.clock)();
        let renew = match fetched.end {
            Some(end) => {
                let left = end.duration_since(now);
                now + (left - EARLY).max(left / 2)
            }
            None => now + FILES,
        };
        let keys = fetched.keys.clone();
        self.remember(Found {
            keys: fetched.keys,
            renew,
            end: fetched.end,
        });
        Ok(keys)
    }

    async fn fetch(&self, credentials: &Credentials) -> Result<Fetched> {
        match credentials {
            Credentials::Static(keys) => Ok(Fetched {
                keys: keys.clone(),
                end: None,
            }),
            Credentials::Profile {
                credentials,
                config,
                name,
            } => match profile::read(credentials, config, name).await? {
                profile::Profile::Keys(keys) => Ok(Fetched { keys, end: None }),
                profile::Profile::WebIdentity { token_file, role_arn } => {
                    self.assume(&token_file, &role_arn, "wharf", None).await
                }
            },
            Credentials::WebIdentity {
                token_file,
                role_arn,
                session_name,
                endpoint,
            } => {
                self.assume(token_file, role_arn, session_name, endpoint.as_deref())
                    .await
            }
            Credentials::Container { url, authorization } => {
                let answer = container::fetch(&self.clients.near, url, authorization).await;
                self.lasting(answer.with_context(|| format!("the container's agent at {url}"))?)
            }
            Credentials::Instance { endpoint } => {
                let answer = instance::fetch(&self.clients.near, endpoint).await;
                self.lasting(answer.with_context(|| format!("the instance's metadata service at {endpoint}"))?)
            }
            Credentials::Chain(sources) => self.first(sources).await,
        }
    }

    async fn assume(&self, token_file: &Path, role: &str, session: &str, endpoint: Option<&str>) -> Result<Fetched> {
        let endpoint = endpoint.map_or_else(|| web_identity::endpoint(&self.region), str::to_owned);
        let answer = web_identity::fetch(&self.clients.far, &endpoint, (token_file, role, session)).await;
        self.lasting(answer.with_context(|| format!("role {role} by web identity"))?)
    }

    async fn first(&self, sources: &[Credentials]) -> Result<Fetched> {
        let mut reasons = Vec::new();
        for source in sources {
            match Box::pin(self.fetch(source)).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        let reasons = reasons.join("; ");
        Err(anyhow!(
            "no keys for the bucket: neither `accesskey` and `secretkey` nor AWS_ACCESS_KEY_ID are set; {reasons}"
        ))
    }

    fn lasting(&self, answer: answer::Answer) -> Result<Fetched> {
        if answer.expiration <= (self.clock)() {
            return Err(anyhow!(
                "the keys that came have expired at {}: is this machine's clock right?",
                answer.expiration
            ));
        }
        Ok(Fetched {
            keys: answer.keys,
            end: Some(answer.expiration),
        })
    }

    fn remembered(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Clients {
    fn new(authorities: Option<&Path>) -> Result<Self> {
        let builder = |connect: u64, answer: u64| {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(connect))
                .timeout(Duration::from_secs(answer))
                .redirect(reqwest::redirect::Policy::none())
        };
        let mut trusted = Vec::new();
        if let Some(file) = authorities {
            let failed = || format!("storage.s3.cafile {} cannot be used", file.display());
            let pem = std::fs::read(file).with_context(failed)?;
            trusted = reqwest::Certificate::from_pem_bundle(&pem).with_context(failed)?;
        }
        Ok(Self {
            near: builder(1, 5).no_proxy().build()?,
            far: builder(5, 15).tls_certs_merge(trusted).build()?,
        })
    }
}
