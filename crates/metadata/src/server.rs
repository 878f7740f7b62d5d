//! PostgreSQL and MariaDB: a bounded number of connections, each used by one thread at a time.
//!
//! The functions over [`Tx`](crate::Tx) are synchronous, so a job runs on a thread for blocking
//! work, with a connection of its own; the bound lies before the thread, and tasks wait for it
//! without holding one. Each connection has a small runtime that only runs while a statement does.

mod config;
mod connect;
mod failure;
mod numbers;
mod pool;
mod session;
mod statement;

pub use config::{Config, Engine, Tls, TlsMode};
pub(crate) use pool::Pool;
pub(crate) use session::Session;
pub(crate) use statement::Want;
