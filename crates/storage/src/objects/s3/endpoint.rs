//! The URL of a bucket.

use super::Settings;
use crate::{Error, ErrorKind, Result};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Scheme and host, and what lies before the bucket's name in a path.
    pub(super) url: String,
    /// Whether the host names the bucket already.
    pub(super) has_bucket: bool,
}

impl Address {
    pub(super) fn is_plain(&self) -> bool {
        self.url.starts_with("http://")
    }
}

/// Of the bucket itself.
pub(super) fn of(settings: &Settings) -> Result<Address> {
    match &settings.endpoint {
        Some(endpoint) => given("regionendpoint", endpoint, settings),
        None => amazon(settings),
    }
}

/// Of the bucket as redirected clients see it, where that is another.
pub(super) fn of_redirects(settings: &Settings) -> Result<Option<Address>> {
    let endpoint = settings.redirect_endpoint.as_deref();
    endpoint
        .map(|endpoint| given("redirectendpoint", endpoint, settings))
        .transpose()
}

/// Of a server that somebody named.
fn given(key: &'static str, endpoint: &str, settings: &Settings) -> Result<Address> {
    let wrong = |reason: &str| {
        Error::because(
            ErrorKind::Invalid,
            "use",
            format!("{key} {endpoint:?}"),
            reason.to_owned(),
        )
    };
    let (scheme, rest) = match endpoint.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err(wrong("only http and https are spoken")),
        None => (scheme(settings.secure), endpoint),
    };
    let rest = rest.trim_end_matches('/');
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, String::new()),
    };
    if host.is_empty() || host.contains(['@', '?', '#', ' ']) || path.contains(['?', '#', ' ']) {
        return Err(wrong("it is no URL of a server"));
    }
    let names_bucket = !settings.path_style && can_name(host, scheme == "https", &settings.bucket);
    let url = if names_bucket {
        format!("{scheme}://{}.{host}{path}", settings.bucket)
    } else {
        format!("{scheme}://{host}{path}")
    };
    Ok(Address {
        url,
        has_bucket: names_bucket,
    })
}

/// Of AWS.
fn amazon(settings: &Settings) -> Result<Address> {
    let Settings { bucket, region, .. } = settings;
    if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        let reason = "without regionendpoint it must be a region of AWS";
        return Err(Error::because(
            ErrorKind::Invalid,
            "use",
            format!("region {region:?}"),
            reason,
        ));
    }
    let domain = match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    };
    let stack = if settings.dual_stack { ".dualstack" } else { "" };
    let scheme = scheme(settings.secure);
    if settings.accelerate {
        if settings.path_style || bucket.contains('.') {
            let reason = "the bucket must be named in the host, and without a dot";
            return Err(Error::because(ErrorKind::Invalid, "use", "accelerate", reason));
        }
        return Ok(Address {
            url: format!("{scheme}://{bucket}.s3-accelerate{stack}.{domain}"),
            has_bucket: true,
        });
    }
    let service = if settings.fips { "s3-fips" } else { "s3" };
    let host = format!("{service}{stack}.{region}.{domain}");
    let names_bucket = !settings.path_style && can_name(&host, settings.secure, bucket);
    let url = if names_bucket {
        format!("{scheme}://{bucket}.{host}")
    } else {
        format!("{scheme}://{host}")
    };
    Ok(Address {
        url,
        has_bucket: names_bucket,
    })
}

const fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

/// Whether a host name can begin with the bucket's: an address cannot, and a certificate for any
/// name of one level covers no name with a dot.
fn can_name(host: &str, secure: bool, bucket: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = host.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
    let is_host_name = (3..=63).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
    !is_address && name != "localhost" && is_host_name && !(secure && bucket.contains('.'))
}
