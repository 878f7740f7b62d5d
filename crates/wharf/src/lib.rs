//! The program: command line, configuration, listeners, wiring.

pub mod config;
pub mod listen;
pub mod shutdown;
pub mod tls;
