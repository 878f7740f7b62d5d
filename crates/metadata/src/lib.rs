//! The index: every SQL statement of Wharf.
//!
//! [`Metadata`] is the handle on an open index. Each table group is a module of plain functions
//! over [`Tx`], run inside [`Metadata::read`] or [`Metadata::write`]:
//!
//! ```no_run
//! # use wharf_metadata::{Error, Metadata, repositories};
//! # async fn example(metadata: Metadata, name: wharf_oci::RepositoryName) -> Result<(), Error> {
//! let found = metadata.read(move |tx| repositories::find(tx, &name)).await?;
//! if let Some(id) = found.map(|repository| repository.id) {
//!     metadata.write(move |tx| repositories::delete_empty(tx, id)).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Statements are portable SQL; only `dialect`, `sqlite`, `server` and `migrations` know the engine. The
//! rules that the functions keep are those of the project's consistency rules, cited by number.

pub mod adoption;
pub mod audit_log;
pub mod blobs;
pub mod bulk;
pub mod cache_versions;
mod dialect;
pub mod directories;
mod doubts;
pub mod entry;
pub mod error;
pub mod garbage_collection;
pub mod jobs;
pub mod keys;
pub mod leases;
pub mod links;
pub mod location;
pub mod manifests;
mod metadata;
mod migrations;
pub mod mirror;
pub mod ownership;
pub mod referrers;
pub mod refresh_tokens;
pub mod repositories;
pub mod server;
pub mod settings;
pub mod sqlite;
pub mod statistics;
pub mod tags;
pub mod time;
pub mod tombstones;
pub mod transfer;
pub mod trash;
mod tx;
pub mod uploads;
pub mod users;
mod value;
pub mod verification;

pub use doubts::Doubts;
pub use entry::Entry;
pub use error::Error;
pub use location::Location;
pub use metadata::Metadata;
pub use time::Timestamp;
pub use tx::Tx;
