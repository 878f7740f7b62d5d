//! Which file.

use std::path::{Path, PathBuf};

use super::error::{Error, Severity, Source, Warning};

/// Where the image of registry:3 has its file.
pub const PLACE_OF_3: &str = "/etc/distribution/config.yml";
/// Where the image of registry:2 has its file.
pub const PLACE_OF_2: &str = "/etc/docker/registry/config.yml";

/// The file that holds, and what to say about the choice.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) warnings: Vec<Warning>,
}

/// `asked`, else `REGISTRY_CONFIGURATION_PATH`, else the first of `places` that is there, else none.
pub(super) fn find(asked: Option<&Path>, env: &[(String, String)], places: &[&Path]) -> Option<Found> {
    const NAME: &str = "REGISTRY_CONFIGURATION_PATH";
    let named = env.iter().rev().find(|(name, value)| name == NAME && !value.is_empty());
    let named = asked
        .map(Path::to_path_buf)
        .or_else(|| named.map(|(_, value)| PathBuf::from(value)));
    if let Some(path) = named {
        return Some(Found {
            path,
            warnings: Vec::new(),
        });
    }
    let mut there = places.iter().filter(|place| place.exists());
    let path = there.next()?.to_path_buf();
    let warnings = there
        .map(|other| Warning {
            severity: Severity::Warning,
            message: format!(
                "{} is there too and is not used: {} comes first; name the file on the command line to be sure",
                other.display(),
                path.display()
            ),
            source: Source::Default,
        })
        .collect();
    Some(Found { path, warnings })
}

/// The text of `path`.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NotFound {
                path: path.to_path_buf(),
                hint: hint(path),
            });
        }
        Err(_) if path.is_dir() => {
            let why = "it is a folder (Docker makes one when the mounted file does not exist on the host, and \
                       Kubernetes when a `subPath` is not a key of the ConfigMap)";
            let cause = std::io::Error::new(std::io::ErrorKind::IsADirectory, why);
            return Err(Error::Unreadable {
                path: path.to_path_buf(),
                cause,
            });
        }
        Err(cause) => {
            return Err(Error::Unreadable {
                path: path.to_path_buf(),
                cause,
            });
        }
    };
    String::from_utf8(bytes).map_err(|_| Error::Unreadable {
        path: path.to_path_buf(),
        cause: std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is not UTF-8 text"),
    })
}

/// What is in the folder instead: in Kubernetes a ConfigMap's key becomes the file's name.
fn hint(path: &Path) -> String {
    const MOST: usize = 20;
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return String::new(),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        let nearest = folder.ancestors().find(|folder| folder.is_dir());
        let nearest = nearest
            .map(|folder| format!("; {} is there", folder.display()))
            .unwrap_or_default();
        return format!(": the folder {} does not exist{nearest}", folder.display());
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() { name + "/" } else { name }
        })
        // `..data` and its like are how Kubernetes swaps a mounted ConfigMap.
        .filter(|name| !name.starts_with(".."))
        .collect();
    names.sort();
    if names.is_empty() {
        return format!(": the folder {} is empty{}", folder.display(), mount_hint(path, None));
    }
    let more = names.len().saturating_sub(MOST);
    let other = names
        .iter()
        .find(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
        .cloned();
    names.truncate(MOST);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let hint = mount_hint(path, other.as_deref());
    format!(
        ": the folder {} holds {}{more}{hint}",
        folder.display(),
        names.join(", ")
    )
}

fn mount_hint(path: &Path, other: Option<&str>) -> String {
    let wanted = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match other {
        Some(other) => format!(
            "\n   = if this folder is a mounted ConfigMap, its key must be called {wanted} (it is called {other}): rename \
             the key, map it with `items: [{{key: {other}, path: {wanted}}}]`, or name the file on the command line"
        ),
        None => format!(
            "\n   = if a ConfigMap should be mounted here, check the volume and that its key is called {wanted}"
        ),
    }
}
