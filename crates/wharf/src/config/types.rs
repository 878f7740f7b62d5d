//! What the rest of the program reads: the configuration, typed, with every default filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use wharf_jobs::Schedule;

mod s3;
mod storage;

pub use s3::{AccessKey, ContainerToken, Credentials, S3};
pub use storage::{CloudFront, ForeignWriters, Storage, StorageDriver, StorageMiddleware, UploadPurging};

/// The whole configuration. Made by [`super::load`] and [`super::load_str`], never by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether a file was read, or the built-in defaults hold.
    pub origin: Origin,
    /// `WHARF_DATA`: what is of this machine alone lies below it, such as the index of a bucket
    pub data_folder: PathBuf,
    /// `log`
    pub log: Log,
    /// `storage`
    pub storage: Storage,
    /// `auth`
    pub auth: Auth,
    /// `http`
    pub http: Http,
    /// `health`
    pub health: Health,
    /// `catalog.maxentries`: the largest page of `_catalog`; a larger `n` is refused.
    pub catalog_max_entries: usize,
    /// `tags.maxtags`: the largest page of `tags/list`; a larger `n` is clamped.
    pub tags_max_tags: usize,
    /// `validation`
    pub validation: Validation,
    /// `database`
    pub database: Database,
    /// `access`
    pub access: Access,
    /// `tls`
    pub tls: TlsSettings,
    /// `gc`
    pub gc: GarbageCollection,
    /// `backup`
    pub backup: Backup,
    /// `jobs`
    pub jobs: JobSettings,
    /// `scrub`
    pub scrub: Scrub,
    /// `trash`
    pub trash: Trash,
    /// `telemetry.traces` and the `OTEL_*` environment; `None` = no traces leave the process.
    pub traces: Option<Traces>,
    /// `WHARF_ADMIN_PASSWORD` and `WHARF_ADMIN_PASSWORD_FILE`
    pub admin: Admin,
}

/// Where the configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, as distribution has it: no `auth` in it means open to everyone.
    File(PathBuf),
    /// No file: data in `./wharf-data`, address `127.0.0.1:5000`, built-in accounts.
    Defaults,
}

/// `log`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// `log.level`, or its old spelling `loglevel`
    pub level: LogLevel,
    /// `log.formatter`
    pub formatter: LogFormatter,
    /// `log.fields`: put into every line, in the order of the file
    pub fields: Vec<(String, String)>,
    /// the opposite of `log.accesslog.disabled`
    pub access_log: bool,
    /// `log.reportcaller`: name the place in the source
    pub report_caller: bool,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `info`
    Info,
    /// `debug`
    Debug,
}

/// `log.formatter`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormatter {
    /// for people
    Text,
    /// one JSON object a line
    Json,
    /// JSON with logstash's names (`@timestamp`, `@version`, `message`, `level`)
    Logstash,
}

/// `auth`: at most one scheme, as in distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// no `auth` section, or `auth: none`: see [`Access::accounts`] for what holds then
    None,
    /// `auth.silly`: any `Authorization` header is let in; for development
    Silly {
        /// `realm` of the challenge
        realm: String,
        /// `service` of the challenge
        service: String,
    },
    /// `auth.htpasswd`
    Htpasswd {
        /// `realm` of the `Basic` challenge
        realm: String,
        /// `path` of the file
        path: PathBuf,
    },
    /// `auth.token`: tokens of an external issuer
    Token(Box<TokenAuth>),
}

/// `auth.token`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAuth {
    /// `realm`: the URL of the token service, for the challenge
    pub realm: String,
    /// `service`: the audience that a token must name
    pub service: String,
    /// `issuer`: what `iss` must be
    pub issuer: String,
    /// `rootcertbundle`: PEM file with the issuer's certificates
    pub root_cert_bundle: Option<PathBuf>,
    /// `jwks`: file with the issuer's JSON Web Key Set. At least one of the two is set.
    pub jwks: Option<PathBuf>,
    /// `signingalgorithms`, as JWA names; empty = all that the verifier knows
    pub signing_algorithms: Vec<String>,
    /// `autoredirect` with its `autoredirectpath`: the realm is this path on the host that the client asked
    pub auto_redirect_path: Option<String>,
}

