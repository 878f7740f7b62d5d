//! `wharf config`: look at a configuration without starting anything.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::config::{self, Error, Format, Loaded, Origin, Severity, Warning};

/// Check, print or describe the configuration
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wharf config check config.yml                  say what is wrong with a file
  REGISTRY_LOG_LEVEL=debug wharf config print    show every value and where it comes from")]
pub struct ConfigArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands below `wharf config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with a configuration; exit code 0 if it can be started, 1 if not
    #[command(after_help = "Example:\n  wharf config check /etc/docker/registry/config.yml")]
    Check {
        /// The file; without it the one that `wharf serve` would take
        file: Option<PathBuf>,
    },
    /// Print the effective value of every key and where it comes from; secrets are hidden
    #[command(
        after_help = "Example:\n  REGISTRY_LOG_LEVEL=debug wharf config print /etc/docker/registry/config.yml --output json"
    )]
    Print {
        /// The file; without it the one that `wharf serve` would take
        file: Option<PathBuf>,
        /// How to write it
        #[arg(long, short, value_enum, default_value_t = Output::Yaml)]
        output: Output,
    },
    /// Print a JSON schema of the file, for editors and pipelines
    #[command(after_help = "Example:\n  wharf config schema > wharf-config.schema.json")]
    Schema,
}

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// a configuration file with the source of each value as a comment
    Yaml,
    /// an array of objects
    Json,
}

/// What a command wrote and how it ended. The caller prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// for standard output
    pub stdout: String,
    /// for standard error
    pub stderr: String,
    /// 0 or 1
    pub code: u8,
}

/// Runs `command` with the environment `env` of the process.
#[must_use]
pub fn run(command: &ConfigCommand, env: &[(String, String)]) -> Outcome {
    match command {
        ConfigCommand::Check { file } => check(config::load(file.as_deref(), env)),
        ConfigCommand::Print { file, output } => print(config::load(file.as_deref(), env), *output),
        ConfigCommand::Schema => Outcome {
            stdout: config::json_schema(),
            stderr: String::new(),
            code: 0,
        },
    }
}

fn check(loaded: Result<Loaded, Error>) -> Outcome {
    match loaded {
        Ok(loaded) => Outcome {
            stdout: format!("{} can be started\n", name(&loaded.config.origin)),
            stderr: listed(&loaded.warnings),
            code: 0,
        },
        Err(error) => failed(&error),
    }
}

fn print(loaded: Result<Loaded, Error>, output: Output) -> Outcome {
    let format = match output {
        Output::Yaml => Format::Yaml,
        Output::Json => Format::Json,
    };
    match loaded {
        Ok(loaded) => Outcome {
            stdout: loaded.print(format),
            stderr: listed(&loaded.warnings),
            code: 0,
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Outcome {
    let stderr = match error {
        Error::Invalid { problems, warnings } => {
            let count = problems.len();
            let plural = if count == 1 { "" } else { "s" };
            format!("{}{error}\n\n{count} error{plural}\n", listed(warnings))
        }
        Error::NotFound { .. } | Error::Unreadable { .. } => format!("error: {error}\n"),
    };
    Outcome {
        stdout: String::new(),
        stderr,
        code: 1,
    }
}

fn name(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => Path::display(path).to_string(),
        Origin::Defaults => "there is no configuration file: the built-in defaults".to_owned(),
    }
}

fn listed(warnings: &[Warning]) -> String {
    warnings
        .iter()
        .map(|warning| match warning.severity {
            Severity::Warning => format!("warning: {warning}\n"),
            Severity::Notice => format!("note: {warning}\n"),
        })
        .collect()
}
