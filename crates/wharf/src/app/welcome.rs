//! What a person sees when the registry starts.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::accounts::FirstSignIn;
use super::settings;
use crate::config::{Auth, Config, StorageDriver};
use crate::listen::Local;

/// Says where the registry listens, where its data is, who may sign in and what to type next: to
/// a terminal as text, else to the log.
pub fn print(config: &Config, local: &Local, first: Option<&FirstSignIn>) {
    let host = settings::reachable(local);
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    let data = match &config.storage.driver {
        StorageDriver::Filesystem { root, .. } => root.display().to_string(),
        StorageDriver::S3(settings) => format!("s3://{}/{}", settings.bucket, settings.root_directory),
        StorageDriver::InMemory => "in memory, gone when the process ends".to_owned(),
    };
    let terminal = std::io::stderr().is_terminal();
    // before the line that scripts wait for: then the file with the password is there
    if let Some(first) = first {
        announce(first, terminal);
    }
    tracing::info!(address = %host, scheme, data, version = super::VERSION, "wharf serves");
    if terminal {
        let text = welcome(config, &host, scheme, &data, first);
        // nobody reads it when it cannot be written
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

fn welcome(config: &Config, host: &str, scheme: &str, data: &str, first: Option<&FirstSignIn>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // writing to a string cannot fail
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    line("registry", &format!("{scheme}://{host}/v2/"));
    line("data", data);
    let user = match (&config.auth, first) {
        (_, Some(first)) => {
            line("user", &first.user);
            line(
                "password",
                &format!("{}   (shown once: keep it)", first.password.as_str()),
            );
            first.user.as_str()
        }
        (Auth::None, None) if config.access.accounts => {
            line("user", "admin   (a new password: wharf admin reset-password admin)");
            "admin"
        }
        (Auth::None, None) => {
            line("access", "open to everybody: no auth is configured");
            ""
        }
        (Auth::Htpasswd { path, .. }, None) => {
            line("users", &format!("those in {}", path.display()));
            "USER"
        }
        _ => "USER",
    };
    let next = match user {
        "" => format!("docker tag IMAGE {host}/IMAGE && docker push {host}/IMAGE"),
        user => format!("docker login -u {user} {host}"),
    };
    line("next", &next);
    format!("\n{text}\n")
}

/// Without a terminal the password goes to a file that only we can read, and its path to the log.
fn announce(first: &FirstSignIn, terminal: bool) {
    if terminal {
        return;
    }
    match &first.file {
        Some(path) => match write_secret(path, first.password.as_str()) {
            Ok(()) => {
                tracing::info!(user = %first.user, file = %path.display(), "the first administrator's password was written to a file: read it and remove it")
            }
            Err(error) => {
                tracing::error!(user = %first.user, error = format!("{error:#}"), "the first administrator's password could not be written: make a new one with wharf admin reset-password")
            }
        },
        // as distribution does for an htpasswd file that it makes
        None => tracing::warn!(user = %first.user, password = %first.password.as_str(), "a user was made"),
    }
}

fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    writeln!(file, "{secret}")?;
    Ok(())
}
