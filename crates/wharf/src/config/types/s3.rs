//! `storage.s3`: distribution's parameters, read and checked.

use std::fmt;
use std::path::PathBuf;

use super::Secret;

/// `storage.s3`: a bucket and how to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// `bucket`.
    pub bucket: String,
    /// `region`: of the endpoint, and in signatures.
    pub region: String,
    /// `regionendpoint`: `scheme://host[:port]` of a service other than AWS; `None` = AWS.
    pub region_endpoint: Option<String>,
    /// `forcepathstyle`: the bucket is the first part of the path, else of the host's name.
    pub force_path_style: bool,
    /// Where keys come from.
    pub credentials: Credentials,
    /// `rootdirectory`, without slashes at its ends.
    pub root_directory: String,
    /// `secure`: HTTPS to AWS. An endpoint says it by its scheme.
    pub secure: bool,
    /// `skipverify`: any certificate will do.
    pub skip_verify: bool,
    /// PEM file with certificates that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// `chunksize`: bytes of each part of an upload but the last; `None` = the program's own choice.
    pub chunk_size: Option<u64>,
    /// `multipartcopychunksize`: bytes of a part of a copy.
    pub copy_chunk_size: u64,
    /// `multipartcopymaxconcurrency`: parts of a copy at a time.
    pub copy_concurrency: usize,
    /// `multipartcopythresholdsize`: more bytes are copied in parts.
    pub copy_threshold: u64,
    /// `encrypt`: on the server, with [`key_id`](Self::key_id) by KMS, else with the bucket's own keys.
    pub encrypt: bool,
    /// `keyid`: of the KMS key.
    pub key_id: Option<String>,
    /// `storageclass`; `None` = the bucket's own (`STANDARD` and `NONE`).
    pub storage_class: Option<String>,
    /// `objectacl`: a canned ACL; `None` = the header is not sent (`private`, which is what holds then).
    pub object_acl: Option<String>,
    /// `useragent`, instead of our own.
    pub user_agent: Option<String>,
    /// `usedualstack`: AWS's endpoints that have IPv6 addresses too.
    pub use_dual_stack: bool,
    /// `accelerate`: AWS's transfer acceleration.
    pub accelerate: bool,
    /// `usefipsendpoint`: AWS's FIPS endpoints.
    pub use_fips: bool,
    /// `redirectendpoint`: `scheme://host[:port]` that takes the place of the endpoint in URLs for clients.
    pub redirect_endpoint: Option<String>,
}

/// Where the keys of a bucket come from. All but [`Static`](Self::Static) are renewed while the process runs.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Keys that were given.
    Static(AccessKey),
    /// A profile of AWS's shared files, which are read again when they change.
    Profile {
        /// The credentials file, `~/.aws/credentials`.
        credentials: PathBuf,
        /// The configuration file, `~/.aws/config`.
        config: PathBuf,
        /// The profile's name.
        name: String,
    },
    /// A role by the token of a Kubernetes service account (IRSA) or another identity.
    WebIdentity {
        /// The file with the token; read for each renewal.
        token_file: PathBuf,
        /// The role.
        role_arn: String,
        /// The name of the session in AWS's logs.
        session_name: String,
        /// The STS to ask; `None` = that of the region.
        endpoint: Option<String>,
    },
    /// A container's agent: EKS pod identity, ECS.
    Container {
        /// Its whole URL.
        url: String,
        /// What it wants to see.
        authorization: ContainerToken,
    },
    /// The role of the EC2 instance (IMDSv2).
    Instance {
        /// The metadata service, `http://169.254.169.254` unless it was changed.
        endpoint: String,
    },
    /// The first of these that has keys.
    Chain(Vec<Self>),
}

/// The `Authorization` header for a container's agent.
#[derive(Clone, PartialEq, Eq)]
pub enum ContainerToken {
    /// None is sent.
    None,
    /// This one.
    Text(Secret),
    /// The content of this file; read for each renewal.
    File(PathBuf),
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `accesskey`: its public half.
    pub id: String,
    /// `secretkey`.
    pub secret: Secret,
    /// Of temporary keys.
    pub session_token: Option<Secret>,
}

/// Without the secrets.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").finish_non_exhaustive()
    }
}

/// Where keys are looked for; no keys.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({self})")
    }
}

/// Names the source as messages do.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(_) => f.write_str("the given access key"),
            Self::Profile { credentials, name, .. } => write!(f, "profile {name} of {}", credentials.display()),
            Self::WebIdentity { role_arn, .. } => write!(f, "role {role_arn} by web identity"),
            Self::Container { url, .. } => write!(f, "the container's credentials at {url}"),
            Self::Instance { .. } => f.write_str("the role of this instance"),
            Self::Chain(sources) => {
                for (at, source) in sources.iter().enumerate() {
                    let before = if at == 0 { "" } else { ", " };
                    write!(f, "{before}{source}")?;
                }
                Ok(())
            }
        }
    }
}
