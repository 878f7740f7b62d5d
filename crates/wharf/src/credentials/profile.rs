//! Profiles in AWS's shared files (`~/.aws/credentials`, `~/.aws/config`).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::config::{AccessKey, Secret};

/// Where a profile takes its keys from.
pub(super) enum Profile {
    Keys(AccessKey),
    WebIdentity { token_file: PathBuf, role_arn: String },
}

/// Reads the profile `name`. The credentials file wins over the configuration file.
pub(super) async fn read(credentials: &Path, config: &Path, name: &str) -> Result<Profile> {
    let in_config = match name {
        "default" => "default".to_owned(),
        _ => format!("profile {name}"),
    };
    let mut values = section(&text(config).await?, &in_config);
    values.extend(section(&text(credentials).await?, name));
    let profile = || format!("profile {name} of {}", credentials.display());
    of_values(values).with_context(profile)
}

fn of_values(mut values: HashMap<String, String>) -> Result<Profile> {
    let mut take = |name: &str| values.remove(name).filter(|value| !value.is_empty());
    if let (Some(id), Some(secret)) = (take("aws_access_key_id"), take("aws_secret_access_key")) {
        return Ok(Profile::Keys(AccessKey {
            id,
            secret: Secret::new(secret),
            session_token: take("aws_session_token").map(Secret::new),
        }));
    }
    if let (Some(role_arn), Some(token_file)) = (take("role_arn"), take("web_identity_token_file")) {
        let token_file = token_file.into();
        return Ok(Profile::WebIdentity { token_file, role_arn });
    }
    for other in [
        "source_profile",
        "credential_source",
        "credential_process",
        "sso_session",
        "sso_start_url",
    ] {
        if values.contains_key(other) {
            bail!("keys by `{other}` are not there yet: use access keys, a web identity or the role of the instance");
        }
    }
    bail!("it has no aws_access_key_id with aws_secret_access_key, or is missing")
}

/// A missing file is an empty one.
async fn text(file: &Path) -> Result<String> {
    match tokio::fs::read_to_string(file).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(String::new()),
        outcome => outcome.with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// The values of the section `name`, with names in lower case. Nested ones (`s3 =` with indented lines) are left out.
fn section(text: &str, name: &str) -> HashMap<String, String> {
    let mut values = HashMap::new();
    let mut is_inside = false;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            is_inside = header.split_whitespace().eq(name.split_whitespace());
            continue;
        }
        if let Some((key, value)) = line.split_once('=').filter(|_| is_inside && !is_nested) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            values.insert(key.trim().to_lowercase(), value.to_owned());
        }
    }
    values
}
