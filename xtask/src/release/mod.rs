//! `cargo xtask release`: the program for this machine as an archive, with checksums and an SBOM.

mod sbom;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::cargo::{self, Metadata, Package};

/// The program's package and binary.
const PROGRAM: &str = "wharf";
/// The SBOM's name in the archive.
const SBOM: &str = "wharf.cdx.json";

/// Builds and packs.
///
/// # Errors
///
/// The program does not build, or the archive cannot be written.
pub fn run() -> Result<()> {
    let root = crate::root()?;
    let metadata = Metadata::read(&root)?;
    let program = program(&metadata)?;
    let build = ["build", "--locked", "--profile", "dist", "--package", PROGRAM];
    cargo::run(Command::new("cargo").current_dir(&root).args(build))?;
    let binary = metadata.target_directory.join("dist").join(PROGRAM);
    let commit_time = cargo::output(&root, "git", &["log", "-1", "--format=%cI"])?;
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let sbom = sbom::sbom(&metadata, program, &lock, commit_time.trim());

    let name = format!("{PROGRAM}-{}-{}", program.version, cargo::host()?);
    let dist = root.join("dist");
    let folder = dist.join(&name);
    // what an earlier run has left would be packed as well
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::copy(&binary, folder.join(PROGRAM)).with_context(|| format!("{} cannot be copied", binary.display()))?;
    for document in ["LICENSE", "README.md"] {
        fs::copy(root.join(document), folder.join(document)).with_context(|| format!("{document} cannot be copied"))?;
    }
    fs::write(folder.join(SBOM), serde_json::to_vec_pretty(&sbom)?)?;
    fs::write(
        folder.join("SHA256SUMS"),
        checksums(&folder, &[PROGRAM, "LICENSE", "README.md", SBOM])?,
    )?;

    let archive = pack(&dist, &name, commit_time.trim())?;
    fs::write(dist.join("SHA256SUMS"), checksums(&dist, &[&archive])?)?;
    report(
        &root,
        &[
            folder.join(PROGRAM),
            folder.join(SBOM),
            dist.join(archive),
            dist.join("SHA256SUMS"),
        ],
    )
}

fn program(metadata: &Metadata) -> Result<&Package> {
    let found = metadata.members().find(|package| package.name == PROGRAM);
    found.context("the workspace has no package wharf")
}

/// One line for each file, as `sha256sum --check` reads them.
fn checksums(folder: &Path, files: &[&str]) -> Result<String> {
    let mut text = String::new();
    for file in files {
        let bytes = fs::read(folder.join(file)).with_context(|| format!("{file} cannot be read"))?;
        writeln!(text, "{}  {file}", hex(&Sha256::digest(&bytes)))?;
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Packs the folder so that the same content gives the same archive.
fn pack(dist: &Path, name: &str, time: &str) -> Result<String> {
    let archive = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(dist)
        .args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=u=rwX,go=rX",
        ])
        .arg(format!("--mtime={time}"))
        .args([
            "--use-compress-program=gzip --no-name -9",
            "--create",
            "--file",
            &archive,
            name,
        ]);
    cargo::run(&mut tar)?;
    Ok(archive)
}

fn report(root: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let size = fs::metadata(file)?.len();
        let shown = file.strip_prefix(root).unwrap_or(file);
        crate::say(&format!("{:>10.1} KiB  {}\n", size as f64 / 1024.0, shown.display()));
    }
    Ok(())
}