/// `http`
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// `http.addr` and `http.net`
    pub listen: Listen,
    /// `http.host`: the base of every generated URL, `scheme://host[:port][/path]` without a slash at the end
    pub host: Option<String>,
    /// `http.prefix`: begins and ends with a slash; `/` when there is none
    pub prefix: String,
    /// `http.relativeurls`
    pub relative_urls: bool,
    /// `http.draintimeout`: how long requests may finish after SIGTERM; `None` = the program's own choice
    pub drain_timeout: Option<Duration>,
    /// `http.secret`
    pub secret: Option<Secret>,
    /// `http.tls`; `None` = plain HTTP
    pub tls: Option<Tls>,
    /// `http.headers`: in every response, names as written
    pub headers: Vec<(String, Vec<String>)>,
    /// the opposite of `http.http2.disabled`
    pub http2: bool,
    /// `http.h2c.enabled`: HTTP/2 without TLS
    pub h2c: bool,
    /// `http.debug`; `None` = no second listener
    pub debug: Option<Debug>,
    /// `http.trusted_proxies`: `None` = forwarded headers are believed from everyone, as distribution does
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// `http.limits`
    pub limits: Limits,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// host (may be empty: every address, IPv4 and IPv6; IPv6 without brackets) and port
    Tcp {
        /// name or address
        host: String,
        /// 0 = any free one
        port: u16,
    },
    /// path of a unix socket
    Unix(PathBuf),
}

/// `http.tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `certificate`: PEM file, leaf first
    pub certificate: PathBuf,
    /// `key`: PEM file
    pub key: PathBuf,
    /// `clientcas`: PEM files; empty = no client certificate is asked for
    pub client_cas: Vec<PathBuf>,
    /// `clientauth`; matters only with `clientcas`
    pub client_auth: ClientAuth,
    /// `minimumtls`
    pub minimum: TlsVersion,
    /// `ciphersuites`, IANA names, only those that this build has; empty = the library's choice. TLS 1.3
    /// suites cannot be restricted and are left out.
    pub cipher_suites: Vec<String>,
}

/// `http.tls.clientauth`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `request-client-cert`: asked for, never checked
    Request,
    /// `require-any-client-cert`: needed, never checked
    RequireAny,
    /// `verify-client-cert-if-given`
    VerifyIfGiven,
    /// `require-and-verify-client-cert`
    RequireAndVerify,
}

/// `http.tls.minimumtls`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `tls1.2`
    Tls12,
    /// `tls1.3`
    Tls13,
}

/// `http.debug`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debug {
    /// `addr`
    pub listen: Listen,
    /// `prometheus.path` when `prometheus.enabled`
    pub metrics_path: Option<String>,
}

/// `http.limits`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `manifest_size` in bytes: a larger manifest is answered 413
    pub manifest_size: u64,
    /// `header_size` in bytes: all header lines of a request together
    pub header_size: usize,
    /// `idle_timeout`: a connection without a request, or a request head that does not end, is closed after it
    pub idle_timeout: Duration,
}

/// `health`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// `health.storagedriver` when enabled
    pub storage_driver: Option<StorageCheck>,
    /// `health.file`
    pub files: Vec<FileCheck>,
    /// `health.http`
    pub http: Vec<HttpCheck>,
    /// `health.tcp`
    pub tcp: Vec<TcpCheck>,
}

/// `health.storagedriver`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageCheck {
    /// between two checks
    pub interval: Duration,
    /// failures in a row that make it unhealthy; 0 and 1 mean the first one does
    pub threshold: u32,
}

/// `health.file[]`: unhealthy while the file exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// `file`
    pub file: PathBuf,
    /// between two checks
    pub interval: Duration,
}

/// `health.http[]`
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// `uri`
    pub uri: String,
    /// `headers` of the request, often with credentials
    pub headers: Vec<(String, Vec<Secret>)>,
    /// `statuscode` that means healthy
    pub status_code: u16,
    /// `timeout` of one check; `None` = none
    pub timeout: Option<Duration>,
    /// between two checks
    pub interval: Duration,
    /// as in [`StorageCheck::threshold`]
    pub threshold: u32,
}

/// `health.tcp[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpCheck {
    /// `addr`, `host:port`
    pub addr: String,
    /// `timeout` of one check; `None` = none
    pub timeout: Option<Duration>,
    /// between two checks
    pub interval: Duration,
    /// as in [`StorageCheck::threshold`]
    pub threshold: u32,
}

/// `validation`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// `None` when `validation.disabled`: URLs of foreign layers and children of indexes are not checked
    pub manifests: Option<ManifestValidation>,
}

