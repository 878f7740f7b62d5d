//! Files as people have them.

use std::path::PathBuf;
use std::time::Duration;

use super::{config, loaded, warnings, with};
use crate::config::{
    Auth, ClientAuth, Debug, IndexPlatforms, Listen, LogFormatter, LogLevel, Severity, StorageCheck, StorageDriver,
    TlsVersion, UploadPurging,
};

const OF_IMAGE_2: &str = "\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

const OF_IMAGE_3: &str = "\
version: 0.1
log:
  level: debug
  fields:
    service: registry
    environment: development
storage:
    delete:
      enabled: true
    cache:
        blobdescriptor: inmemory
    filesystem:
        rootdirectory: /var/lib/registry
    tag:
      concurrencylimit: 5
http:
    addr: :5000
    debug:
        addr: :5001
        prometheus:
            enabled: true
            path: /metrics
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

fn port(port: u16) -> Listen {
    Listen::Tcp {
        host: String::new(),
        port,
    }
}

#[test]
fn the_file_of_the_registry_2_image_is_honoured() {
    let loaded = loaded(OF_IMAGE_2, &[]);
    let config = &loaded.config;
    assert_eq!(
        config.storage.driver,
        StorageDriver::Filesystem {
            root: PathBuf::from("/var/lib/registry"),
            max_threads: 100
        }
    );
    assert!(!config.storage.delete_enabled);
    assert_eq!(config.http.listen, port(5000));
    assert_eq!(
        config.http.headers,
        [("X-Content-Type-Options".to_owned(), vec!["nosniff".to_owned()])]
    );
    assert_eq!(
        config.health.storage_driver,
        Some(StorageCheck {
            interval: Duration::from_secs(10),
            threshold: 3
        })
    );
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.log.fields, [("service".to_owned(), "registry".to_owned())]);
    assert_eq!(config.auth, Auth::None);
    assert!(!config.access.accounts, "open, as registry:2");
    assert_eq!(
        config.storage.upload_purging,
        Some(UploadPurging {
            age: Duration::from_secs(168 * 3600),
            interval: Duration::from_secs(24 * 3600),
            dry_run: false
        })
    );
    let loud = loaded
        .warnings
        .iter()
        .filter(|warning| warning.severity == Severity::Warning);
    let loud: Vec<String> = loud.map(ToString::to_string).collect();
    assert_eq!(loud, [super::OPEN]);
}

#[test]
fn the_file_of_the_registry_3_image_is_honoured() {
    let loaded = loaded(OF_IMAGE_3, &[]);
    let config = &loaded.config;
    assert!(config.storage.delete_enabled);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(
        config.http.debug,
        Some(Debug {
            listen: port(5001),
            metrics_path: Some("/metrics".to_owned())
        })
    );
    let notices = super::texts(&loaded.warnings);
    assert_eq!(
        notices,
        [
            "config.yml:11:9: `storage.cache.blobdescriptor` has no effect: Wharf answers from its own index and \
             needs no cache of blob descriptors",
            "config.yml:15:7: `storage.tag.concurrencylimit` has no effect: Wharf finds the tags of a manifest in \
             its index, without parallel look-ups",
        ]
    );
}

#[test]
fn the_helm_chart_works_with_its_file_and_its_environment() {
    let file = "\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
  debug:
    addr: :5001
    prometheus:
      enabled: false
      path: /metrics
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";
    let config = config(
        file,
        &[
            ("REGISTRY_AUTH", "htpasswd"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
            ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
            ("REGISTRY_HTTP_SECRET", "0123456789abcdef"),
            ("REGISTRY_HTTP_TLS_CERTIFICATE", "/etc/ssl/docker/tls.crt"),
            ("REGISTRY_HTTP_TLS_KEY", "/etc/ssl/docker/tls.key"),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/var/lib/registry"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_SERVICE_PORT_REGISTRY", "5000"),
            ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ],
    );
    assert_eq!(
        config.auth,
        Auth::Htpasswd {
            realm: "Registry Realm".to_owned(),
            path: PathBuf::from("/auth/htpasswd")
        }
    );
    assert!(config.storage.delete_enabled);
    let tls = config.http.tls.unwrap();
    assert_eq!(tls.certificate, PathBuf::from("/etc/ssl/docker/tls.crt"));
    assert_eq!(tls.minimum, TlsVersion::Tls12);
    assert_eq!(config.http.secret.unwrap().expose(), "0123456789abcdef");
    assert_eq!(config.http.debug.unwrap().metrics_path, None);
}

