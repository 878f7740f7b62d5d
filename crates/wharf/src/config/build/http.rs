//! The `http` section.

use ipnet::IpNet;

use super::super::types::{ClientAuth, Debug, Http, Limits, Listen, Secret, Tls, TlsVersion};
use super::{Builder, address};
use crate::tls::ciphers;

/// TLS 1.2 suites of distribution that this build has. Go left `_SHA256` off the ChaCha ones for a while.
const SUITES: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

impl Builder<'_> {
    pub(super) fn http(&mut self) -> Http {
        let settings = self.settings;
        self.check_headers("http.headers");
        let unix = settings.text("http.net").as_deref() == Some("unix");
        let prefix = settings.text("http.prefix").unwrap_or_default();
        Http {
            listen: self.listen("http.addr", unix),
            host: self.host(),
            prefix: self.prefix(&prefix),
            relative_urls: settings.bool("http.relativeurls"),
            drain_timeout: settings.duration_if_any("http.draintimeout"),
            secret: settings.text("http.secret").map(Secret::new),
            tls: self.tls(),
            headers: settings.headers("http.headers"),
            http2: !settings.bool("http.http2.disabled"),
            h2c: settings.bool("http.h2c.enabled"),
            debug: self.debug(),
            trusted_proxies: self.trusted_proxies(),
            limits: Limits {
                manifest_size: self.size("http.limits.manifest_size", 1 << 10, 1 << 30),
                header_size: usize::try_from(self.size("http.limits.header_size", 8 << 10, 16 << 20))
                    .unwrap_or(64 << 10),
                idle_timeout: self.at_least("http.limits.idle_timeout", 1),
            },
        }
    }

    fn listen(&mut self, path: &str, unix: bool) -> Listen {
        let text = self.settings.text(path).unwrap_or_default();
        if unix {
            if !self.is_set(path) {
                self.wrong(path, "`net: unix` needs the path of a socket here", "");
            }
            return Listen::Unix(text.into());
        }
        match address::tcp(&text) {
            Ok((host, port)) => Listen::Tcp { host, port },
            Err(message) => {
                self.wrong(path, message, "");
                Listen::Tcp {
                    host: String::new(),
                    port: 0,
                }
            }
        }
    }

    fn host(&mut self) -> Option<String> {
        let host = self.settings.text("http.host")?;
        let rest = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://"));
        let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        let good = authority.is_some_and(|authority| !authority.is_empty())
            && !host
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>'));
        if !good {
            let quoted = super::super::read::quoted(&host);
            let help = "write it like https://registry.example.com";
            self.wrong("http.host", format!("{quoted} is not a URL with scheme and host"), help);
        }
        Some(host.trim_end_matches('/').to_owned())
    }

    fn prefix(&mut self, prefix: &str) -> String {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '_' | '~');
        if !prefix.chars().all(good) || prefix.split('/').any(|part| part == ".." || part == ".") {
            let quoted = super::super::read::quoted(prefix);
            self.wrong(
                "http.prefix",
                format!("{quoted} is not a path"),
                "write it like /registry/",
            );
        }
        let inside = prefix.trim_matches('/');
        if inside.is_empty() {
            "/".to_owned()
        } else {
            format!("/{inside}/")
        }
    }

    fn tls(&mut self) -> Option<Tls> {
        let settings = self.settings;
        let certificate = settings.path("http.tls.certificate");
        let key = settings.path("http.tls.key");
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => {
                for path in [
                    "http.tls.clientcas",
                    "http.tls.clientauth",
                    "http.tls.minimumtls",
                    "http.tls.ciphersuites",
                ] {
                    if self.is_set(path) {
                        self.warn(path, "no effect without `http.tls.certificate` and `http.tls.key`");
                    }
                }
                return None;
            }
            (Some(_), None) => {
                self.wrong("http.tls.certificate", "`http.tls.key` is missing beside it", "");
                return None;
            }
            (None, Some(_)) => {
                self.wrong("http.tls.key", "`http.tls.certificate` is missing beside it", "");
                return None;
            }
        };
        let minimum = settings.text("http.tls.minimumtls").unwrap_or_default();
        if matches!(minimum.as_str(), "tls1.0" | "tls1.1") {
            self.warn(
                "http.tls.minimumtls",
                format!("{minimum} is not spoken any more: the oldest version is tls1.2"),
            );
        }
        Some(Tls {
            certificate,
            key,
            client_cas: settings
                .texts("http.tls.clientcas")
                .into_iter()
                .map(Into::into)
                .collect(),
            client_auth: match settings.text("http.tls.clientauth").as_deref() {
                Some("request-client-cert") => ClientAuth::Request,
                Some("require-any-client-cert") => ClientAuth::RequireAny,
                Some("verify-client-cert-if-given") => ClientAuth::VerifyIfGiven,
                _ => ClientAuth::RequireAndVerify,
            },
            minimum: if minimum == "tls1.3" {
                TlsVersion::Tls13
            } else {
                TlsVersion::Tls12
            },
            cipher_suites: self.cipher_suites(),
        })
    }

    fn cipher_suites(&mut self) -> Vec<String> {
        const PATH: &str = "http.tls.ciphersuites";
        let wanted = self.settings.texts(PATH);
        let mut kept: Vec<String> = Vec::new();
        let mut known = true;
        for name in &wanted {
            let name = if name.ends_with("_CHACHA20_POLY1305") {
                format!("{name}_SHA256")
            } else {
                name.clone()
            };
            if SUITES.contains(&name.as_str()) {
                kept.push(name);
            } else if ciphers::GONE.contains(&name.as_str()) {
                self.warn(PATH, format!("{name} is weak and left out"));
            } else if !ciphers::TLS13.contains(&name.as_str()) {
                known = false;
                let quoted = super::super::read::quoted(&name);
                let near = super::super::nearest::nearest(&name, SUITES.iter().copied());
                let help = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
                self.wrong(PATH, format!("{quoted} is not a cipher suite"), &help);
            }
        }
        let only_1_3 = self.settings.text("http.tls.minimumtls").as_deref() == Some("tls1.3");
        if known && kept.is_empty() && !wanted.is_empty() && !only_1_3 {
            self.wrong(
                PATH,
                "none of these suites can be used with TLS 1.2",
                "leave the key out to use the safe ones",
            );
        }
        kept
    }

    /// Names must be tokens and values must not end the line (RFC 9110, section 5).
    pub(super) fn check_headers(&mut self, path: &str) {
        for (name, values) in self.settings.headers(path) {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                let quoted = super::super::read::quoted(&name);
                self.wrong(path, format!("{quoted} cannot be a header's name"), "");
            }
            if values
                .iter()
                .any(|value| value.chars().any(|c| c.is_control() && c != '\t'))
            {
                self.wrong(path, format!("a value of `{name}` holds a control character"), "");
            }
        }
    }

    fn debug(&mut self) -> Option<Debug> {
        let settings = self.settings;
        let enabled = settings.bool("http.debug.prometheus.enabled");
        if settings.text("http.debug.addr").is_none() {
            if enabled {
                self.warn("http.debug.prometheus.enabled", "no effect without `http.debug.addr`");
            }
            return None;
        }
        let path = settings.text("http.debug.prometheus.path").unwrap_or_default();
        if !path.starts_with('/') {
            self.wrong("http.debug.prometheus.path", "this should begin with a slash", "");
        }
        Some(Debug {
            listen: self.listen("http.debug.addr", false),
            metrics_path: enabled.then_some(path),
        })
    }

    fn trusted_proxies(&mut self) -> Option<Vec<IpNet>> {
        const PATH: &str = "http.trusted_proxies";
        let texts = self.settings.texts_if_set(PATH)?;
        let mut networks = Vec::new();
        for text in texts {
            let network = text
                .parse::<IpNet>()
                .or_else(|error| text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| error));
            match network {
                Ok(network) => networks.push(network),
                Err(_) => {
                    let quoted = super::super::read::quoted(&text);
                    self.wrong(
                        PATH,
                        format!("{quoted} is neither an address nor a network like 10.0.0.0/8"),
                        "",
                    );
                }
            }
        }
        Some(networks)
    }

    fn size(&mut self, path: &str, least: u64, most: u64) -> u64 {
        let value = self.settings.size(path);
        if !(least..=most).contains(&value) {
            let [value, least, most] = [value, least, most].map(super::super::scalar::size_text);
            self.wrong(
                path,
                format!("{value} is out of range: it must be from {least} to {most}"),
                "",
            );
        }
        value
    }
}
