//! `REGISTRY_*` and `WHARF_*`.

use std::path::PathBuf;
use std::time::Duration;

use super::{LEAST, config, loaded, problem, warnings, with};
use crate::config::{Auth, ForeignWriters, LogLevel, StorageDriver};

fn root(yaml: &str, env: &[(&str, &str)]) -> PathBuf {
    match config(yaml, env).storage.driver {
        StorageDriver::Filesystem { root, .. } => root,
        other @ (StorageDriver::InMemory | StorageDriver::S3(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_variable_wins_over_the_file() {
    assert_eq!(
        root(LEAST, &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/other")]),
        PathBuf::from("/other")
    );
    assert_eq!(
        config(LEAST, &[("REGISTRY_LOG_LEVEL", "error")]).log.level,
        LogLevel::Error
    );
    assert_eq!(
        config(LEAST, &[("REGISTRY_LOGLEVEL", "error")]).log.level,
        LogLevel::Error
    );
}

#[test]
fn variables_are_applied_by_name_so_the_whole_comes_before_its_parts() {
    let env = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/new"),
        ("REGISTRY_STORAGE", "filesystem"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
    ];
    let file = with("# {}").replace("{filesystem", "{redirect: {disable: true}, filesystem");
    let loaded = loaded(&file, &env);
    assert_eq!(
        loaded.config.storage.driver,
        StorageDriver::Filesystem {
            root: "/new".into(),
            max_threads: 100
        }
    );
    assert!(loaded.config.storage.redirect, "REGISTRY_STORAGE replaced the section");
    assert!(loaded.config.storage.delete_enabled);
    assert_eq!(
        super::texts(&loaded.warnings),
        [
            "environment variable REGISTRY_STORAGE: replaces the whole section `storage` of the file with its \
          `redirect`, `filesystem`"
        ]
    );
}

#[test]
fn a_whole_section_may_be_yaml_or_json() {
    let env = [("REGISTRY_STORAGE_MAINTENANCE_READONLY", r#"{"enabled":true}"#)];
    assert!(config(LEAST, &env).storage.read_only);
    let env = [("REGISTRY_HTTP_HEADERS", "{X-A: [b, c], X-D: e}")];
    assert_eq!(
        config(&with("http: {headers: {X-Old: [x]}}\n"), &env).http.headers,
        [
            ("X-A".to_owned(), vec!["b".to_owned(), "c".to_owned()]),
            ("X-D".to_owned(), vec!["e".to_owned()]),
        ]
    );
    let env = [("REGISTRY_AUTH", "{htpasswd: {realm: r, path: /p}}")];
    assert_eq!(
        config(LEAST, &env).auth,
        Auth::Htpasswd {
            realm: "r".to_owned(),
            path: "/p".into()
        }
    );
}

#[test]
fn nested_settings_of_storage_can_be_set_with_and_without_their_section_in_the_file() {
    let env = [
        ("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true"),
        ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "1h"),
    ];
    let inside = "version: 0.1\nstorage: {inmemory: {}, maintenance: {readonly: {enabled: false}}}\n";
    for file in [LEAST, inside] {
        let storage = config(file, &env).storage;
        assert!(storage.read_only, "{file}");
        assert_eq!(storage.upload_purging.unwrap().age, Duration::from_secs(3600));
    }
}

#[test]
fn lists_are_addressed_by_index_and_grow_at_their_end() {
    let file = with(
        "http: {tls: {certificate: /c, key: /k, clientcas: [/a, /b]}}\nhealth: {tcp: [{addr: 'a:1', threshold: 3}]}\n",
    );
    let env = [
        ("REGISTRY_HTTP_TLS_CLIENTCAS_0", "/x"),
        ("REGISTRY_HTTP_TLS_CLIENTCAS_2", "/z"),
        ("REGISTRY_HEALTH_TCP_0_ADDR", "b:2"),
        ("REGISTRY_HEALTH_TCPCHECKERS_1_ADDR", "c:3"),
        ("REGISTRY_HEALTH_FILECHECKERS_0_FILE", "/tmp/down"),
        ("REGISTRY_HEALTH_HTTP_0", "{uri: 'http://d/'}"),
    ];
    let config = config(&file, &env);
    let authorities = config.http.tls.unwrap().client_cas;
    assert_eq!(authorities, ["/x", "/b", "/z"].map(PathBuf::from));
    assert_eq!(
        (config.health.tcp[0].addr.as_str(), config.health.tcp[0].threshold),
        ("b:2", 3)
    );
    assert_eq!(config.health.tcp[1].addr, "c:3");
    assert_eq!(config.health.files[0].file, PathBuf::from("/tmp/down"));
    assert_eq!(config.health.http[0].uri, "http://d/");
}

#[test]
fn an_index_beyond_the_end_is_refused() {
    assert_eq!(
        problem(LEAST, &[("REGISTRY_HTTP_TLS_CLIENTCAS_5", "/x")]),
        "undefined index: 5; the list has 0 entries before it\n  --> environment variable \
         REGISTRY_HTTP_TLS_CLIENTCAS_5"
    );
    assert_eq!(
        problem(LEAST, &[("REGISTRY_HEALTH_TCP_FIRST_ADDR", "a:1")]),
        "`FIRST` is not an index: a list is addressed by number, the first is 0\n  --> environment variable \
         REGISTRY_HEALTH_TCP_FIRST_ADDR"
    );
}

#[test]
fn lists_that_distribution_cannot_set_by_index_can_be() {
    assert_eq!(
        problem(
            LEAST,
            &[
                ("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS_0", "a.example.com"),
                ("REGISTRY_HTTP_TLS_LETSENCRYPT_CACHEFILE", "/cache"),
            ]
        )
        .lines()
        .next(),
        Some("`http.tls.letsencrypt` is not supported yet")
    );
    let printed = loaded(
        LEAST,
        &[("REGISTRY_REDIS_ADDRS_0", "a:1"), ("REGISTRY_REDIS_ADDRS_1", "b:2")],
    )
    .print(crate::config::Format::Yaml);
    assert!(printed.contains(r#"addrs: ["a:1","b:2"]"#), "{printed}");
}

#[test]
fn headers_keep_the_spelling_of_the_file_and_new_ones_are_lower_case() {
    let file = with("http: {headers: {X-Frame-Options: [DENY]}}\n");
    let env = [
        ("REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS", "[SAMEORIGIN]"),
        ("REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin", "['*']"),
        ("REGISTRY_HTTP_HEADERS_X-Plain", "*"),
    ];
    let headers = config(&file, &env).http.headers;
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, values)| (name.as_str(), values[0].as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("X-Frame-Options", "SAMEORIGIN"),
            ("access-control-allow-origin", "*"),
            ("x-plain", "*")
        ]
    );
    assert_eq!(
        problem(LEAST, &[("REGISTRY_HTTP_HEADERS_X_FRAME_OPTIONS", "DENY")])
            .lines()
            .next(),
        Some(
            "`X_FRAME_OPTIONS` is not a header's name: write the hyphens of the name into the variable's, or give the \
             whole section as YAML"
        )
    );
}

#[test]
fn credentials_stay_text() {
    for secret in [
        "0123", "1e5", "yes", "null", "#hash", "a: b", "{x", "*", "%", "a #b", "[", " padded ", "1_000",
    ] {
        let config = config(LEAST, &[("REGISTRY_HTTP_SECRET", secret)]);
        assert_eq!(config.http.secret.unwrap().expose(), secret);
    }
    let file = with("redis: {password: 0123}\nhttp: {secret: 00123}\n");
    assert_eq!(config(&file, &[]).http.secret.unwrap().expose(), "00123");
    let env = [
        ("REGISTRY_AUTH_HTPASSWD_REALM", "007"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "\"/quoted path\""),
    ];
    assert_eq!(
        config(LEAST, &env).auth,
        Auth::Htpasswd {
            realm: "007".to_owned(),
            path: "/quoted path".into()
        }
    );
}

#[test]
fn fields_of_distributions_source_and_names_of_the_file_both_work() {
    for name in ["EVENTCONFIG", "EVENTS"] {
        let name = format!("REGISTRY_NOTIFICATIONS_{name}_INCLUDEREFERENCES");
        assert_eq!(
            warnings(LEAST, &[(&name, "true")]),
            [format!(
                "environment variable {name}: `notifications.events.includereferences` has no effect: no events are \
                 sent yet"
            )]
        );
    }
    for name in ["MAILOPTIONS", "OPTIONS"] {
        let name = format!("REGISTRY_LOG_HOOKS_0_{name}_FROM");
        let warnings = warnings(LEAST, &[("REGISTRY_LOG_HOOKS_0_TYPE", "mail"), (&name, "a@b")]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
    assert_eq!(
        warnings(LEAST, &[("REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY", "/k")]).len(),
        1
    );
}

#[test]
fn keys_with_an_underscore_can_be_reached() {
    let env = [("REGISTRY_STORAGE_FOREIGN_WRITERS", "never")];
    assert_eq!(config(LEAST, &env).storage.foreign_writers, ForeignWriters::Never);
    let file = "version: 0.1\nstorage: {azure: {accountname: a, container: c}}\n";
    let problems = super::problems(file, &[("REGISTRY_STORAGE_AZURE_MAX_RETRIES", "many")]);
    assert_eq!(problems[0].message, "`storage.azure` is not supported yet");
    assert_eq!(
        problems[1].message,
        "`storage.azure.max_retries`: \"many\" is not a whole number"
    );
}

#[test]
fn own_keys_are_set_by_wharf_variables_too() {
    let env = [
        ("WHARF_STORAGE_FOREIGN_WRITERS", "always"),
        ("WHARF_DATABASE_PATH", "/index.sqlite"),
        ("WHARF_HTTP_LIMITS_MANIFEST_SIZE", "1MiB"),
        ("WHARF_HTTP_TRUSTED_PROXIES_0", "10.1.2.3"),
        ("WHARF_GC_GRACEPERIOD", "2h"),
    ];
    let config = config(LEAST, &env);
    assert_eq!(config.storage.foreign_writers, ForeignWriters::Always);
    assert_eq!(config.database.path, Some("/index.sqlite".into()));
    assert_eq!(config.http.limits.manifest_size, 1 << 20);
    assert_eq!(config.http.trusted_proxies.unwrap().len(), 1);
    assert_eq!(config.gc.grace_period, Duration::from_secs(7200));
    assert_eq!(
        warnings(LEAST, &[("WHARF_HTTP_ADDR", ":6000")]),
        [
            "environment variable WHARF_HTTP_ADDR: this variable sets nothing and is ignored: distribution's keys are \
          set by `REGISTRY_HTTP_ADDR`"
        ]
    );
}

#[test]
fn unknown_variables_are_ignored_with_a_warning() {
    assert_eq!(
        warnings(
            LEAST,
            &[
                ("REGISTRY_HTTP_ADRR", ":6000"),
                ("REGISTRY_URL", "x"),
                ("REGISTRY_Log_Level", "debug")
            ]
        ),
        [
            "environment variable REGISTRY_HTTP_ADRR: this variable sets nothing and is ignored: did you mean \
             `REGISTRY_HTTP_ADDR`?",
            "environment variable REGISTRY_Log_Level: this variable sets nothing and is ignored: variables are \
             written in capitals, `REGISTRY_LOG_LEVEL`",
            "environment variable REGISTRY_URL: this variable sets nothing and is ignored",
        ]
    );
    assert_eq!(
        warnings(LEAST, &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIR", "/x")]),
        [
            "environment variable REGISTRY_STORAGE_FILESYSTEM_ROOTDIR: unknown key `rootdir` in `storage.filesystem` is \
          ignored: did you mean `rootdirectory`?"
        ]
    );
    assert!(
        warnings(
            LEAST,
            &[
                ("REGISTRY_CONFIGURATION_PATH", "/x"),
                ("REGISTRYX", "y"),
                ("PATH", "/bin")
            ]
        )
        .is_empty()
    );
}

#[test]
fn what_kubernetes_says_about_services_is_not_taken_for_settings() {
    let env = [
        ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_SERVICE_PORT", "5000"),
        ("REGISTRY_SERVICE_PORT_HTTP", "5000"),
        ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
        ("REGISTRY_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("REGISTRY_PORT_5000_TCP_PORT", "5000"),
        ("REGISTRY_PORT_5000_TCP_PROTO", "tcp"),
        ("REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ("REGISTRY_STORAGE_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_STORAGE_PORT_9000_TCP_ADDR", "10.0.0.1"),
        ("REGISTRY_AUTH_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_AUTH_PORT", "tcp://10.0.0.1:5001"),
        ("REGISTRY_AUTH_PORT_5001_TCP", "tcp://10.0.0.1:5001"),
        ("WHARF_SERVICE_HOST", "10.0.0.1"),
        ("WHARF_PORT", "tcp://10.0.0.1:5000"),
    ];
    let loaded = loaded(LEAST, &env);
    assert!(super::texts(&loaded.warnings).is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.auth, Auth::None);
}

#[test]
fn where_podman_and_skopeo_keep_credentials_is_not_taken_for_a_setting() {
    let loaded = loaded(LEAST, &[("REGISTRY_AUTH_FILE", "/run/user/1000/containers/auth.json")]);
    assert!(super::texts(&loaded.warnings).is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.auth, Auth::None);
}

#[test]
fn the_driver_that_the_environment_chose_wins() {
    let loaded = loaded(LEAST, &[("REGISTRY_STORAGE_INMEMORY", "{}")]);
    assert_eq!(loaded.config.storage.driver, StorageDriver::InMemory);
    assert_eq!(
        super::texts(&loaded.warnings),
        [
            "environment variable REGISTRY_STORAGE_INMEMORY: selects the storage driver `inmemory`; `filesystem` \
          (config.yml:2:11) is not used"
        ]
    );
    assert_eq!(
        config(LEAST, &[("REGISTRY_STORAGE", "inmemory")]).storage.driver,
        StorageDriver::InMemory
    );
    let named = [
        ("REGISTRY_STORAGE", "inmemory"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/x"),
    ];
    assert_eq!(config(LEAST, &named).storage.driver, StorageDriver::InMemory);
}

#[test]
fn two_drivers_from_the_environment_are_refused() {
    let env = [
        ("REGISTRY_STORAGE_INMEMORY", "{}"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/x"),
    ];
    assert_eq!(
        problem(LEAST, &env),
        "more than one storage driver: `filesystem` (environment variable REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY), \
         `inmemory` (environment variable REGISTRY_STORAGE_INMEMORY)\n  --> environment variable \
         REGISTRY_STORAGE_INMEMORY\n   = keep exactly one of them"
    );
}

#[test]
fn two_auth_schemes_are_refused() {
    let file = with("auth:\n  htpasswd:\n    realm: r\n    path: /p\n");
    let env = [
        ("REGISTRY_AUTH_TOKEN_REALM", "https://a/"),
        ("REGISTRY_AUTH_TOKEN_SERVICE", "s"),
        ("REGISTRY_AUTH_TOKEN_ISSUER", "i"),
        ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", "/b"),
    ];
    assert_eq!(
        problem(&file, &env),
        "more than one auth scheme: `htpasswd` (config.yml:4:3), `token` (environment variable \
         REGISTRY_AUTH_TOKEN_ISSUER)\n  --> environment variable REGISTRY_AUTH_TOKEN_ISSUER\n   = keep exactly one of \
         them"
    );
    let replaced: Vec<(&str, &str)> = env.into_iter().chain([("REGISTRY_AUTH", "token")]).collect();
    assert!(matches!(config(&file, &replaced).auth, Auth::Token(_)));
}

#[test]
fn an_empty_variable_puts_the_default_back() {
    let file = with("log: {level: debug}\nhttp: {secret: x}\n");
    let config = config(&file, &[("REGISTRY_LOG_LEVEL", ""), ("REGISTRY_HTTP_SECRET", "")]);
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.http.secret, None);
}

#[test]
fn wrong_values_name_their_variable() {
    assert_eq!(
        problem(LEAST, &[("REGISTRY_STORAGE_DELETE_ENABLED", "maybe")]),
        "`storage.delete.enabled`: \"maybe\" is neither true nor false\n  --> environment variable \
         REGISTRY_STORAGE_DELETE_ENABLED"
    );
    assert_eq!(
        problem(LEAST, &[("REGISTRY_HTTP_HEADERS", "{a: [b")]).lines().last(),
        Some("  --> environment variable REGISTRY_HTTP_HEADERS")
    );
}

#[test]
fn the_first_administrators_password_comes_from_one_place() {
    let admin = config(LEAST, &[("WHARF_ADMIN_PASSWORD", "s3cret")]).admin;
    assert_eq!(
        admin.password.as_ref().map(|password| password.expose()),
        Some("s3cret")
    );
    assert!(!format!("{admin:?}").contains("s3cret"));
    let env = [
        ("WHARF_ADMIN_PASSWORD", "s3cret"),
        ("WHARF_ADMIN_PASSWORD_FILE", "/run/secret"),
    ];
    assert_eq!(
        problem(LEAST, &env),
        "both WHARF_ADMIN_PASSWORD and WHARF_ADMIN_PASSWORD_FILE are set\n  --> environment variable \
         WHARF_ADMIN_PASSWORD_FILE\n   = set only one of them"
    );
}

#[test]
fn traces_are_off_until_someone_says_where_they_go() {
    assert_eq!(config(LEAST, &[]).traces, None);
    assert_eq!(
        config(LEAST, &[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SERVICE_NAME", "x")]).traces,
        None
    );
    let off = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    assert_eq!(config(LEAST, &off).traces, None);
    let traces = config(LEAST, &[("OTEL_TRACES_EXPORTER", "otlp")]).traces.unwrap();
    assert_eq!(traces.endpoint, "http://localhost:4318/v1/traces");
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x=y"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=r,deployment.environment=prod"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ];
    let traces = config(LEAST, &env).traces.unwrap();
    assert_eq!(traces.endpoint, "http://c:4318/v1/traces");
    assert_eq!(
        (traces.headers[0].0.as_str(), traces.headers[0].1.expose()),
        ("api-key", "a b")
    );
    assert!(!format!("{traces:?}").contains("a b"));
    assert_eq!(traces.service_name, "r");
    assert_eq!(
        traces.attributes,
        [("deployment.environment".to_owned(), "prod".to_owned())]
    );
    assert_eq!((traces.sample_ratio, traces.parent_based), (0.25, false));
    let file = with("telemetry: {traces: {endpoint: 'https://t.example.com', service_name: reg, sample_ratio: 0.5}}\n");
    let traces = config(&file, &[("OTEL_SERVICE_NAME", "x")]).traces.unwrap();
    assert_eq!(traces.endpoint, "https://t.example.com/v1/traces");
    assert_eq!((traces.service_name.as_str(), traces.sample_ratio), ("reg", 0.5));
    assert_eq!(
        warnings(LEAST, &[("OTEL_TRACES_EXPORTER", "zipkin")]),
        [
            "environment variable OTEL_TRACES_EXPORTER: \"zipkin\" is not supported, only otlp and none: no traces are \
          sent"
        ]
    );
}

#[test]
fn the_backup_key_comes_from_one_place_and_is_never_shown() {
    let key = ("WHARF_BACKUP_KEY", "wharf-backup-key-1:s3cret");
    let file = ("WHARF_BACKUP_KEY_FILE", "/run/secrets/backup");
    let backup = config(LEAST, &[key]).backup;
    assert_eq!(
        backup.key.as_ref().map(|key| key.expose()),
        Some("wharf-backup-key-1:s3cret")
    );
    assert!(!format!("{backup:?}").contains("s3cret"));
    assert_eq!(
        config(LEAST, &[file]).backup.key_file,
        Some("/run/secrets/backup".into())
    );
    assert!(problem(LEAST, &[key, file]).starts_with("`backup.key_file`: there is a backup.key"));
}

#[test]
fn scheduled_backups_need_a_schedule_and_a_folder() {
    let with = |text: &str| format!("{LEAST}backup: {{{text}}}\n");
    let scheduled = config(&with("schedule: '@daily', folder: /backups, keep: 3"), &[])
        .backup
        .scheduled;
    let scheduled = scheduled.unwrap();
    assert_eq!(
        (scheduled.schedule.to_string().as_str(), scheduled.keep),
        ("0 0 * * * UTC", 3)
    );
    assert!(problem(&with("schedule: '@daily'"), &[]).contains("need a folder"));
    assert!(problem(&with("schedule: sometimes, folder: /backups"), &[]).contains("is no schedule"));
    assert!(config(&with("folder: /backups"), &[]).backup.scheduled.is_none());
}
