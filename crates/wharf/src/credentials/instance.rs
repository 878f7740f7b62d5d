//! Keys of the role of an EC2 instance, by version 2 of its metadata service.

use anyhow::{Context as _, Result, bail};

use super::answer::{self, Answer};

const ROLES: &str = "latest/meta-data/iam/security-credentials/";

pub(super) async fn fetch(client: &reqwest::Client, endpoint: &str) -> Result<Answer> {
    let begin = || {
        client
            .put(format!("{endpoint}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "60")
    };
    let token = answer::text(begin, |_| None).await?;
    let get = async |path: &str| {
        let url = format!("{endpoint}/{ROLES}{path}");
        let request = || client.get(&url).header("x-aws-ec2-metadata-token", token.trim());
        answer::text(request, |_| None).await
    };
    let roles = get("").await.context("the instance has no role")?;
    let Some(role) = roles.lines().next().map(str::trim).filter(|role| !role.is_empty()) else {
        bail!("the instance has no role");
    };
    answer::of_json(&get(role).await?)
}
