//! The administration of a running registry from its own machine: a socket in `wharf/` that only
//! the registry's user can open. One line of JSON asks, one answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use wharf_auth::{Accounts, Actor};
use zeroize::Zeroizing;

use super::{accounts, index};
use crate::config::Config;
use crate::shutdown::{Shutdown, Tasks};

/// Longer requests are refused, in bytes.
const MAX_REQUEST: usize = 16 << 10;
/// A client that says nothing for this long is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a command asks for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Request {
    /// Make an account.
    CreateUser {
        /// Its login.
        name: String,
        /// Its password.
        password: String,
        /// Whether it gets every right.
        is_admin: bool,
    },
    /// Give an account a new password.
    ResetPassword {
        /// Its login.
        name: String,
        /// The new password.
        password: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
}

/// Asks the running registry, or does it on its files when none runs.
///
/// # Errors
///
/// Why it was not done.
pub async fn run(config: &Config, request: Request) -> Result<()> {
    let socket = super::admin_socket(config);
    if let Some(stream) = connect(socket.as_deref()).await? {
        return ask(stream, &request).await;
    }
    let storage = super::open_storage(config)?;
    let index = index::open(config, &storage).await?;
    if !index.is_owner() {
        bail!("another wharf process works on this storage folder, but does not answer on its socket");
    }
    let done = match accounts::offline(config, &index).await {
        Some(accounts) => perform(&accounts, request).await,
        None => Err(anyhow!(no_accounts())),
    };
    index.close().await;
    done
}

fn no_accounts() -> &'static str {
    "this registry has no built-in accounts: its configuration says how people sign in (auth, or access.accounts)"
}

/// A connection to the running registry; `None` when none runs.
async fn connect(socket: Option<&Path>) -> Result<Option<UnixStream>> {
    let Some(socket) = socket else { return Ok(None) };
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error).with_context(|| format!("the running registry cannot be asked on {}", socket.display())),
        },
    }
}

async fn ask(stream: UnixStream, request: &Request) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(read).read_line(&mut answer).await?;
    let answer: Answer = serde_json::from_str(&answer).context("the running registry did not answer")?;
    match answer.error {
        None => Ok(()),
        Some(error) => bail!(error),
    }
}

async fn perform(accounts: &Accounts, request: Request) -> Result<()> {
    match request {
        Request::CreateUser {
            name,
            password,
            is_admin,
        } => {
            accounts
                .create(&name, Zeroizing::new(password.into_bytes()), is_admin, Actor::PROGRAM)
                .await?;
            tracing::info!(user = %name, is_admin, "account made");
        }
        Request::ResetPassword { name, password } => {
            accounts
                .reset_password(&name, Zeroizing::new(password.into_bytes()), Actor::PROGRAM)
                .await?;
            tracing::info!(user = %name, "password reset");
        }
    }
    Ok(())
}

/// Listens on the socket until the process stops.
///
/// # Errors
///
/// The socket cannot be made.
pub fn serve(path: PathBuf, accounts: Option<Accounts>, tasks: &Tasks) -> Result<()> {
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("the old socket {} cannot be removed", path.display()));
        }
        _ => {}
    }
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        // a folder deeper than the 107 bytes that a socket's path may have is no reason not to serve
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no administration socket: wharf admin works only while the registry is stopped");
            return Ok(());
        }
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("administration socket", async move {
        listen(&listener, accounts.map(Arc::new), &shutdown).await;
        drop(listener);
        // the next start would remove it as well
        let _ = std::fs::remove_file(&path);
    });
    Ok(())
}

/// One request at a time: there is one administrator at the keyboard.
async fn listen(listener: &UnixListener, accounts: Option<Arc<Accounts>>, shutdown: &Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopping() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        match tokio::time::timeout(PATIENCE, answer(stream, accounts.as_deref())).await {
            Ok(Err(error)) => tracing::warn!(%error, "an administration request failed"),
            Err(_) => tracing::warn!("an administration request said nothing"),
            Ok(Ok(())) => {}
        }
    }
}

async fn answer(stream: UnixStream, accounts: Option<&Accounts>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Zeroizing::new(String::new());
    let mut limited = BufReader::new(tokio::io::AsyncReadExt::take(read, MAX_REQUEST as u64));
    limited.read_line(&mut line).await?;
    let done = match (serde_json::from_str::<Request>(&line), accounts) {
        (Ok(request), Some(accounts)) => perform(accounts, request).await,
        (Ok(_), None) => Err(anyhow!(no_accounts())),
        (Err(_), _) => Err(anyhow!(
            "the request cannot be read: use wharf admin of the same version"
        )),
    };
    let answer = Answer {
        error: done.err().map(|error| format!("{error:#}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(())
}