#[test]
fn the_development_file_of_2_8_starts_with_warnings() {
    let file = "\
version: 0.1
log:
  level: debug
  hooks:
    - type: mail
      disabled: true
      levels: [panic]
      options:
        smtp: {addr: 'mail.example.com:25', username: mailuser, password: password, insecure: true}
        from: sender@example.com
        to: [errors@example.com]
storage:
    delete:
      enabled: true
    cache:
        blobdescriptor: redis
    filesystem:
        rootdirectory: /var/lib/registry
    maintenance:
        uploadpurging:
            enabled: false
http:
    addr: :5000
redis:
  addr: localhost:6379
  pool:
    maxidle: 16
    maxactive: 64
    idletimeout: 300s
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
notifications:
    events:
        includereferences: true
    endpoints:
        - name: local-5003
          url: http://localhost:5003/callback
          headers:
             Authorization: [Bearer <an example token>]
          timeout: 1s
          threshold: 10
          backoff: 1s
          disabled: true
";
    assert_eq!(
        warnings(file, &[]),
        [
            "config.yml:5:7: `log.hooks[0]` is disabled and left out",
            "config.yml:16:9: `storage.cache.blobdescriptor` has no effect: Wharf answers from its own index and \
             needs no cache of blob descriptors",
            "config.yml:35:9: `notifications.events.includereferences` has no effect: no events are sent yet",
            "config.yml:37:11: `notifications.endpoints[0]` is disabled and left out",
            "config.yml:24:1: `redis` has no effect: nothing in this version uses Redis: what distribution caches \
             there is in Wharf's own index",
        ]
    );
    assert_eq!(config(file, &[]).storage.upload_purging, None);
}

#[test]
fn the_redis_of_3_starts_with_a_warning_even_with_the_key_that_only_the_manual_has() {
    let file = with(
        "redis:\n  addrs: [localhost:6379]\n  username: alice\n  password: \"123456\"\n  db: 1\n  poolsize: 64\n  \
         connmaxidletime: 300s\n  tls:\n    enabled: false\n    rootcas: [/ca.pem]\n",
    );
    assert_eq!(
        warnings(&file, &[]),
        [
            "config.yml:3:1: `redis` has no effect: nothing in this version uses Redis: what distribution caches \
             there is in Wharf's own index",
            "config.yml:11:5: unknown key `enabled` in `redis.tls` is ignored",
        ]
    );
}

const EVERYTHING: &str = "\
version: \"0.1\"
log:
  accesslog: {disabled: true}
  level: Warn
  formatter: logstash
  reportcaller: on
storage:
  filesystem: {rootdirectory: /data, maxthreads: 10, push_cache: 1GiB}
  redirect: {disable: true}
  foreign_writers: always
  maintenance:
    uploadpurging: {enabled: true, age: 1h30m, interval: 2h, dryrun: yes}
    readonly: {enabled: true}
auth:
  token:
    realm: https://auth.example.com/token
    service: registry.example.com
    issuer: acme
    rootcertbundle: /certs/bundle.pem
    jwks: /certs/jwks.json
    autoredirect: true
    signingalgorithms: [EdDSA, es256]
http:
  addr: '[::1]:443'
  host: https://registry.example.com/
  prefix: /a/b
  relativeurls: true
  draintimeout: 60s
  trusted_proxies: [10.0.0.0/8, 192.168.1.7]
  limits: {manifest_size: 8MiB, header_size: 32KiB, idle_timeout: 30s}
  tls:
    certificate: /c.pem
    key: /k.pem
    clientcas: [/ca.pem]
    clientauth: verify-client-cert-if-given
    minimumtls: tls1.3
    ciphersuites: [TLS_AES_128_GCM_SHA256]
  http2: {disabled: true}
  h2c: {enabled: true}
health:
  file:
    - {file: /tmp/down, interval: 5s}
  http:
    - {uri: 'http://a.example/', headers: {Authorization: [Basic x]}, statuscode: 204, timeout: 3s, threshold: 2}
  tcp:
    - {addr: 'redis:6379', timeout: 1s, interval: 1m, threshold: 4}
catalog: {maxentries: 50}
tags: {maxtags: 60}
validation:
  manifests:
    urls: {allow: ['^https?://([^/]+\\.)*example\\.com/'], deny: ['^http:']}
    indexes: {platforms: List, platformlist: [{architecture: amd64, os: linux}]}
database: {path: /index/wharf.sqlite}
access: {token_lifetime: 10m}
tls: {reload_interval: 1m}
gc: {grace_period: 24h, untagged_after: 720h}
";

