//! Keys from the agent of a container: EKS pod identity, ECS.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

use super::answer::{self, Answer};
use crate::config::ContainerToken;

pub(super) async fn fetch(client: &reqwest::Client, url: &str, authorization: &ContainerToken) -> Result<Answer> {
    check(url)?;
    let authorization = match authorization {
        ContainerToken::None => None,
        ContainerToken::Text(token) => Some(token.expose().to_owned()),
        // read each time: the token is renewed in place
        ContainerToken::File(file) => {
            let text = tokio::fs::read_to_string(file).await;
            Some(text.with_context(|| format!("the token file {} cannot be read", file.display()))?)
        }
    };
    let request = || {
        let request = client.get(url);
        match &authorization {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token.trim()),
            None => request,
        }
    };
    answer::of_json(&answer::text(request, |_| None).await?)
}

/// The token goes to nobody but the agent: on this machine, at the addresses that AWS has for it, or over TLS.
fn check(url: &str) -> Result<()> {
    let parsed = reqwest::Url::parse(url).context("it is no URL")?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_agent = match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"].contains(&host),
        Err(_) => host == "localhost",
    };
    if parsed.scheme() != "https" && !is_agent {
        bail!("plain HTTP is spoken to 169.254.170.2, 169.254.170.23, fd00:ec2::23 and this machine only");
    }
    Ok(())
}
