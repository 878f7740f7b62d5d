//! Buckets of S3 and of what speaks its protocol.

use super::{Client, Copying, Objects, Parts, ServerCopy, transport::Patience, transport::Transport};
use crate::{Error, ErrorKind, Result};
use object_store::{
    BackoffConfig, ClientOptions, HeaderMap, HeaderValue, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider},
};
use std::{fmt, sync::Arc, time::Duration};

mod credentials;
mod endpoint;

pub use credentials::{Asking, CredentialSource, Credentials, Keys};

/// The smallest part that S3 takes, but for the last one.
pub const SMALLEST_PART: u64 = 5 << 20;
/// The largest part that S3 takes, and the largest object that it copies with one request.
pub const LARGEST_PART: u64 = 5 << 30;
/// A storage delete ends within this time, retries included, done or not (consistency rule 5).
pub const LONGEST_DELETE: Duration = Duration::from_secs(20);

/// Where a bucket is and how it is used: what distribution's `storage.s3` says, and more.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Such as `eu-central-1`; what signs requests to AWS, and makes its host names.
    pub region: String,
    /// Another server than AWS: a URL, or `host:port` whose scheme is what `secure` says.
    pub endpoint: Option<String>,
    /// Whether an endpoint without a scheme, and AWS, are spoken to with TLS.
    pub secure: bool,
    /// Names the bucket in the path, not in the host name.
    pub path_style: bool,
    /// Uses AWS's edge locations.
    pub accelerate: bool,
    /// Uses AWS's addresses for IPv4 and IPv6.
    pub dual_stack: bool,
    /// Uses AWS's endpoints with FIPS 140 modules.
    pub fips: bool,
    /// The prefix of all keys, distribution's `rootdirectory`.
    pub root: String,
    /// Who signs.
    pub credentials: Credentials,
    /// How the server encrypts what is written.
    pub encryption: Encryption,
    /// The storage class of what is written, such as `STANDARD_IA`; the bucket's own without it.
    pub storage_class: Option<String>,
    /// The canned access control list of what is written; none is sent without it.
    pub acl: Option<String>,
    /// A checksum that the server compares with what arrived.
    pub checksum: Option<Checksum>,
    /// Whether the signature covers the bytes that are sent. Without it: where there is no TLS.
    pub signs_bytes: Option<bool>,
    /// Whether many keys are deleted with one request; some servers cannot.
    pub bulk_delete: bool,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// PEM files with authorities that are trusted beside the system's.
    pub authorities: Vec<Vec<u8>>,
    /// Trusts any certificate.
    pub skip_verify: bool,
    /// Bytes in each part of an upload but its last, distribution's `chunksize`.
    pub part_size: u64,
    /// Bytes of memory for parts of all uploads, beside the one part that each upload has.
    pub part_memory: u64,
    /// Copies of more bytes than this are made in parts.
    pub copy_threshold: u64,
    /// Bytes in each part of a copy.
    pub copy_part_size: u64,
    /// How many parts of one copy are under way at once.
    pub copy_concurrency: usize,
    /// Scheme and host that redirected clients reach the bucket at, where these differ.
    pub redirect_endpoint: Option<String>,
    /// How long requests may take.
    pub timeouts: Timeouts,
}

/// How long requests may take, and how long they are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until an answer, or its next bytes, arrive.
    pub answer: Duration,
    /// The same where the server copies, or bytes are sent to it.
    pub transfer: Duration,
    /// A request that was refused for now, or got no answer, is tried again for as long.
    pub retry: Duration,
}

/// How the server encrypts what is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket says.
    #[default]
    Bucket,
    /// With keys of S3 (`AES256`).
    S3,
    /// With a key of KMS, by its id or name.
    Kms(String),
}

/// A checksum that goes with what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256.
    Sha256,
    /// CRC-64/NVME.
    Crc64Nvme,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            secure: true,
            path_style: false,
            accelerate: false,
            dual_stack: false,
            fips: false,
            root: String::new(),
            credentials: Credentials::Anonymous,
            encryption: Encryption::Bucket,
            storage_class: None,
            acl: None,
            checksum: None,
            signs_bytes: None,
            bulk_delete: true,
            user_agent: None,
            authorities: Vec::new(),
            skip_verify: false,
            part_size: SMALLEST_PART,
            part_memory: 20 << 20,
            copy_threshold: 32 << 20,
            copy_part_size: 32 << 20,
            copy_concurrency: 100,
            redirect_endpoint: None,
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            transfer: Duration::from_secs(300),
            retry: Duration::from_secs(60),
        }
    }
}

