//! From the user's configuration to the settings of each part.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderName, HeaderValue};
use wharf_api_common::{BaseUrls, TrustedProxies};
use wharf_registry::garbage_collection::Policy;
use wharf_registry::push::{IndexChildren, ManifestRules, PushRules, UrlRules};
use wharf_registry::trash::Keep;

use crate::config::{self, Config};
use crate::{health, listen, telemetry, tls};

/// How logs and traces are written.
pub fn telemetry(config: &Config) -> telemetry::Config {
    use config::{LogFormatter, LogLevel};
    use tracing::level_filters::LevelFilter;
    telemetry::Config {
        level: match config.log.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        },
        directives: None,
        format: match config.log.formatter {
            LogFormatter::Text => telemetry::Format::Text,
            LogFormatter::Json => telemetry::Format::Json,
            LogFormatter::Logstash => telemetry::Format::Logstash,
        },
        fields: config.log.fields.clone(),
        report_caller: config.log.report_caller,
        traces: config.traces.as_ref().map(|traces| telemetry::TracesConfig {
            endpoint: traces.endpoint.clone(),
            headers: traces
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            service_name: traces.service_name.clone(),
            attributes: traces.attributes.clone(),
            sample_ratio: traces.sample_ratio,
            parent_based: traces.parent_based,
        }),
    }
}

/// How URLs are built, and whom to believe about them.
pub fn base_urls(config: &Config) -> Result<BaseUrls> {
    let proxies = match &config.http.trusted_proxies {
        None => TrustedProxies::everyone(),
        Some(networks) => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            TrustedProxies::only(&networks).context("http.trusted_proxies")?
        }
    };
    let http = &config.http;
    Ok(BaseUrls::new(
        http.host.as_deref(),
        &http.prefix,
        http.relative_urls,
        proxies,
    )?)
}

/// The main listener.
pub fn listener(config: &Config) -> listen::Config {
    let mut settings = listen::Config::new(address(&config.http.listen));
    settings.http2 = config.http.http2;
    settings.h2c = config.http.h2c;
    settings.limits.header_bytes = config.http.limits.header_size;
    settings.limits.idle_timeout = config.http.limits.idle_timeout;
    settings
}

/// An address to bind.
pub fn address(address: &config::Listen) -> listen::Address {
    match address {
        config::Listen::Tcp { host, port } => listen::Address::Tcp {
            host: host.clone(),
            port: *port,
        },
        config::Listen::Unix(path) => listen::Address::unix(path),
    }
}

/// TLS, when it ends here.
pub fn tls(config: &Config) -> Option<tls::Config> {
    let files = config.http.tls.as_ref()?;
    let mut settings = tls::Config::new(&files.certificate, &files.key);
    settings.client_cas.clone_from(&files.client_cas);
    settings.client_auth = match files.client_auth {
        _ if files.client_cas.is_empty() => tls::ClientAuth::None,
        config::ClientAuth::Request => tls::ClientAuth::Request,
        config::ClientAuth::RequireAny => tls::ClientAuth::RequireAny,
        config::ClientAuth::VerifyIfGiven => tls::ClientAuth::VerifyIfGiven,
        config::ClientAuth::RequireAndVerify => tls::ClientAuth::RequireAndVerify,
    };
    settings.minimum = match files.minimum {
        config::TlsVersion::Tls12 => tls::MinimumVersion::Tls12,
        config::TlsVersion::Tls13 => tls::MinimumVersion::Tls13,
    };
    settings.cipher_suites.clone_from(&files.cipher_suites);
    settings.http2 = config.http.http2;
    settings.poll = config.tls.reload_interval;
    Some(settings)
}

/// `http.headers`, checked.
pub fn headers(config: &Config) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    for (name, values) in &config.http.headers {
        let known: HeaderName = name
            .parse()
            .with_context(|| format!("http.headers: {name:?} is no header name"))?;
        for value in values {
            let value = value
                .parse()
                .with_context(|| format!("http.headers.{name}: the value cannot stand in a header"))?;
            headers.push((known.clone(), value));
        }
    }
    Ok(headers)
}

/// How garbage is collected.
pub fn collection(config: &Config) -> Policy {
    Policy {
        grace: config.gc.grace_period,
        untagged_after: config.gc.untagged_after,
        keep: Keep::new(config.trash.keep),
        objects_per_second: config.gc.objects_per_second,
        bytes_per_second: config.gc.bytes_per_second,
    }
}

/// What pushes must obey.
pub fn push_rules(config: &Config) -> Result<PushRules> {
    let manifests = match (&config.validation.manifests, &config.origin) {
        (None, _) | (Some(_), config::Origin::Defaults) => ManifestRules::default(),
        (Some(rules), config::Origin::File(_)) => manifest_rules(rules)?,
    };
    Ok(PushRules {
        is_read_only: config.storage.read_only,
        grace: config.gc.grace_period,
        manifest_limit: usize::try_from(config.http.limits.manifest_size).unwrap_or(usize::MAX),
        manifests: Arc::new(manifests),
    })
}

fn manifest_rules(rules: &config::ManifestValidation) -> Result<ManifestRules> {
    let urls = if rules.urls_allow.is_empty() && rules.urls_deny.is_empty() {
        UrlRules::Any
    } else {
        let allow = regex::RegexSet::new(&rules.urls_allow).context("validation.manifests.urls.allow")?;
        let deny = regex::RegexSet::new(&rules.urls_deny).context("validation.manifests.urls.deny")?;
        let allows_all = rules.urls_allow.is_empty();
        UrlRules::Matching(Arc::new(move |url| {
            (allows_all || allow.is_match(url)) && !deny.is_match(url)
        }))
    };
    let children = match &rules.index_platforms {
        config::IndexPlatforms::All => IndexChildren::Required,
        config::IndexPlatforms::None => IndexChildren::Optional,
        config::IndexPlatforms::List(platforms) => IndexChildren::RequiredFor(platforms.clone()),
    };
    Ok(ManifestRules { urls, children })
}

/// The health checks of the configuration, except that of the storage.
pub fn checks(config: &Config) -> Result<Vec<health::Check>> {
    let health = &config.health;
    let files = health
        .files
        .iter()
        .map(|check| Ok(health::Check::file(check.file.clone(), check.interval)));
    let tcp = health.tcp.iter().map(|check| {
        Ok(health::Check::tcp(
            check.addr.clone(),
            check.timeout,
            check.interval,
            check.threshold,
        ))
    });
    let http = health.http.iter().map(|check| {
        let target = health::HttpTarget {
            uri: check.uri.clone(),
            headers: check.headers.iter().map(exposed).collect(),
            status: check.status_code,
            timeout: check.timeout,
        };
        Ok(health::Check::http(target, check.interval, check.threshold)?)
    });
    files.chain(tcp).chain(http).collect()
}

fn exposed((name, values): &(String, Vec<config::Secret>)) -> (String, Vec<String>) {
    (
        name.clone(),
        values.iter().map(|value| value.expose().to_owned()).collect(),
    )
}

/// How long requests in flight may take after a signal.
pub fn drain(config: &Config) -> Duration {
    config.http.drain_timeout.unwrap_or(crate::shutdown::DEFAULT_DRAIN)
}

/// How people on this machine reach a listener: for the next command to type.
pub fn reachable(local: &listen::Local) -> String {
    match local {
        listen::Local::Tcp(address) => match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => format!("localhost:{}", address.port()),
            IpAddr::V6(ip) if ip.is_unspecified() => format!("localhost:{}", address.port()),
            _ => address.to_string(),
        },
        listen::Local::Unix(path) => path.display().to_string(),
    }
}
