//! The command line.

pub mod config;
pub mod htpasswd;
pub mod prompt;
