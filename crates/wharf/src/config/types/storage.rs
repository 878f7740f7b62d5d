//! `storage` and `middleware.storage`.

use std::path::PathBuf;
use std::time::Duration;

use super::S3;

/// `storage`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// the one driver of the section
    pub driver: StorageDriver,
    /// `storage.filesystem.push_cache`: of a pushed blob so many first bytes stay in the page cache
    pub push_cache: u64,
    /// `storage.delete.enabled`
    pub delete_enabled: bool,
    /// the opposite of `storage.redirect.disable`: whether blobs may be answered by a redirect
    pub redirect: bool,
    /// `middleware.storage`: where clients are sent for blobs, from the innermost on; without those that are disabled
    pub middleware: Vec<StorageMiddleware>,
    /// `storage.maintenance.readonly.enabled`: no POST, PUT, PATCH or DELETE
    pub read_only: bool,
    /// `storage.maintenance.uploadpurging`; `None` = abandoned uploads stay
    pub upload_purging: Option<UploadPurging>,
    /// `storage.foreign_writers`
    pub foreign_writers: ForeignWriters,
}

/// The storage drivers that this build has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageDriver {
    /// `storage.filesystem`
    Filesystem {
        /// `rootdirectory`: the folder that holds `docker/registry/v2`
        root: PathBuf,
        /// `maxthreads`: blocking operations at a time, at least 25
        max_threads: usize,
    },
    /// `storage.s3`
    S3(Box<S3>),
    /// `storage.inmemory`: gone with the process
    InMemory,
}

/// An entry of `middleware.storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageMiddleware {
    /// `cloudfront`
    CloudFront(CloudFront),
    /// `redirect`
    Redirect {
        /// `baseurl`: `scheme://host[:port][/path]`, without a slash at the end
        base_url: String,
    },
    /// `rewrite`: parts of the URL below it that are replaced
    Rewrite {
        /// `scheme`
        scheme: Option<String>,
        /// `host`, with a port if there is one
        host: Option<String>,
        /// `trimpathprefix`
        trim_path_prefix: Option<String>,
    },
}

/// `cloudfront`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudFront {
    /// `baseurl`: `scheme://host[/path]/`
    pub base_url: String,
    /// `privatekey`: PEM file
    pub private_key: PathBuf,
    /// `keypairid`
    pub key_pair_id: String,
    /// `duration`: how long a URL is good
    pub duration: Duration,
}

/// `storage.maintenance.uploadpurging`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPurging {
    /// uploads older than this go
    pub age: Duration,
    /// between two passes
    pub interval: Duration,
    /// only log what would go
    pub dry_run: bool,
}

/// `storage.foreign_writers`: whether other registries wrote to the storage while Wharf was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignWriters {
    /// look where looking is cheap
    Auto,
    /// trust the index
    Never,
    /// compare everything at every start
    Always,
}