#[test]
fn every_key_that_is_honoured_reaches_the_program() {
    let config = config(EVERYTHING, &[]);
    assert_eq!(
        (config.log.level, config.log.formatter),
        (LogLevel::Warn, LogFormatter::Logstash)
    );
    assert!(!config.log.access_log && config.log.report_caller);
    assert_eq!(
        config.storage.driver,
        StorageDriver::Filesystem {
            root: "/data".into(),
            max_threads: 25
        }
    );
    assert_eq!(config.storage.push_cache, 1 << 30);
    assert!(!config.storage.redirect && config.storage.read_only);
    assert_eq!(
        config
            .storage
            .upload_purging
            .as_ref()
            .map(|purging| purging.age.as_secs()),
        Some(5400)
    );
    let Auth::Token(token) = &config.auth else {
        panic!("{:?}", config.auth)
    };
    assert_eq!(token.signing_algorithms, ["EdDSA", "ES256"]);
    assert_eq!(token.auto_redirect_path.as_deref(), Some("/auth/token"));
}

#[test]
fn every_key_of_http_reaches_the_program() {
    let config = config(EVERYTHING, &[]);
    assert_eq!(
        config.http.listen,
        Listen::Tcp {
            host: "::1".to_owned(),
            port: 443
        }
    );
    assert_eq!(config.http.host.as_deref(), Some("https://registry.example.com"));
    assert_eq!(config.http.prefix, "/a/b/");
    assert_eq!(config.http.drain_timeout, Some(Duration::from_secs(60)));
    let proxies: Vec<String> = config
        .http
        .trusted_proxies
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.168.1.7/32"]);
    assert_eq!(config.http.limits.manifest_size, 8 << 20);
    assert_eq!(config.http.limits.header_size, 32 << 10);
    let tls = config.http.tls.unwrap();
    assert_eq!(
        (tls.client_auth, tls.minimum),
        (ClientAuth::VerifyIfGiven, TlsVersion::Tls13)
    );
    assert!(!config.http.http2 && config.http.h2c && config.http.relative_urls);
}

#[test]
fn every_key_of_health_and_of_the_rest_reaches_the_program() {
    let config = config(EVERYTHING, &[]);
    assert_eq!(config.health.files[0].interval, Duration::from_secs(5));
    assert_eq!(
        (config.health.http[0].status_code, config.health.http[0].threshold),
        (204, 2)
    );
    assert_eq!(config.health.http[0].interval, Duration::from_secs(10));
    assert_eq!(config.health.tcp[0].addr, "redis:6379");
    assert_eq!((config.catalog_max_entries, config.tags_max_tags), (50, 60));
    let checks = config.validation.manifests.unwrap();
    assert_eq!(checks.urls_deny, ["^http:"]);
    assert_eq!(
        checks.index_platforms,
        IndexPlatforms::List(vec![("amd64".to_owned(), "linux".to_owned())])
    );
    assert_eq!(config.database.path, Some("/index/wharf.sqlite".into()));
    assert_eq!(config.access.token_lifetime, Duration::from_secs(600));
    assert_eq!(config.gc.untagged_after, Some(Duration::from_secs(720 * 3600)));
    assert_eq!(config.tls.reload_interval, Duration::from_secs(60));
}

#[test]
fn storage_and_auth_may_be_only_a_name() {
    let config = config("version: 0.1\nstorage: inmemory\nauth: none\n", &[]);
    assert_eq!(config.storage.driver, StorageDriver::InMemory);
    assert_eq!(config.auth, Auth::None);
}

#[test]
fn old_tls_versions_and_weak_suites_are_left_out_with_a_warning() {
    let file = with(
        "http:\n  tls:\n    certificate: /c\n    key: /k\n    minimumtls: tls1.0\n    ciphersuites: \
         [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305]\n",
    );
    assert_eq!(
        warnings(&file, &[]),
        [
            "config.yml:7:17: `http.tls.minimumtls`: tls1.0 is not spoken any more: the oldest version is tls1.2",
            "config.yml:8:19: `http.tls.ciphersuites`: TLS_RSA_WITH_AES_128_CBC_SHA is weak and left out",
        ]
    );
    let tls = config(&file, &[]).http.tls.unwrap();
    assert_eq!(tls.cipher_suites, ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]);
}

#[test]
fn the_old_level_counts_only_without_the_new_one() {
    assert_eq!(config(&with("loglevel: debug\n"), &[]).log.level, LogLevel::Debug);
    assert_eq!(
        config(&with("loglevel: debug\nlog: {level: error}\n"), &[]).log.level,
        LogLevel::Error
    );
    assert_eq!(
        warnings(&with("loglevel: debug\n"), &[]),
        ["config.yml:3:11: `loglevel`: this is the old spelling of `log.level`"]
    );
}

