//! Cargo as a program: what it knows of the workspace, and running it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// What `cargo metadata` says.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package of the lock file that the target needs.
    pub packages: Vec<Package>,
    /// The ids of our own packages.
    pub workspace_members: HashSet<String>,
    /// Which package uses which.
    pub resolve: Resolve,
    /// Where cargo builds.
    pub target_directory: std::path::PathBuf,
}

/// One package.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Cargo's name for it, with version and source.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// An SPDX expression.
    pub license: Option<String>,
    /// Where its source is.
    pub repository: Option<String>,
    /// What its manifest names.
    pub dependencies: Vec<Dependency>,
    /// Libraries, binaries, tests.
    pub targets: Vec<Target>,
}

/// A dependency as a manifest names it.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The package.
    pub name: String,
    /// `None` for what the product uses, else `dev` or `build`.
    pub kind: Option<String>,
}

/// What a package builds.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// `lib`, `bin`, `test`, `bench`…
    pub kind: Vec<String>,
    /// Its name.
    pub name: String,
}

/// The graph.
#[derive(Debug, Deserialize)]
pub struct Resolve {
    /// One node for each package.
    pub nodes: Vec<Node>,
}

/// What one package uses.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// The package.
    pub id: String,
    /// What it uses.
    pub deps: Vec<Edge>,
}

/// One use.
#[derive(Debug, Deserialize)]
pub struct Edge {
    /// The used package.
    pub pkg: String,
    /// For what.
    pub dep_kinds: Vec<EdgeKind>,
}

/// For what a package is used.
#[derive(Debug, Deserialize)]
pub struct EdgeKind {
    /// As [`Dependency::kind`].
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace in `root`, for the machine it runs on.
    ///
    /// # Errors
    ///
    /// Cargo fails: the lock file is out of date, or packages are missing.
    pub fn read(root: &Path) -> Result<Self> {
        let target = host()?;
        let arguments = [
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            &target,
        ];
        let text = output(root, "cargo", &arguments)?;
        serde_json::from_str(&text).context("the answer of cargo metadata has another shape than expected")
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The ids of all packages that the product of `package` is built from, itself included; dev-dependencies
    /// are not followed, build dependencies only with `with_build`.
    pub fn reachable<'a>(&'a self, package: &'a str, with_build: bool) -> BTreeSet<&'a str> {
        let nodes: HashMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut found = BTreeSet::new();
        let mut open = vec![package];
        while let Some(id) = open.pop() {
            if !found.insert(id) {
                continue;
            }
            let edges = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            open.extend(
                edges
                    .filter(|edge| edge.is_followed(with_build))
                    .map(|edge| edge.pkg.as_str()),
            );
        }
        found
    }
}

impl Edge {
    /// Whether it ends up in the product.
    pub fn is_followed(&self, with_build: bool) -> bool {
        self.dep_kinds.iter().any(|kind| match kind.kind.as_deref() {
            None => true,
            Some("build") => with_build,
            Some(_) => false,
        })
    }
}

/// The target triple of this machine.
///
/// # Errors
///
/// rustc does not answer.
pub fn host() -> Result<String> {
    let text = output(Path::new("."), "rustc", &["--version", "--verbose"])?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .context("rustc does not say what machine it runs on")
}

/// The standard output of a program.
///
/// # Errors
///
/// It cannot be started or fails; its own words go to standard error.
pub fn output(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(arguments)
        .stderr(std::process::Stdio::inherit());
    let done = command
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    ensure!(done.status.success(), "{program} {} failed", arguments.join(" "));
    String::from_utf8(done.stdout).with_context(|| format!("{program} does not answer in UTF-8"))
}

/// Runs a program for its effect.
///
/// # Errors
///
/// It cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{name} cannot be started"))?;
    ensure!(status.success(), "{name} failed");
    Ok(())
}
