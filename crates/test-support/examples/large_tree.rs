//! Makes a large folder as registry:2 leaves one, for measuring adoption, start and lists.
//!
//! `cargo run -p wharf-test-support --example large_tree -- FOLDER [--repositories N] [--tags N] [--links N]
//! [--pool N] [--orphans N] [--many N] [--threads N] [--no-hard-links]`
//!
//! Every tag has an image of its own: a configuration and a layer that nobody else has, and layers of a
//! pool that all repositories share, so that each repository has `--links` layer links. `--orphans` are blobs
//! that nothing links, `--many` the tags of one further repository, `bench/many`. Links with the
//! same content are hard links of one file, which saves inodes: let no registry that writes in place
//! push into it, or say `--no-hard-links`.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;
use wharf_oci::media_type;
use wharf_test_support::{Blob, Manifest};

/// A file has at most 65,000 names on ext4.
const MOST_NAMES: usize = 60_000;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

struct Plan {
    root: PathBuf,
    repositories: usize,
    tags: usize,
    links: usize,
    pool: usize,
    orphans: usize,
    many: usize,
    threads: usize,
    has_hard_links: bool,
}

/// A layer of the pool: its digest in hexadecimal, its size, and a link file to take more links from.
struct Shared {
    blob: Blob,
    template: Mutex<Option<(PathBuf, usize)>>,
}

fn main() -> io::Result<()> {
    let plan = Plan::parse(std::env::args().skip(1).collect())?;
    let registry = plan.root.join("docker/registry/v2");
    for first in 0..=255_u8 {
        fs::create_dir_all(registry.join(format!("blobs/sha256/{first:02x}")))?;
    }
    let pool: Vec<Shared> = (0..plan.pool)
        .map(|number| {
            let blob = Blob::new(format!("layer {number} of the pool\n"));
            write_blob(&registry, &blob)?;
            Ok(Shared {
                blob,
                template: Mutex::new(None),
            })
        })
        .collect::<io::Result<_>>()?;
    for number in 0..plan.orphans {
        write_blob(&registry, &Blob::new(format!("orphan {number}, which nothing links\n")))?;
    }
    if plan.many > 0 {
        many_tags(&plan, &registry)?;
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.threads)
            .map(|_| scope.spawn(|| work(&plan, &registry, &pool, &next)))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::other("a thread panicked")),
        })
    })?;
    writeln!(
        io::stdout(),
        "{} repositories, {} tags, {} layer links, {} tags of one image, {} blobs that nothing links",
        plan.repositories,
        plan.repositories * plan.tags,
        plan.repositories * plan.links,
        plan.many,
        plan.orphans
    )
}

fn work(plan: &Plan, registry: &Path, pool: &[Shared], next: &AtomicUsize) -> io::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.repositories {
            return Ok(());
        }
        repository(plan, registry, pool, number)?;
    }
}

fn repository(plan: &Plan, registry: &Path, pool: &[Shared], number: usize) -> io::Result<()> {
    let name = format!("team-{:02}/service-{number:05}", number % 50);
    let folder = registry.join("repositories").join(name);
    let (layers, tags) = (folder.join("_layers/sha256"), folder.join("_manifests/tags"));
    let revisions = folder.join("_manifests/revisions/sha256");
    for made in [&layers, &tags, &revisions, &folder.join("_uploads")] {
        fs::create_dir_all(made)?;
    }
    // a stride that shares no factor with most pool sizes spreads the layers
    let shared_links = plan.links.saturating_sub(2 * plan.tags).min(pool.len());
    let wanted: BTreeSet<usize> = (0..shared_links)
        .map(|step| (number * 31 + step * 97) % pool.len())
        .collect();
    let mut wanted: VecDeque<usize> = wanted.into_iter().collect();
    for index in &wanted {
        let shared = &pool[*index];
        let link = layers.join(shared.blob.digest.hex());
        fs::create_dir(&link)?;
        shared.link(plan, &link.join("link"))?;
    }
    let per_tag = wanted.len().div_ceil(plan.tags.max(1));
    for tag in 0..plan.tags {
        let base: Vec<&Blob> = (0..per_tag)
            .filter_map(|_| wanted.pop_front())
            .map(|index| &pool[index].blob)
            .collect();
        let manifest = image(registry, &layers, &format!("{number}-{tag}"), &base)?;
        let link = revision_link(&revisions, &manifest)?;
        tag_link(plan, &tags.join(format!("v1.{tag}")), &manifest, &link)?;
    }
    Ok(())
}