#[test]
fn disabled_validation_checks_nothing_unless_it_is_also_enabled() {
    assert_eq!(
        config(&with("validation: {disabled: true}\n"), &[])
            .validation
            .manifests,
        None
    );
    assert!(
        config(&with("validation: {disabled: true, enabled: true}\n"), &[])
            .validation
            .manifests
            .is_some()
    );
}

#[test]
fn anchors_aliases_and_merges_work_as_in_yaml_1_1() {
    let file = "\
version: 0.1
x-check: &check {interval: 3s, threshold: 7}
storage: {inmemory: }
health:
  tcp:
    - <<: *check
      addr: a:1
    - <<: *check
      addr: b:2
      threshold: 1
";
    let checks = config(file, &[]).health.tcp;
    assert_eq!((checks[0].interval, checks[0].threshold), (Duration::from_secs(3), 7));
    assert_eq!((checks[1].interval, checks[1].threshold), (Duration::from_secs(3), 1));
}

#[test]
fn sections_that_only_2_8_has_are_named_and_do_no_harm() {
    let file = with(
        "compatibility: {schema1: {enabled: true}}\nreporting: {bugsnag: {apikey: secret-key}}\npolicy: {repository: \
         {classes: [image]}}\n",
    );
    assert_eq!(
        warnings(&file, &[]),
        [
            "config.yml:5:1: `policy` has no effect: repositories of every class are accepted",
            "config.yml:4:1: `reporting` has no effect: errors are only written to the log; distribution 3 removed \
             this section too",
            "config.yml:3:1: `compatibility` has no effect: schema 1 manifests are not accepted; distribution 3 \
             removed this section too",
        ]
    );
}

#[test]
fn an_open_registry_is_said_so_loudly_and_a_closed_one_is_not() {
    let said = |more: &str| {
        let warnings = loaded(&with(more), &[]).warnings;
        warnings
            .iter()
            .any(|warning| warning.severity == Severity::Warning && warning.message == super::OPEN)
    };
    assert!(said("") && said("auth: none\n"));
    assert!(!said("auth: {htpasswd: {realm: r, path: /p}}\n"));
    assert!(!said("access: {accounts: true}\n"));
}

#[test]
fn a_file_of_windows_and_one_with_a_byte_order_mark_are_read() {
    let file = format!("\u{feff}{}", OF_IMAGE_3.replace('\n', "\r\n"));
    assert_eq!(config(&file, &[]).storage, config(OF_IMAGE_3, &[]).storage);
}

#[test]
fn the_file_of_harbors_registry_starts_with_warnings() {
    let file = "\
version: 0.1
log:
  level: info
  fields:
    service: registry
storage:
  cache:
    layerinfo: redis
  filesystem:
    rootdirectory: /storage
  maintenance:
    uploadpurging:
      enabled: true
      age: 168h
      interval: 24h
      dryrun: false
  delete:
    enabled: true
redis:
  addr: redis:6379
  readtimeout: 10s
  enableTLS: false
  password:
  db: 1
  pool:
    maxidle: 100
http:
  addr: :5000
  secret: placeholder
  debug:
    addr: localhost:5001
auth:
  htpasswd:
    realm: harbor-registry-basic-realm
    path: /etc/registry/passwd
validation:
  disabled: true
compatibility:
  schema1:
    enabled: true
";
    assert_eq!(warnings(file, &[]).len(), 4, "{:?}", warnings(file, &[]));
    assert!(config(file, &[]).storage.delete_enabled);
}

#[test]
fn schedules_are_in_the_configured_time_zone() {
    let defaults = config("version: 0.1\nstorage: inmemory\n", &[]).jobs;
    assert_eq!(defaults.schedule("job_purge").to_string(), "0 0 * * * UTC");
    assert_eq!(
        (defaults.concurrency, defaults.retention),
        (8, Duration::from_secs(720 * 3600))
    );
    let file = "version: 0.1\nstorage: inmemory\njobs:\n  time_zone: Europe/Berlin\n  concurrency: 2\n  retention: 24h\n  \
                schedules:\n    job_purge: 30 3 * * *\n";
    let jobs = config(file, &[]).jobs;
    assert_eq!(jobs.schedule("job_purge").to_string(), "30 3 * * * Europe/Berlin");
    assert_eq!((jobs.concurrency, jobs.retention), (2, Duration::from_secs(24 * 3600)));
    assert_eq!(jobs.schedule("unheard_of").to_string(), "never");
    let by_environment = config(file, &[("WHARF_JOBS_SCHEDULES_JOB_PURGE", "every 6h")]).jobs;
    assert_eq!(by_environment.schedule("job_purge").to_string(), "every 6h");
}
