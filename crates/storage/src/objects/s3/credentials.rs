//! Who signs the requests to a bucket.

use crate::{Error, ErrorKind, Result, objects::transport::Transport};
use object_store::{
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider},
    client::CredentialProvider,
};
use std::{error::Error as StdError, fmt, future::Future, pin::Pin, sync::Arc};

/// Where keys come from. All but [`Static`](Self::Static) are fetched when they are needed and
/// renewed before they expire.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing is signed: for buckets that everybody may use.
    #[default]
    Anonymous,
    /// These, for ever.
    Static(Keys),
    /// A role of AWS that a token in a file stands for, as Kubernetes mounts them (IRSA).
    WebIdentity {
        /// The file with the token.
        token_file: String,
        /// The role.
        role: String,
        /// What the session is called in AWS's logs.
        session: Option<String>,
        /// Another address of the token service.
        endpoint: Option<String>,
    },
    /// The role of a task of ECS: a path on 169.254.170.2.
    Task {
        /// The path.
        path: String,
    },
    /// The role of a pod of EKS.
    Pod {
        /// The agent's URL.
        url: String,
        /// The file with the token for the agent.
        token_file: String,
    },
    /// The role of the machine, from its metadata service (IMDSv2).
    Machine {
        /// Another address of that service.
        endpoint: Option<String>,
    },
    /// Whatever else the program knows to find keys in. Asked before every request: it remembers.
    Source(Arc<dyn CredentialSource>),
}

/// A pair of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The name of the pair.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
    /// What temporary keys come with.
    pub session_token: Option<String>,
}

/// Keys that are being looked for.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Keys, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Finds keys.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// The keys to use now.
    fn keys(&self) -> Asking<'_>;
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "none",
            Self::Static(_) => "configured keys",
            Self::WebIdentity { .. } => "web identity",
            Self::Task { .. } => "role of the task",
            Self::Pod { .. } => "role of the pod",
            Self::Machine { .. } => "role of the machine",
            Self::Source(_) => "other keys",
        })
    }
}

impl From<Keys> for AwsCredential {
    fn from(keys: Keys) -> Self {
        Self {
            key_id: keys.access_key,
            secret_key: keys.secret_key,
            token: keys.session_token,
        }
    }
}

/// Asks a [`CredentialSource`].
#[derive(Debug)]
struct Asked(Arc<dyn CredentialSource>);

impl CredentialProvider for Asked {
    type Credential = AwsCredential;

    fn get_credential<'life0, 'async_trait>(
        &'life0 self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async {
            match self.0.keys().await {
                Ok(keys) => Ok(Arc::new(keys.into())),
                Err(source) => Err(object_store::Error::Generic {
                    store: "credentials",
                    source,
                }),
            }
        })
    }
}

/// What signs; `None` for nothing.
pub(super) fn provider(settings: &super::Settings, transport: &Transport) -> Result<Option<AwsCredentialProvider>> {
    let builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_retry(super::retries(settings.timeouts.answer));
    let builder = match &settings.credentials {
        Credentials::Anonymous => return Ok(None),
        Credentials::Source(source) => return Ok(Some(Arc::new(Asked(Arc::clone(source))))),
        Credentials::Static(keys) => {
            return Ok(Some(Arc::new(object_store::StaticCredentialProvider::new(
                keys.clone().into(),
            ))));
        }
        Credentials::WebIdentity {
            token_file,
            role,
            session,
            endpoint,
        } => {
            let builder = builder
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file)
                .with_config(AmazonS3ConfigKey::RoleArn, role)
                .with_http_connector(transport.clone());
            let builder = match session {
                Some(session) => builder.with_config(AmazonS3ConfigKey::RoleSessionName, session),
                None => builder,
            };
            match endpoint {
                Some(endpoint) => builder.with_config(AmazonS3ConfigKey::StsEndpoint, endpoint),
                None => builder,
            }
        }
        // Addresses on the machine itself, which a proxy would not reach: with the library's own client.
        Credentials::Task { path } => builder.with_config(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, path),
        Credentials::Pod { url, token_file } => builder
            .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, url)
            .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token_file),
        Credentials::Machine { endpoint } => match endpoint {
            Some(endpoint) => builder.with_metadata_endpoint(endpoint),
            None => builder,
        },
    };
    let store = builder
        .build()
        .map_err(|error| Error::because(ErrorKind::Invalid, "use", "the bucket's credentials", error))?;
    Ok(Some(Arc::clone(store.credentials())))
}
