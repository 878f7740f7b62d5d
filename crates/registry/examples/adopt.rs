//! Indexes a folder that another registry filled, without serving it, and says how long it took.
//!
//! `cargo run --release -p wharf-registry --example adopt -- FOLDER [INDEX]`
//!
//! The index is a file in a temporary folder, or `INDEX`, which is kept: a second run compares the
//! folder with it. `FOLDER/wharf` gets the epoch of the pass and nothing else.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use wharf_metadata::{Metadata, sqlite::Config};
use wharf_registry::adoption::Adoption;
use wharf_registry::caches::Caches;
use wharf_registry::mirror::Mirror;
use wharf_storage::{Storage, filesystem};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let root = PathBuf::from(arguments.next().ok_or_else(|| io::Error::other("which folder?"))?);
    let scratch = tempfile::tempdir()?;
    let index = arguments
        .next()
        .map_or_else(|| scratch.path().join("index.db"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let storage = Storage::filesystem(filesystem::Config { root }).map_err(io::Error::other)?;
        let metadata = Metadata::open_sqlite(Config::new(index)).map_err(io::Error::other)?;
        #[expect(clippy::disallowed_methods, reason = "this is a program of its own")]
        let clock: wharf_registry::Clock = Arc::new(jiff::Timestamp::now);
        let mirror = Mirror::new(metadata.clone(), storage.clone());
        let adoption = Adoption::new(metadata.clone(), storage, Caches::default(), mirror, clock.clone());
        adoption.run().await.map_err(io::Error::other)?;
        let done = adoption.progress().snapshot();
        let now = clock().as_microsecond();
        metadata.close();
        writeln!(
            io::stdout(),
            "{} repositories, {} tags, {} manifests, {} layer links, {} blobs looked at, {} changes in {:.2} s: {:.0} tags/s\n{}",
            done.repositories,
            done.tags,
            done.manifests,
            done.layers,
            done.blobs,
            done.changes,
            done.seconds(now),
            done.rate(now),
            memory()?
        )
    })
}

/// What the system says about this process.
fn memory() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