/// `validation.manifests`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestValidation {
    /// `urls.allow`: regular expressions, each known to compile. Both lists empty = every URL is refused.
    pub urls_allow: Vec<String>,
    /// `urls.deny`
    pub urls_deny: Vec<String>,
    /// `indexes.platforms` and `indexes.platformlist`
    pub index_platforms: IndexPlatforms,
}

/// Which children an index may not lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPlatforms {
    /// every one
    All,
    /// none
    None,
    /// those of the listed (architecture, os)
    List(Vec<(String, String)>),
}

/// `database`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `database.path`, or the file of an `sqlite://` URL: the SQLite file; `None` = in `wharf/` beside `docker/`
    /// under the storage root
    pub path: Option<PathBuf>,
    /// `database.url` of a server, which can be read; at most one of it, `url_file` and `path` is set
    pub url: Option<Secret>,
    /// `database.url_file`
    pub url_file: Option<PathBuf>,
    /// `database.max_connections`
    pub max_connections: usize,
    /// `database.connect_timeout`
    pub connect_timeout: Duration,
    /// `database.statement_timeout`
    pub statement_timeout: Duration,
}

impl Database {
    /// Whether the index is on a server.
    pub const fn has_server(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }
}

/// `access`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `access.accounts`: built-in accounts with the built-in token service. On without a configuration file
    /// (unless `auth` is set by the environment), off with one. Never on beside an `auth` scheme.
    pub accounts: bool,
    /// `access.token_lifetime` of the built-in token service
    pub token_lifetime: Duration,
}

/// `tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `tls.reload_interval`: how often the certificate files are looked at
    pub reload_interval: Duration,
}

/// `gc`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GarbageCollection {
    /// `gc.grace_period`: nothing younger is collected
    pub grace_period: Duration,
    /// `gc.untagged_after`; `None` = untagged manifests stay
    pub untagged_after: Option<Duration>,
    /// `gc.objects_per_second`; `None` = no limit
    pub objects_per_second: Option<u64>,
    /// `gc.bytes_per_second`; `None` = no limit
    pub bytes_per_second: Option<u64>,
}

/// `backup`
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// `backup.key`, for `WHARF_BACKUP_KEY`; at most one of the two is set
    pub key: Option<Secret>,
    /// `backup.key_file`
    pub key_file: Option<PathBuf>,
    /// `backup.snapshot_delay`: how long a change waits for its snapshot
    pub snapshot_delay: Duration,
    /// `backup.snapshots`: how many are kept
    pub snapshots: usize,
    /// The backups that are made by themselves.
    pub scheduled: Option<ScheduledBackup>,
}

/// `backup.schedule` and `backup.folder`
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledBackup {
    /// `backup.schedule`
    pub schedule: Schedule,
    /// `backup.folder`
    pub folder: PathBuf,
    /// `backup.keep`: how many stay in it
    pub keep: usize,
}

/// `scrub`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrub {
    /// `scrub.bytes_per_second`; 0 = no limit
    pub bytes_per_second: u64,
}

/// `jobs`
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// `jobs.time_zone`: that of schedules that name none
    pub time_zone: TimeZone,
    /// `jobs.concurrency`: jobs at the same time
    pub concurrency: usize,
    /// `jobs.retention`: how long ended jobs are kept
    pub retention: Duration,
    /// `jobs.schedules`, by kind
    pub schedules: BTreeMap<String, Schedule>,
}

impl JobSettings {
    /// The schedule of a kind; never for one without a key.
    pub fn schedule(&self, kind: &str) -> Schedule {
        self.schedules.get(kind).cloned().unwrap_or_else(Schedule::never)
    }
}

/// `trash`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trash {
    /// `trash.keep`: how long what is deleted can be brought back; zero = not at all
    pub keep: Duration,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// the whole URL for OTLP over HTTP with protobuf
    pub endpoint: String,
    /// headers of each request to it
    pub headers: Vec<(String, Secret)>,
    /// `service.name`
    pub service_name: String,
    /// further resource attributes
    pub attributes: Vec<(String, String)>,
    /// share of the traces that begin here and are kept, 0 to 1
    pub sample_ratio: f64,
    /// whether the decision of the caller holds where there is one
    pub parent_based: bool,
}

/// The first administrator's password. At most one of the two is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// `WHARF_ADMIN_PASSWORD`
    pub password: Option<Secret>,
    /// `WHARF_ADMIN_PASSWORD_FILE`
    pub password_file: Option<PathBuf>,
}

/// A text that no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: hand it to what needs it, and to nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}
