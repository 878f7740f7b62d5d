//! The program: command line, configuration, listeners, wiring.

pub mod config;
