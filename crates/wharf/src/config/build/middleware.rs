//! `middleware.storage`.

use super::Builder;
use crate::config::error::{Severity, Warning};
use crate::config::types::{CloudFront, StorageMiddleware};

const LIST: &str = "middleware.storage";
const NO_FILTER: &str = "sending AWS's own addresses to the bucket itself is not there yet";

impl Builder<'_> {
    pub(super) fn storage_middleware(&mut self) -> Vec<StorageMiddleware> {
        let settings = self.settings;
        let mut entries = Vec::new();
        for item in settings.items(LIST) {
            let name_path = format!("{item}.name");
            if settings.bool(&format!("{item}.disabled")) {
                self.warnings.push(Warning {
                    severity: Severity::Notice,
                    message: format!("`{item}` is disabled and left out"),
                    source: settings.source(&name_path),
                });
                continue;
            }
            match settings.text(&name_path).as_deref() {
                Some("cloudfront") => entries.extend(self.cloudfront(&item)),
                Some("redirect") => entries.extend(self.redirect(&item)),
                Some("rewrite") => entries.push(self.rewrite(&item)),
                Some(other) => {
                    let quoted = super::super::read::quoted(other);
                    let help = "known here: cloudfront, redirect, rewrite; set `disabled: true` to start without it";
                    self.wrong(&name_path, format!("there is no storage middleware {quoted}"), help);
                }
                None => {}
            }
        }
        entries
    }

    fn cloudfront(&mut self, item: &str) -> Option<StorageMiddleware> {
        let settings = self.settings;
        let option = |name: &str| format!("{item}.options.{name}");
        if settings
            .text(&option("ipfilteredby"))
            .is_some_and(|filter| filter != "none")
        {
            let help = "remove the line: then everybody is sent to CloudFront";
            self.wrong(&option("ipfilteredby"), NO_FILTER, help);
        }
        let base_url = self.needed(item, "baseurl");
        let private_key = self.needed(item, "privatekey");
        let key_pair_id = self.needed(item, "keypairid");
        let base_url = base_url.map(|url| match url.contains("://") {
            true => url,
            false => format!("https://{url}"),
        })?;
        Some(StorageMiddleware::CloudFront(CloudFront {
            base_url: format!("{}/", self.base_url(item, &base_url)?),
            private_key: private_key?.into(),
            key_pair_id: key_pair_id?,
            duration: self.at_least(&option("duration"), 1),
        }))
    }

    fn redirect(&mut self, item: &str) -> Option<StorageMiddleware> {
        let base_url = self.needed(item, "baseurl")?;
        Some(StorageMiddleware::Redirect {
            base_url: self.base_url(item, &base_url)?,
        })
    }

    fn rewrite(&mut self, item: &str) -> StorageMiddleware {
        let option = |name: &str| self.settings.text(&format!("{item}.options.{name}"));
        let (scheme, host) = (option("scheme"), option("host"));
        let trim_path_prefix = option("trimpathprefix");
        if let Some(scheme) = &scheme
            && !matches!(scheme.as_str(), "http" | "https")
        {
            let path = format!("{item}.options.scheme");
            self.wrong(&path, "this should be http or https", "");
        }
        if let Some(host) = &host
            && !is_authority(host)
        {
            let path = format!("{item}.options.host");
            self.wrong(&path, "this should be a host, with a port if there is one", "");
        }
        StorageMiddleware::Rewrite {
            scheme,
            host,
            trim_path_prefix,
        }
    }

    fn needed(&mut self, item: &str, name: &str) -> Option<String> {
        let path = format!("{item}.options.{name}");
        let value = self.settings.text(&path);
        if value.is_none() {
            let place = format!("{item}.name");
            let middleware = self.settings.text(&place).unwrap_or_default();
            self.wrong(
                &place,
                format!("{middleware} needs `options.{name}`"),
                "add it with a value",
            );
        }
        value
    }

    /// Without the slash at its end.
    fn base_url(&mut self, item: &str, url: &str) -> Option<String> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        let is_path = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\".contains(&byte);
        if !authority.is_some_and(is_authority) || !url.bytes().all(is_path) {
            let path = format!("{item}.options.baseurl");
            let help = "write it like https://cdn.example.com";
            self.wrong(&path, "this is not a URL with scheme and host", help);
            return None;
        }
        Some(url.trim_end_matches('/').to_owned())
    }
}

fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}
