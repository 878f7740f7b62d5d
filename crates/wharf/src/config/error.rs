//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// nobody set it
    Default,
    /// a configuration file
    File {
        /// as it was named to us
        path: Arc<str>,
        /// from 1
        line: usize,
        /// from 1, in characters
        column: usize,
    },
    /// an environment variable of this name
    Env(Arc<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line, column } => write!(formatter, "{path}:{line}:{column}"),
            Self::Env(name) => write!(formatter, "environment variable {name}"),
        }
    }
}

/// Something worth knowing that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// how much it matters
    pub severity: Severity,
    /// lowercase, no full stop, without the place
    pub message: String,
    /// what it is about
    pub source: Source,
}

/// How much a [`Warning`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// a setting without an effect that nobody misses: log it at level info
    Notice,
    /// something that the user probably did not mean: log it at level warn
    Warning,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Default => formatter.write_str(&self.message),
            _ => write!(formatter, "{}: {}", self.source, self.message),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// lowercase, no full stop, without the place
    pub message: String,
    /// where
    pub source: Source,
    /// the line with a caret below it; values of secrets are left out
    pub snippet: Option<String>,
    /// what to do
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.source != Source::Default {
            write!(formatter, "\n  --> {}", self.source)?;
        }
        if let Some(snippet) = &self.snippet {
            write!(formatter, "\n{snippet}")?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\n   = {help}")?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum Error {
    /// The file that was asked for is not there.
    #[error("cannot find the configuration file {}{hint}", path.display())]
    NotFound {
        /// as it was named
        path: PathBuf,
        /// what is there instead, and what to do
        hint: String,
    },
    /// The file is there but cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    Unreadable {
        /// as it was named
        path: PathBuf,
        /// from the system
        cause: std::io::Error,
    },
    /// It can be read and is wrong; all mistakes that were found.
    #[error("{}", list(problems))]
    Invalid {
        /// at least one
        problems: Vec<Problem>,
        /// what was noticed besides
        warnings: Vec<Warning>,
    },
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("error: {problem}"))
        .collect::<Vec<_>>()
        .join("\n\n")
}