/// Opens the bucket; nothing is sent yet.
pub(crate) fn open(settings: &Settings) -> Result<Objects> {
    check(settings)?;
    let address = endpoint::of(settings)?;
    let transport = transport(settings, settings.timeouts)?;
    let provider = credentials::provider(settings, &transport)?;
    let build = |address: &endpoint::Address, transport: &Transport, headers, retry| {
        store(settings, address, (transport, &provider), headers, retry)
    };
    let plain = build(&address, &transport, HeaderMap::new(), retries(settings.timeouts.retry))?;
    let writing = build(
        &address,
        &transport,
        headers(settings)?,
        retries(settings.timeouts.retry),
    )?;
    let within = LONGEST_DELETE / 2;
    let brief = Timeouts {
        answer: settings.timeouts.answer.min(within),
        transfer: settings.timeouts.transfer.min(within),
        ..settings.timeouts
    };
    let deleting = build(
        &address,
        &self::transport(settings, brief)?,
        HeaderMap::new(),
        retries(within),
    )?;
    let redirecting = match endpoint::of_redirects(settings)? {
        Some(address) => build(&address, &transport, HeaderMap::new(), retries(settings.timeouts.retry))?,
        None => plain.clone(),
    };
    let is_signed = provider.is_some();
    Ok(Objects::new(super::Inner {
        name: "s3",
        place: format!("bucket {}", settings.bucket),
        root: super::root(&settings.root)?,
        plain: Client::new(plain),
        writing: Client::new(writing),
        deleting: Client::new(deleting),
        redirecting: is_signed.then(|| Arc::new(redirecting) as _),
        transport,
        server_copy: is_signed.then(|| ServerCopy {
            bucket: settings.bucket.clone(),
        }),
        parts: Parts::new(settings.part_size, settings.part_memory),
        copying: Copying {
            threshold: settings.copy_threshold.min(LARGEST_PART),
            part_size: settings.copy_part_size,
            concurrency: settings.copy_concurrency.max(1),
        },
    }))
}

/// What no server would take.
fn check(settings: &Settings) -> Result<()> {
    let wrong = |what: &'static str, reason: String| Err(Error::because(ErrorKind::Invalid, "use", what, reason));
    if settings.bucket.is_empty() || settings.bucket.contains(['/', '?', '#', ' ']) {
        return wrong("bucket", format!("{:?} is no name of a bucket", settings.bucket));
    }
    if !(SMALLEST_PART..=LARGEST_PART).contains(&settings.part_size) {
        let reason = format!(
            "a part has {SMALLEST_PART} to {LARGEST_PART} bytes, not {}",
            settings.part_size
        );
        return wrong("chunksize", reason);
    }
    if !(SMALLEST_PART..=LARGEST_PART).contains(&settings.copy_part_size) {
        let reason = format!(
            "a part has {SMALLEST_PART} to {LARGEST_PART} bytes, not {}",
            settings.copy_part_size
        );
        return wrong("multipartcopychunksize", reason);
    }
    Ok(())
}

fn transport(settings: &Settings, timeouts: Timeouts) -> Result<Transport> {
    let fail = |what: &'static str| move |error: reqwest::Error| Error::because(ErrorKind::Invalid, "use", what, error);
    let mut authorities = Vec::new();
    for pem in &settings.authorities {
        authorities.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(fail("the certificate authority"))?);
    }
    let agent = match &settings.user_agent {
        Some(agent) => HeaderValue::from_str(agent)
            .map_err(|error| Error::because(ErrorKind::Invalid, "use", "useragent", error))?,
        None => HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION"))),
    };
    let client = || {
        reqwest::Client::builder()
            .user_agent(agent.clone())
            .tls_certs_merge(authorities.clone())
            .tls_danger_accept_invalid_certs(settings.skip_verify)
    };
    let patience = Patience {
        connect: timeouts.connect,
        quick: timeouts.answer,
        long: timeouts.transfer,
    };
    Transport::new(client, patience).map_err(fail("the HTTP client"))
}

fn retries(within: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            base: 2.,
        },
        max_retries: 10,
        retry_timeout: within,
    }
}

/// The headers of requests that make objects, beside those of the encryption.
fn headers(settings: &Settings) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let wanted = [
        ("x-amz-acl", "objectacl", &settings.acl),
        ("x-amz-storage-class", "storageclass", &settings.storage_class),
    ];
    for (header, key, value) in wanted {
        if let Some(value) = value {
            let value =
                HeaderValue::from_str(value).map_err(|error| Error::because(ErrorKind::Invalid, "use", key, error))?;
            headers.insert(header, value);
        }
    }
    Ok(headers)
}

fn store(
    settings: &Settings,
    address: &endpoint::Address,
    (transport, credentials): (&Transport, &Option<AwsCredentialProvider>),
    headers: HeaderMap,
    retry: RetryConfig,
) -> Result<AmazonS3> {
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_default_content_type("application/octet-stream")
        .with_default_headers(headers);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_endpoint(&address.url)
        .with_virtual_hosted_style_request(address.has_bucket)
        .with_allow_http(true)
        .with_client_options(options)
        .with_retry(retry)
        .with_http_connector(transport.clone())
        .with_unsigned_payload(!settings.signs_bytes.unwrap_or(address.is_plain()))
        .with_disable_bulk_delete(!settings.bulk_delete);
    builder = match credentials {
        Some(credentials) => builder.with_credentials(Arc::clone(credentials)),
        None => builder.with_skip_signature(true),
    };
    builder = match &settings.encryption {
        Encryption::Bucket => builder,
        Encryption::S3 => {
            let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse().map_err(unusable)?;
            builder.with_config(key, "AES256")
        }
        Encryption::Kms(key) => builder.with_sse_kms_encryption(key),
    };
    builder = match settings.checksum {
        Some(Checksum::Sha256) => builder.with_checksum_algorithm(object_store::aws::Checksum::SHA256),
        Some(Checksum::Crc64Nvme) => builder.with_checksum_algorithm(object_store::aws::Checksum::CRC64NVME),
        None => builder,
    };
    builder.build().map_err(unusable)
}

fn unusable(error: object_store::Error) -> Error {
    Error::because(ErrorKind::Invalid, "use", "the bucket's settings", error)
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA256",
            Self::Crc64Nvme => "CRC64NVME",
        })
    }
}

#[cfg(test)]
mod tests;
