//! The limit of open files, and how many connections it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open for other reasons than connections: the index, logs, uploads' folders.
const RESERVED: u64 = 256;
/// More would only cost memory; a registry node serves far fewer.
const MOST: u64 = 65_536;

/// Raises the soft limit of open files to the hard one, as Go's runtime does, and returns it.
/// Child processes would inherit it; we start none.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(MOST * 4)
}

/// How many connections fit: each may also hold the file that it sends or receives.
pub(super) fn connections_for(files: u64) -> usize {
    let fit = (files.saturating_sub(RESERVED) / 2).clamp(16, MOST);
    usize::try_from(fit).unwrap_or(16)
}
