//! `wharf admin`: the accounts of a registry.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{new_password, password_of_stdin, serve};
use crate::app::local::{self, segment};

/// `wharf admin …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf admin create-user alice                  ask for a password and make the account
  wharf admin reset-password admin --generate    make up a new password and print it")]
pub struct AdminArgs {
    /// What to do
    #[command(subcommand)]
    pub command: AdminCommand,
    /// The configuration of the registry, as for `wharf serve`
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
}

/// Where a new password comes from. Without any of these it is asked for on the terminal, or read
/// from standard input where there is none.
#[derive(Debug, Args)]
pub struct NewPassword {
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make up a password and print it
    #[arg(long)]
    generate: bool,
}

/// The commands below `wharf admin`.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make an account; its password is asked for, or read from standard input
    #[command(after_help = "Examples:
  wharf admin create-user alice
  wharf admin create-user ci --admin --password-stdin < password.txt")]
    CreateUser {
        /// The login: lower-case letters, digits, '.', '_' and '-'
        name: String,
        /// Give it every right
        #[arg(long)]
        admin: bool,
        /// Where its password comes from
        #[command(flatten)]
        password: NewPassword,
    },
    /// Give an account a new password; every session and token of it ends
    #[command(after_help = "Examples:
  wharf admin reset-password admin
  wharf admin reset-password admin --generate")]
    ResetPassword {
        /// The login
        name: String,
        /// Where its password comes from
        #[command(flatten)]
        password: NewPassword,
    },
}

/// Runs the command: through the running registry if there is one, else on its files.
///
/// # Errors
///
/// What is wrong with the name or password, or why the registry cannot be reached.
pub fn run(arguments: &AdminArgs, env: &[(String, String)]) -> Result<()> {
    let loaded = serve::load(arguments.config.as_deref(), env)?;
    let (method, path, payload, name, generated) = match &arguments.command {
        AdminCommand::CreateUser { name, admin, password } => {
            let (password, generated) = password.get()?;
            let payload = json!({ "username": name, "password": password, "sysadmin_flag": admin });
            (Method::POST, "/users".to_owned(), payload, name, generated)
        }
        AdminCommand::ResetPassword { name, password } => {
            let (password, generated) = password.get()?;
            (
                Method::PUT,
                format!("/users/{}/password", segment(name)),
                json!({ "new_password": password }),
                name,
                generated,
            )
        }
    };
    local::with(&loaded.config, async |registry| {
        registry.call::<()>(method, &path, Some(&payload)).await
    })?;
    match generated {
        Some(password) => super::write_error(&format!(
            "done: {name} signs in with {password}   (shown once: keep it)\n"
        )),
        None => super::write_error(&format!("done: {name} signs in with the new password\n")),
    }
    Ok(())
}

impl NewPassword {
    /// The password, and once more when it was made up and must be shown.
    fn get(&self) -> Result<(String, Option<String>)> {
        if self.generate {
            let made = wharf_auth::readable_password(&crate::app::random()).to_string();
            return Ok((made.clone(), Some(made)));
        }
        let given = if self.password_stdin {
            password_of_stdin()?
        } else {
            new_password()?
        };
        Ok((given.to_string(), None))
    }
}