/// One image with many tags.
fn many_tags(plan: &Plan, registry: &Path) -> io::Result<()> {
    let folder = registry.join("repositories/bench/many");
    let (layers, tags) = (folder.join("_layers/sha256"), folder.join("_manifests/tags"));
    let revisions = folder.join("_manifests/revisions/sha256");
    for made in [&layers, &tags, &revisions] {
        fs::create_dir_all(made)?;
    }
    let manifest = image(registry, &layers, "many", &[])?;
    let mut link = revision_link(&revisions, &manifest)?;
    for number in 0..plan.many {
        let tag = tags.join(format!("v1.{number}"));
        // two names of a file for each tag
        if number % (MOST_NAMES / 2) == MOST_NAMES / 2 - 1 {
            let fresh = tags.join(format!("v1.{number}.link"));
            fs::write(&fresh, manifest.digest().to_string())?;
            tag_link(plan, &tag, &manifest, &fresh)?;
            fs::remove_file(&fresh)?;
            link = tag.join("current/link");
        } else {
            tag_link(plan, &tag, &manifest, &link)?;
        }
    }
    Ok(())
}

fn revision_link(revisions: &Path, manifest: &Manifest) -> io::Result<PathBuf> {
    let revision = revisions.join(manifest.digest().hex());
    fs::create_dir(&revision)?;
    let link = revision.join("link");
    fs::write(&link, manifest.digest().to_string())?;
    Ok(link)
}

/// The tag's two links; `link` has their content.
fn tag_link(plan: &Plan, tag: &Path, manifest: &Manifest, link: &Path) -> io::Result<()> {
    let history = tag.join("index/sha256").join(manifest.digest().hex());
    fs::create_dir_all(&history)?;
    fs::create_dir(tag.join("current"))?;
    for other in [history.join("link"), tag.join("current/link")] {
        if plan.has_hard_links {
            fs::hard_link(link, other)?;
        } else {
            fs::write(other, manifest.digest().to_string())?;
        }
    }
    Ok(())
}

/// An image of its own over `base`, with its blobs and their links, but not the manifest's link.
fn image(registry: &Path, layers: &Path, seed: &str, base: &[&Blob]) -> io::Result<Manifest> {
    let config = Blob::new(json!({"architecture": "amd64", "os": "linux", "created": seed}).to_string());
    let top = Blob::new(format!("top layer of {seed}\n"));
    for blob in [&config, &top] {
        write_blob(registry, blob)?;
        let link = layers.join(blob.digest.hex());
        fs::create_dir(&link)?;
        fs::write(link.join("link"), blob.digest.to_string())?;
    }
    let layers = base.iter().copied().chain([&top]);
    let manifest = Manifest::new(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config.descriptor(media_type::OCI_CONFIG),
        "layers": layers.map(|layer| layer.descriptor(LAYER)).collect::<Vec<_>>(),
    }));
    write_blob(registry, &manifest.blob)?;
    Ok(manifest)
}

fn write_blob(registry: &Path, blob: &Blob) -> io::Result<()> {
    let hex = blob.digest.hex();
    let folder = registry.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    fs::create_dir(&folder)?;
    fs::write(folder.join("data"), &blob.bytes)
}

impl Shared {
    fn link(&self, plan: &Plan, place: &Path) -> io::Result<()> {
        let mut template = self.template.lock().unwrap_or_else(PoisonError::into_inner);
        match template.as_mut() {
            Some((file, names)) if plan.has_hard_links && *names < MOST_NAMES => {
                *names += 1;
                fs::hard_link(file, place)
            }
            _ => {
                *template = Some((place.to_owned(), 1));
                fs::write(place, self.blob.digest.to_string())
            }
        }
    }
}

impl Plan {
    fn parse(arguments: Vec<String>) -> io::Result<Self> {
        let mut plan = Self {
            root: PathBuf::new(),
            repositories: 5_000,
            tags: 20,
            links: 200,
            pool: 20_000,
            orphans: 0,
            many: 0,
            threads: 2,
            has_hard_links: true,
        };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let mut number = |target: &mut usize| {
                *target = rest
                    .next()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| io::Error::other(format!("{argument} takes a number")))?;
                Ok::<_, io::Error>(())
            };
            match argument.as_str() {
                "--repositories" => number(&mut plan.repositories)?,
                "--tags" => number(&mut plan.tags)?,
                "--links" => number(&mut plan.links)?,
                "--pool" => number(&mut plan.pool)?,
                "--orphans" => number(&mut plan.orphans)?,
                "--many" => number(&mut plan.many)?,
                "--threads" => number(&mut plan.threads)?,
                "--no-hard-links" => plan.has_hard_links = false,
                folder if plan.root.as_os_str().is_empty() && !folder.starts_with('-') => plan.root = folder.into(),
                other => return Err(io::Error::other(format!("what is {other}?"))),
            }
        }
        if plan.root.as_os_str().is_empty() {
            return Err(io::Error::other("in which folder?"));
        }
        Ok(plan)
    }
}
