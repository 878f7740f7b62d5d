//! The capabilities of the registry, one folder each.
//!
//! A capability is a small handle that holds what it uses: bytes ([`wharf_storage`]), the index
//! ([`wharf_metadata`]) and other capabilities. It takes a principal, asks `access` once, and
//! answers in the words of the field. Nothing here knows HTTP.

pub mod adoption;
pub mod audit;
pub mod backup;
pub mod caches;
pub mod catalog;
mod content_type;
pub mod deletion;
pub mod error;
pub mod finding;
pub mod garbage_collection;
pub mod identity;
pub mod jobs;
mod keyed_lock;
pub mod lifecycle;
pub mod mirror;
pub mod pull;
pub mod push;
pub mod referrers;
pub mod repository;
pub mod statistics;
pub mod tag;
pub mod tag_history;
pub mod trash;
pub mod turns;
pub mod upload_purge;
pub mod verification;

use std::sync::Arc;

pub use error::{Error, Result};

/// The time, handed down from the composition root.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Fills a buffer with random bytes, handed down from the composition root.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
