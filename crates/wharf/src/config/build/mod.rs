//! Effective values to [`Config`], with the rules that need more than one of them.

mod address;
mod backup;
mod database;
mod http;
mod jobs;
mod middleware;
mod s3;
mod storage;
mod traces;

use std::path::PathBuf;

use regex::Regex;

use super::error::{Severity, Source, Warning};
use super::settings::Settings;
use super::snippet::Finding;
use super::types::{
    Access, Admin, Auth, Config, FileCheck, GarbageCollection, Health, HttpCheck, IndexPlatforms, Log, LogFormatter,
    LogLevel, ManifestValidation, Origin, Scrub, Secret, StorageCheck, TcpCheck, TlsSettings, TokenAuth, Trash,
    Validation,
};

/// Said at every start without any access control.
const OPEN: &str = "nobody has to sign in: whoever reaches this registry can pull, push and delete; add an `auth` \
                    section, or `access: {accounts: true}` for built-in accounts";

/// Makes the typed configuration and notes what is wrong with it.
pub(super) struct Builder<'a> {
    pub(super) settings: &'a Settings,
    pub(super) env: &'a [(String, String)],
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<Warning>,
}

impl Builder<'_> {
    /// The configuration; it holds only if no finding was added.
    pub(super) fn config(&mut self, origin: Origin) -> Config {
        let auth = self.auth();
        let access = self.access(&origin, &auth);
        let jobs = self.jobs();
        let zone = jobs.time_zone.clone();
        Config {
            data_folder: self.data_folder(&origin),
            log: self.log(),
            storage: self.storage(),
            http: self.http(),
            health: self.health(),
            catalog_max_entries: self.page("catalog.maxentries"),
            tags_max_tags: self.page("tags.maxtags"),
            validation: self.validation(),
            database: self.database(),
            access,
            tls: TlsSettings {
                reload_interval: self.at_least("tls.reload_interval", 1),
            },
            gc: self.gc(),
            jobs,
            scrub: Scrub {
                bytes_per_second: self.settings.size("scrub.bytes_per_second"),
            },
            backup: self.backup(&zone),
            trash: Trash {
                keep: self.settings.duration("trash.keep"),
            },
            traces: self.traces(),
            admin: self.admin(),
            auth,
            origin,
        }
    }

    fn wrong(&mut self, path: &str, message: impl std::fmt::Display, help: &str) {
        let finding = Finding::new(format!("`{path}`: {message}"), self.settings.source(path));
        self.findings
            .push(if help.is_empty() { finding } else { finding.help(help) });
    }

    fn warn(&mut self, path: &str, message: impl std::fmt::Display) {
        self.warnings.push(Warning {
            severity: Severity::Warning,
            message: format!("`{path}`: {message}"),
            source: self.settings.source(path),
        });
    }

    fn is_set(&self, path: &str) -> bool {
        self.settings.source(path) != Source::Default
    }

    fn env(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn data_folder(&self, origin: &Origin) -> PathBuf {
        let default = match origin {
            Origin::File(_) => "/var/lib/registry",
            Origin::Defaults => "./wharf-data",
        };
        self.env("WHARF_DATA").unwrap_or(default).into()
    }

    fn log(&mut self) -> Log {
        let settings = self.settings;
        let old = settings.text("loglevel");
        if old.is_some() {
            self.warn("loglevel", "this is the old spelling of `log.level`");
        }
        let level = if self.is_set("log.level") { None } else { old }.or_else(|| settings.text("log.level"));
        Log {
            level: match level.as_deref() {
                Some("error") => LogLevel::Error,
                Some("warn") => LogLevel::Warn,
                Some("debug") => LogLevel::Debug,
                _ => LogLevel::Info,
            },
            formatter: match settings.text("log.formatter").as_deref() {
                Some("json") => LogFormatter::Json,
                Some("logstash") => LogFormatter::Logstash,
                _ => LogFormatter::Text,
            },
            fields: settings.fields("log.fields"),
            access_log: !settings.bool("log.accesslog.disabled"),
            report_caller: settings.bool("log.reportcaller"),
        }
    }

    fn auth(&mut self) -> Auth {
        let settings = self.settings;
        let text = |path: &str| settings.text(path).unwrap_or_default();
        if settings.has_section("auth.silly") {
            self.warn(
                "auth.silly.realm",
                "the scheme `silly` lets in everyone who sends an `Authorization` header",
            );
            return Auth::Silly {
                realm: text("auth.silly.realm"),
                service: text("auth.silly.service"),
            };
        }
        if settings.has_section("auth.htpasswd") {
            let path = PathBuf::from(text("auth.htpasswd.path"));
            return Auth::Htpasswd {
                realm: text("auth.htpasswd.realm"),
                path,
            };
        }
        if !settings.has_section("auth.token") {
            return Auth::None;
        }
        let root_cert_bundle = settings.path("auth.token.rootcertbundle");
        let jwks = settings.path("auth.token.jwks");
        if root_cert_bundle.is_none() && jwks.is_none() {
            let help = "add `rootcertbundle` (a PEM file) or `jwks` (a JSON Web Key Set)";
            self.wrong("auth.token.realm", "the issuer's keys are missing", help);
        }
        let redirect = settings.bool("auth.token.autoredirect");
        Auth::Token(Box::new(TokenAuth {
            realm: text("auth.token.realm"),
            service: text("auth.token.service"),
            issuer: text("auth.token.issuer"),
            root_cert_bundle,
            jwks,
            signing_algorithms: settings.texts("auth.token.signingalgorithms"),
            auto_redirect_path: redirect.then(|| text("auth.token.autoredirectpath")),
        }))
    }

    fn access(&mut self, origin: &Origin, auth: &Auth) -> Access {
        let wanted = self.settings.bool_if_set("access.accounts");
        if wanted == Some(true) && *auth != Auth::None {
            let help = "remove one of them";
            self.wrong(
                "access.accounts",
                "built-in accounts cannot stand beside an `auth` scheme yet",
                help,
            );
        }
        let accounts = *auth == Auth::None && wanted.unwrap_or(*origin == Origin::Defaults);
        if *auth == Auth::None && !accounts {
            self.warnings.push(Warning {
                severity: Severity::Warning,
                message: OPEN.to_owned(),
                source: Source::Default,
            });
        }
        Access {
            accounts,
            token_lifetime: self.at_least("access.token_lifetime", 60),
        }
    }

    fn health(&mut self) -> Health {
        let settings = self.settings;
        let driver = "health.storagedriver";
        Health {
            storage_driver: settings.bool(&format!("{driver}.enabled")).then(|| StorageCheck {
                interval: self.interval(driver),
                threshold: self.threshold(driver),
            }),
            files: settings
                .items("health.file")
                .iter()
                .map(|item| FileCheck {
                    file: settings.path(&format!("{item}.file")).unwrap_or_default(),
                    interval: self.interval(item),
                })
                .collect(),
            http: settings
                .items("health.http")
                .iter()
                .map(|item| self.http_check(item))
                .collect(),
            tcp: settings
                .items("health.tcp")
                .iter()
                .map(|item| self.tcp_check(item))
                .collect(),
        }
    }

    fn http_check(&mut self, item: &str) -> HttpCheck {
        let settings = self.settings;
        let uri_path = format!("{item}.uri");
        let uri = settings.text(&uri_path).unwrap_or_default();
        if !uri.is_empty() && !uri.starts_with("http://") && !uri.starts_with("https://") {
            self.wrong(&uri_path, "this should begin with http:// or https://", "");
        }
        let headers_path = format!("{item}.headers");
        self.check_headers(&headers_path);
        let status = settings.int(&format!("{item}.statuscode"));
        HttpCheck {
            uri,
            headers: settings
                .headers(&headers_path)
                .into_iter()
                .map(|(name, values)| (name, values.into_iter().map(Secret::new).collect()))
                .collect(),
            status_code: u16::try_from(status).ok().filter(|status| *status != 0).unwrap_or(200),
            timeout: settings.duration_if_any(&format!("{item}.timeout")),
            interval: self.interval(item),
            threshold: self.threshold(item),
        }
    }

    fn tcp_check(&mut self, item: &str) -> TcpCheck {
        let settings = self.settings;
        let path = format!("{item}.addr");
        let addr = settings.text(&path).unwrap_or_default();
        if let (false, Err(message)) = (addr.is_empty(), address::tcp(&addr)) {
            self.wrong(&path, message, "");
        }
        TcpCheck {
            addr,
            timeout: settings.duration_if_any(&format!("{item}.timeout")),
            interval: self.interval(item),
            threshold: self.threshold(item),
        }
    }

    /// Zero means distribution's 10 seconds.
    fn interval(&self, item: &str) -> std::time::Duration {
        let set = self.settings.duration_if_any(&format!("{item}.interval"));
        set.unwrap_or(std::time::Duration::from_secs(10))
    }

    fn threshold(&self, item: &str) -> u32 {
        u32::try_from(self.settings.int(&format!("{item}.threshold"))).unwrap_or(u32::MAX)
    }

    /// Zero and less mean the default, as in distribution.
    fn page(&self, path: &str) -> usize {
        usize::try_from(self.settings.int(path))
            .ok()
            .filter(|size| *size > 0)
            .unwrap_or(1000)
    }

    fn at_least(&mut self, path: &str, seconds: u64) -> std::time::Duration {
        let value = self.settings.duration(path);
        let least = std::time::Duration::from_secs(seconds);
        if value < least {
            let shown = super::scalar::duration_text(value);
            self.wrong(
                path,
                format!("{shown} is too short: it must be at least {seconds}s"),
                "",
            );
        }
        value.max(least)
    }

    fn validation(&mut self) -> Validation {
        let settings = self.settings;
        if settings.bool("validation.disabled") && !settings.bool("validation.enabled") {
            return Validation { manifests: None };
        }
        let indexes = "validation.manifests.indexes";
        let platforms = match settings.text(&format!("{indexes}.platforms")).as_deref() {
            Some("none") => IndexPlatforms::None,
            Some("list") => {
                let text = |path: String| settings.text(&path).unwrap_or_default();
                let list = settings.items(&format!("{indexes}.platformlist"));
                IndexPlatforms::List(
                    list.iter()
                        .map(|item| (text(format!("{item}.architecture")), text(format!("{item}.os"))))
                        .collect(),
                )
            }
            _ => IndexPlatforms::All,
        };
        let manifests = ManifestValidation {
            urls_allow: self.expressions("validation.manifests.urls.allow"),
            urls_deny: self.expressions("validation.manifests.urls.deny"),
            index_platforms: platforms,
        };
        Validation {
            manifests: Some(manifests),
        }
    }

    fn expressions(&mut self, path: &str) -> Vec<String> {
        let expressions = self.settings.texts(path);
        for expression in &expressions {
            if let Err(error) = Regex::new(expression) {
                let text = error.to_string();
                let why = text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                let quoted = super::read::quoted(expression);
                self.wrong(path, format!("{quoted} is not a regular expression: {why}"), "");
            }
        }
        expressions
    }

    fn gc(&mut self) -> GarbageCollection {
        let configured = self.at_least("gc.grace_period", 600);
        let objects = u64::try_from(self.settings.int("gc.objects_per_second")).unwrap_or(0);
        let bytes = self.settings.size("gc.bytes_per_second");
        GarbageCollection {
            grace_period: self.test_grace_period().unwrap_or(configured),
            untagged_after: self.settings.duration_if_any("gc.untagged_after"),
            objects_per_second: Some(objects).filter(|objects| *objects > 0),
            bytes_per_second: Some(bytes).filter(|bytes| *bytes > 0),
        }
    }

    /// For tests of Wharf itself: with less than ten minutes a push may be told that a blob is gone
    /// that it has just sent, and has to send it again.
    fn test_grace_period(&mut self) -> Option<std::time::Duration> {
        const NAME: &str = "WHARF_TEST_GRACE_PERIOD";
        let text = self.env(NAME)?.to_owned();
        match super::scalar::duration(&text) {
            Some(grace) => {
                self.warn("gc.grace_period", "WHARF_TEST_GRACE_PERIOD replaces it: for tests only");
                Some(grace.value)
            }
            None => {
                let source = Source::Env(NAME.into());
                self.findings
                    .push(Finding::new(format!("{NAME} is not a duration"), source).help("write one such as 0s"));
                None
            }
        }
    }

    fn admin(&mut self) -> Admin {
        let admin = Admin {
            password: self.env("WHARF_ADMIN_PASSWORD").map(Secret::new),
            password_file: self.env("WHARF_ADMIN_PASSWORD_FILE").map(PathBuf::from),
        };
        if admin.password.is_some() && admin.password_file.is_some() {
            let source = Source::Env("WHARF_ADMIN_PASSWORD_FILE".into());
            let message = "both WHARF_ADMIN_PASSWORD and WHARF_ADMIN_PASSWORD_FILE are set";
            self.findings
                .push(Finding::new(message, source).help("set only one of them"));
        }
        admin
    }
}
