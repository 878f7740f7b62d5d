//! The program: command line, configuration, listeners, wiring.

pub mod app;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod health;
pub mod listen;
pub mod metrics;
pub mod redirects;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
