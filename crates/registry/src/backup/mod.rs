//! Backups of the index: what the storage alone does not hold.
//!
//! A *backup* is one file with all of the index that still means something later, made as one
//! snapshot while the registry serves. *Snapshots* lie in the storage itself, encrypted, and hold
//! what the storage could not rebuild; a start without an index goes on from the newest one.

mod create;
pub mod error;
mod format;
mod key;
mod restore;
pub mod scheduled;
mod seal;
pub mod snapshot;

pub use create::{Backups, Created, Sealing, Taker};
pub use error::{Error, Result};
pub use format::{Header, Totals};
pub use key::BackupKey;
pub use restore::{Opened, Restore, restore};

#[cfg(test)]
mod tests;
