//! The command line.

pub mod admin;
pub mod backup;
pub mod config;
pub mod follow;
pub mod gc;
pub mod htpasswd;
pub mod index;
pub mod jobs;
pub mod metadata;
pub mod output;
pub mod prompt;
pub mod registry;
pub mod repository;
pub mod serve;
pub mod table;
pub mod tag;
pub mod trash;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;

/// A private container registry: one program, a folder, and docker push works.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  wharf serve                                    start with a folder ./wharf-data on 127.0.0.1:5000
  wharf serve /etc/docker/registry/config.yml    start where registry:2 was, on its data
  wharf config check config.yml                  say what is wrong with a configuration
  wharf admin reset-password admin               give the administrator a new password";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the registry
    Serve(serve::ServeArgs),
    /// Check, print or describe the configuration
    Config(config::ConfigArgs),
    /// Manage the accounts of a registry, while it runs or while it is stopped
    Admin(admin::AdminArgs),
    /// See and steer long and scheduled work
    Jobs(jobs::JobsArgs),
    /// Collect garbage, and ask what becomes of a blob or manifest
    Gc(gc::GcArgs),
    /// List repositories, and delete one with everything in it
    Repository(repository::RepositoryArgs),
    /// Tags: what they point to, where they have been, setting them back
    Tag(tag::TagArgs),
    /// What was deleted and can be brought back
    Trash(trash::TrashArgs),
    /// Look after the index
    Index(index::IndexArgs),
    /// Make backups of the index, and put them back
    Backup(backup::BackupArgs),
    /// Move the index to another database
    Metadata(metadata::MetadataArgs),
    /// Make and check htpasswd lines, as apache's htpasswd does
    #[command(
        disable_help_flag = true,
        after_help = "Example:\n  wharf htpasswd -Bbn alice secret >> htpasswd"
    )]
    Htpasswd {
        /// As for apache's htpasswd
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// As the registry's own binary: remove what no manifest holds
    #[command(name = "garbage-collect")]
    GarbageCollect(registry::GarbageCollectArgs),
}

/// Runs the program with the arguments and environment of this process.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if called_as(&arguments, "htpasswd") {
        let rest: Vec<String> = arguments
            .iter()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        return htpasswd_command(&rest);
    }
    if let Some(rewritten) = registry::rewrite(&arguments) {
        arguments = rewritten;
    }
    let cli = Cli::parse_from(arguments);
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match cli.command {
        Command::Serve(arguments) => report(serve::run(&arguments, &env)),
        Command::Config(arguments) => print(&config::run(&arguments.command, &env)),
        Command::Admin(arguments) => report(admin::run(&arguments, &env)),
        Command::Jobs(arguments) => report(jobs::run(&arguments, &env)),
        Command::Gc(arguments) => report(gc::run(&arguments, &env)),
        Command::Repository(arguments) => report(repository::run(&arguments, &env)),
        Command::Tag(arguments) => report(tag::run(&arguments, &env)),
        Command::Trash(arguments) => report(trash::run(&arguments, &env)),
        Command::Index(arguments) => report(index::run(&arguments, &env)),
        Command::Backup(arguments) => report(backup::run(&arguments, &env)),
        Command::Metadata(arguments) => report(metadata::run(&arguments)),
        Command::Htpasswd { arguments } => htpasswd_command(&arguments),
        Command::GarbageCollect(arguments) => report(gc::garbage_collect(&arguments, &env)),
    }
}

/// Whether the program was started under another name.
fn called_as(arguments: &[OsString], name: &str) -> bool {
    arguments
        .first()
        .and_then(|path| Path::new(path).file_name())
        .is_some_and(|file| file == name)
}

/// Turns the end of a command into an exit code, with the whole chain of causes.
fn report(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            write_error(&format!("wharf: {}\n", told(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each said once: many of ours end with their cause already.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn print(outcome: &config::Outcome) -> ExitCode {
    write_error(&outcome.stderr);
    // a closed pipe is the reader's wish
    let _ = std::io::stdout().write_all(outcome.stdout.as_bytes());
    ExitCode::from(outcome.code)
}

fn write_error(text: &str) {
    // there is nobody else to tell
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn htpasswd_command(arguments: &[String]) -> ExitCode {
    let random = app::random();
    let (mut stdin, mut stdout, mut stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut ask = |prompt: &str| prompt::ask_password(prompt);
    let mut console = htpasswd::Console {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        ask: Some(&mut ask),
        random,
    };
    match htpasswd::run(arguments, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            write_error(&format!("htpasswd: {error}\n"));
            ExitCode::from(error.code())
        }
    }
}

/// A new password: asked for twice on a terminal, else the first line of standard input.
pub(crate) fn new_password() -> anyhow::Result<zeroize::Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let password = prompt::ask_password("New password: ")?;
        let again = prompt::ask_password("Once more: ")?;
        anyhow::ensure!(*password == *again, "the two passwords differ: nothing was changed");
        return Ok(password);
    }
    password_of_stdin()
}

/// The first line of standard input.
pub(crate) fn password_of_stdin() -> anyhow::Result<zeroize::Zeroizing<String>> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!line.is_empty(), "no password on standard input: nothing was changed");
    Ok(zeroize::Zeroizing::new(line.to_owned()))
}
