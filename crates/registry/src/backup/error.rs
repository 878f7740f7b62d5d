//! What can go wrong with backups.

use std::io;

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is something else.
    #[error("this is not a backup of wharf")]
    NotABackup,
    /// The file was made by a later version whose format is another one.
    #[error(
        "the backup has format {found}, this version knows up to {known}: use the version that made it, or a newer one"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest format that can be read.
        known: u32,
    },
    /// The file is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    /// The file was sealed, and there is no key to open it.
    #[error(
        "the backup is encrypted with the key {needed}: name its file with --key-file, or as backup.key_file in the \
         configuration"
    )]
    NeedsKey {
        /// The id of the key that opens it.
        needed: String,
    },
    /// The file was sealed with another key.
    #[error("the backup is encrypted with the key {needed}, the key that was given is {given}")]
    WrongKey {
        /// The id of the key that opens it.
        needed: String,
        /// The id of the key that is there.
        given: String,
    },
    /// The text is no key.
    #[error("this is not a key of `wharf backup key`: {0}")]
    MalformedKey(&'static str),
    /// The backup was made beside another storage (consistency rule 16).
    #[error(
        "the backup belongs to the storage {saved}, and this one is {found}: restore it beside its own storage, or use \
         --force to make it this one's"
    )]
    OtherStorage {
        /// The storage that it was made beside.
        saved: String,
        /// The one that is here.
        found: String,
    },
    /// There is an index already.
    #[error("there is an index with content already: use --force to replace it")]
    NotEmpty,
    /// The cryptography library refused.
    #[error("the backup cannot be encrypted: {0}")]
    Sealing(&'static str),
    /// Reading or writing a file failed.
    #[error("the backup cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] wharf_metadata::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] wharf_storage::Error),
    /// A thread ended early.
    #[error("the work on the backup was cut off")]
    Interrupted,
}

/// What operations on backups answer.
pub type Result<T> = std::result::Result<T, Error>;
