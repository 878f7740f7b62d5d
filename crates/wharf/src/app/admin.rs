//! The administration of a running registry from its own machine: a socket in `wharf/` that only
//! the registry's user can open. One line of JSON asks, one answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use wharf_auth::{Accounts, Actor};
use wharf_registry::identity;
use wharf_storage::Storage;
use zeroize::Zeroizing;

use super::{Workings, accounts, index};
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
    /// Take what the storage holds now for true.
    AcceptStorage,
}

/// What a request came to, for the person who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// It has its effect already.
    Now,
    /// It has its effect at the next start.
    AtNextStart,
    /// There was nothing to do.
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    done: Option<Done>,
    error: Option<String>,
}

/// Asks the running registry, or does it on its files when none runs.
///
/// # Errors
///
/// Why it was not done.
pub async fn run(config: &Config, request: Request) -> Result<Done> {
    let socket = super::admin_socket(config);
    if let Some(stream) = connect(socket.as_deref()).await? {
        return ask(stream, &request).await;
    }
    let storage = super::open_storage(config)?;
    let index = index::open(config, &storage).await?;
    if !index.is_owner() {
        bail!("another wharf process works on this storage folder, but does not answer on its socket");
    }
    let done = perform_offline(config, &index, &storage, request).await;
    index.close().await;
    done
}

async fn perform_offline(config: &Config, index: &index::Index, storage: &Storage, request: Request) -> Result<Done> {
    if matches!(request, Request::AcceptStorage) {
        // an acceptance that waits for a loss yet to come would be a trap
        if identity::check(&index.metadata, storage, &super::random()).await? == identity::Verdict::Same {
            return Ok(Done::Nothing);
        }
        identity::accept(&index.metadata).await?;
        return Ok(Done::AtNextStart);
    }
    match accounts::offline(config, index).await {
        Some(accounts) => perform(&accounts, request).await,
        None => Err(anyhow!(no_accounts())),
    }
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

async fn ask(stream: UnixStream, request: &Request) -> Result<Done> {
    let (read, mut write) = stream.into_split();
    let mut line = Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(read).read_line(&mut answer).await?;
    let answer: Answer = serde_json::from_str(&answer).context("the running registry did not answer")?;
    match answer {
        Answer { error: Some(error), .. } => bail!(error),
        Answer { done, .. } => Ok(done.unwrap_or(Done::Now)),
    }
}

async fn perform(accounts: &Accounts, request: Request) -> Result<Done> {
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
        Request::AcceptStorage => bail!("accounts have no storage to accept"),
    }
    Ok(Done::Now)
}

/// What requests work on.
struct Powers {
    config: Config,
    tasks: Tasks,
    workings: Workings,
}

impl Powers {
    async fn perform(&self, request: Request) -> Result<Done> {
        if matches!(request, Request::AcceptStorage) {
            let was_apart = super::accept_storage(&self.config, &self.tasks, &self.workings).await?;
            return Ok(if was_apart { Done::Now } else { Done::Nothing });
        }
        match self.workings.authenticator.accounts() {
            Some(accounts) => perform(accounts, request).await,
            None => Err(anyhow!(no_accounts())),
        }
    }
}

/// Listens on the socket until the process stops.
///
/// # Errors
///
/// The socket cannot be made.
pub(super) fn serve(path: PathBuf, config: &Config, tasks: &Tasks, workings: &Workings) -> Result<()> {
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
            tracing::warn!(path = %path.display(), %error, "no administration socket: wharf admin and wharf index work only while the registry is stopped");
            return Ok(());
        }
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let shutdown = tasks.shutdown().clone();
    let powers = Powers {
        config: config.clone(),
        tasks: tasks.clone(),
        workings: workings.clone(),
    };
    tasks.spawn("administration socket", async move {
        listen(&listener, &powers, &shutdown).await;
        drop(powers);
        drop(listener);
        // the next start would remove it as well
        let _ = std::fs::remove_file(&path);
    });
    Ok(())
}

/// One request at a time: there is one administrator at the keyboard.
async fn listen(listener: &UnixListener, powers: &Powers, shutdown: &Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopping() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        match tokio::time::timeout(PATIENCE, answer(stream, powers)).await {
            Ok(Err(error)) => tracing::warn!(%error, "an administration request failed"),
            Err(_) => tracing::warn!("an administration request said nothing"),
            Ok(Ok(())) => {}
        }
    }
}

async fn answer(stream: UnixStream, powers: &Powers) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Zeroizing::new(String::new());
    let mut limited = BufReader::new(tokio::io::AsyncReadExt::take(read, MAX_REQUEST as u64));
    limited.read_line(&mut line).await?;
    let done = match serde_json::from_str::<Request>(&line) {
        Ok(request) => powers.perform(request).await,
        Err(_) => Err(anyhow!("the request cannot be read: use wharf of the same version")),
    };
    let answer = match done {
        Ok(done) => Answer {
            done: Some(done),
            error: None,
        },
        Err(error) => Answer {
            done: None,
            error: Some(format!("{error:#}")),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(())
}
