//! `storage.s3`.

use std::path::{Path, PathBuf};

use super::Builder;
use crate::config::error::Source;
use crate::config::snippet::Finding;
use crate::config::types::{AccessKey, ContainerToken, Credentials, S3, Secret};

/// Where EC2 instances find their credentials.
const METADATA_SERVICE: &str = "http://169.254.169.254";
/// Where tasks of ECS find theirs.
const TASK_AGENT: &str = "http://169.254.170.2";
/// What the signature names where the endpoint has no regions.
const ANY_REGION: &str = "us-east-1";

impl Builder<'_> {
    pub(super) fn s3(&mut self) -> S3 {
        let settings = self.settings;
        let text = |name: &str| settings.text(&format!("storage.s3.{name}"));
        let bool = |name: &str| settings.bool(&format!("storage.s3.{name}"));
        let size = |name: &str| u64::try_from(settings.int(&format!("storage.s3.{name}"))).unwrap_or(u64::MAX);
        if !bool("v4auth") {
            let help = "remove the line; every S3 service of today knows version 4";
            self.wrong("storage.s3.v4auth", "requests are signed with version 4 only", help);
        }
        let region_endpoint = self.region_endpoint();
        let path_style = settings.bool_if_set("storage.s3.forcepathstyle");
        let concurrency = settings.int("storage.s3.multipartcopymaxconcurrency");
        let key_id = text("keyid");
        if key_id.is_some() && !bool("encrypt") {
            self.warn("storage.s3.keyid", "the key has no effect without `encrypt: true`");
        }
        let unless =
            |value: Option<String>, defaults: &[&str]| value.filter(|value| !defaults.contains(&value.as_str()));
        S3 {
            bucket: text("bucket").unwrap_or_default(),
            region: self.region(region_endpoint.is_some()),
            // 2.8 knows no other style with an endpoint
            force_path_style: path_style.unwrap_or(region_endpoint.is_some()),
            region_endpoint,
            credentials: self.credentials(),
            root_directory: text("rootdirectory").unwrap_or_default().trim_matches('/').to_owned(),
            secure: bool("secure"),
            skip_verify: bool("skipverify"),
            ca_file: text("cafile")
                .or_else(|| self.env("AWS_CA_BUNDLE").map(str::to_owned))
                .map(PathBuf::from),
            chunk_size: Some(size("chunksize")).filter(|size| *size > 0),
            copy_chunk_size: size("multipartcopychunksize"),
            copy_concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            copy_threshold: size("multipartcopythresholdsize"),
            encrypt: bool("encrypt"),
            key_id,
            storage_class: unless(text("storageclass"), &["STANDARD", "NONE"]),
            object_acl: unless(text("objectacl"), &["private"]),
            user_agent: text("useragent"),
            use_dual_stack: bool("usedualstack"),
            accelerate: bool("accelerate"),
            use_fips: bool("usefipsendpoint"),
            redirect_endpoint: self.redirect_endpoint(),
        }
    }

    /// `secure` says the scheme where the endpoint does not.
    fn region_endpoint(&mut self) -> Option<String> {
        let path = "storage.s3.regionendpoint";
        let endpoint = self.settings.text(path)?;
        let scheme = if self.settings.bool("storage.s3.secure") {
            "https"
        } else {
            "http"
        };
        let endpoint = match endpoint.contains("://") {
            true => endpoint,
            false => format!("{scheme}://{endpoint}"),
        };
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !is_origin(&endpoint) {
            let help = "write it like https://s3.example.com or minio:9000, without the bucket";
            self.wrong(path, "this is not the address of a server", help);
        }
        Some(endpoint)
    }

    fn redirect_endpoint(&mut self) -> Option<String> {
        let path = "storage.s3.redirectendpoint";
        let endpoint = self.settings.text(path)?;
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !is_origin(&endpoint) {
            let help = "write it like https://s3.example.com";
            self.wrong(path, "this must be a scheme and a host, nothing else", help);
        }
        Some(endpoint)
    }

    fn region(&mut self, has_endpoint: bool) -> String {
        let path = "storage.s3.region";
        let of_env = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| self.env(name));
        let region = self.settings.text(path).or_else(|| of_env.map(str::to_owned));
        match region {
            Some(region) => {
                if !has_endpoint && !is_region(&region) {
                    let quoted = super::super::read::quoted(&region);
                    let help = "write it like us-east-1; for another service than AWS set `regionendpoint`";
                    self.wrong(path, format!("{quoted} is no region of AWS"), help);
                }
                region
            }
            None if has_endpoint => ANY_REGION.to_owned(),
            None => {
                let source = self.settings.source("storage.s3.bucket");
                let finding = Finding::new("`storage.s3.region` is missing", source)
                    .help("add the region of the bucket; for another service than AWS set `regionendpoint`");
                self.findings.push(finding);
                String::new()
            }
        }
    }

    /// What was configured, else what the SDKs of AWS find, in their order.
    fn credentials(&mut self) -> Credentials {
        let [access, secret] = ["accesskey", "secretkey"].map(|name| self.settings.text(&format!("storage.s3.{name}")));
        match (access, secret) {
            (Some(id), Some(secret)) => {
                return Credentials::Static(AccessKey {
                    id,
                    secret: Secret::new(secret),
                    session_token: None,
                });
            }
            (None, None) => {}
            (Some(_), None) => self.half_a_key("secretkey", "accesskey"),
            (None, Some(_)) => self.half_a_key("accesskey", "secretkey"),
        }
        if let Some(keys) = self.keys_of_env() {
            return Credentials::Static(keys);
        }
        let mut chain = Vec::new();
        let web_identity = self.web_identity();
        match (self.env("AWS_PROFILE"), web_identity) {
            (Some(name), _) => return self.profile(name),
            (None, Some(web_identity)) => return web_identity,
            (None, None) => chain.push(self.profile("default")),
        }
        if let Some(container) = self.container() {
            chain.push(container);
        } else if !self
            .env("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            let endpoint = self
                .env("AWS_EC2_METADATA_SERVICE_ENDPOINT")
                .unwrap_or(METADATA_SERVICE);
            chain.push(Credentials::Instance {
                endpoint: endpoint.trim_end_matches('/').to_owned(),
            });
        }
        Credentials::Chain(chain)
    }

    /// Without the line that it stands in: the secret may be on it.
    fn half_a_key(&mut self, missing: &str, present: &str) {
        let message = format!("`storage.s3.{missing}` is missing beside `storage.s3.{present}`");
        let source = match self.settings.source(&format!("storage.s3.{present}")) {
            variable @ Source::Env(_) => variable,
            Source::File { .. } | Source::Default => Source::Default,
        };
        let finding = Finding::new(message, source)
            .help("set both, or neither to take the keys from the environment or the instance");
        self.findings.push(finding);
    }

    fn keys_of_env(&self) -> Option<AccessKey> {
        let either = |names: [&str; 2]| names.iter().find_map(|name| self.env(name)).map(str::to_owned);
        Some(AccessKey {
            id: either(["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?,
            secret: Secret::new(either(["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?),
            session_token: self.env("AWS_SESSION_TOKEN").map(Secret::new),
        })
    }

    fn profile(&self, name: &str) -> Credentials {
        let home = Path::new(self.env("HOME").unwrap_or("/")).join(".aws");
        let file = |variable: &str, default: &str| self.env(variable).map_or_else(|| home.join(default), PathBuf::from);
        Credentials::Profile {
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: file("AWS_CONFIG_FILE", "config"),
            name: name.to_owned(),
        }
    }

    fn web_identity(&self) -> Option<Credentials> {
        Some(Credentials::WebIdentity {
            token_file: self.env("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
            role_arn: self.env("AWS_ROLE_ARN")?.to_owned(),
            session_name: self.env("AWS_ROLE_SESSION_NAME").unwrap_or("wharf").to_owned(),
            endpoint: self.env("AWS_ENDPOINT_URL_STS").map(str::to_owned),
        })
    }

    fn container(&self) -> Option<Credentials> {
        let url = match self.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            Some(path) => format!("{TASK_AGENT}{path}"),
            None => self.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")?.to_owned(),
        };
        let file = self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        Some(Credentials::Container {
            url,
            authorization: match (file, token) {
                (Some(file), _) => ContainerToken::File(file.into()),
                (None, Some(token)) => ContainerToken::Text(Secret::new(token)),
                (None, None) => ContainerToken::None,
            },
        })
    }
}

/// A scheme, a host and maybe a port.
fn is_origin(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    })
}

/// `us-east-1`, `us-gov-west-1`, `cn-north-1`: also those that are opened after this was written.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.as_slice() {
        [words @ .., number] => {
            words.len() >= 2
                && words.iter().all(is_word)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        [] => false,
    }
}
