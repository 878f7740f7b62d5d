//! The program: command line, configuration, listeners, wiring.

pub mod app;
pub mod cli;
pub mod config;
pub mod health;
pub mod listen;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
