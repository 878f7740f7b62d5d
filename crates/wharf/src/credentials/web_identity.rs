//! Keys of a role for a token: what Kubernetes mounts for a service account (IRSA), or any other identity.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::answer::{self, Answer};

/// The token service of a region.
pub(super) fn endpoint(region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://sts.{region}.{domain}")
}

pub(super) async fn fetch(
    client: &reqwest::Client,
    endpoint: &str,
    (token_file, role, session): (&Path, &str, &str),
) -> Result<Answer> {
    // read each time: the token is renewed in place
    let token = tokio::fs::read_to_string(token_file).await;
    let token = token.with_context(|| format!("the token file {} cannot be read", token_file.display()))?;
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("DurationSeconds", "3600"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.trim()),
    ];
    let body: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let body = body.join("&");
    let request = || {
        client
            .post(endpoint)
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.clone())
    };
    let text = answer::text(request, refusal).await;
    answer::of_xml(&text.with_context(|| format!("the token service {endpoint}"))?)
}

fn refusal(body: &str) -> Option<String> {
    let (code, message) = (answer::element(body, "Code")?, answer::element(body, "Message"));
    Some(format!("{code} {}", message.unwrap_or_default()))
}

fn encoded(text: &str) -> String {
    crate::app::local::segment(text)
}
