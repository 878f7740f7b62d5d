//! The directory layout of distribution v2, and the only place that knows it.
//!
//! ```text
//! <root>
//! ├── docker/registry/v2
//! │   ├── blobs
//! │   │   └── sha256/<hh>/<hex>/data                 hh = the first two characters of hex
//! │   └── repositories/<name>                        name may hold slashes
//! │       ├── _manifests
//! │       │   ├── revisions/<algorithm>/<hex>/link
//! │       │   └── tags/<tag>
//! │       │       ├── current/link
//! │       │       └── index/<algorithm>/<hex>/link   every digest that the tag ever had
//! │       ├── _layers/<algorithm>/<hex>/link
//! │       └── _uploads/<uuid>
//! │           ├── data
//! │           ├── tail-<hex>                         ours, in a bucket: bytes that make no part yet
//! │           └── startedat                          RFC 3339
//! └── wharf                                          our own files, ignored by other registries
//!     ├── tmp/<number>                               being written, or being deleted
//!     └── <state file>
//! ```
//!
//! A `link` holds `sha256:<hex>` without a newline: bytes are stored under their sha256 only, and
//! a link in a `sha512` folder holds the sha256 of the same bytes (registry/storage/paths.go of
//! distribution). Names are built from parsed types only, so that nothing can leave the root.

use std::fmt;
use uuid::Uuid;
use wharf_oci::{Algorithm, Digest, RepositoryName, Tag};

const REGISTRY: &str = "docker/registry/v2";
const OWN: &str = "wharf";

/// The file in every link folder.
pub const LINK: &str = "link";
/// The file that holds the bytes of a blob or of an upload.
pub const DATA: &str = "data";
/// What a repository is recognised by.
pub const REPOSITORY_MARKS: [&str; 3] = ["_manifests", "_layers", "_uploads"];

/// A place below the storage root, with `/` between its parts, never at its start or end. Holds no
/// empty, `.` or `..` part.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(Box<str>);

impl Location {
    fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The place that `text` spells; `None` unless its parts are plain.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split('/').all(is_plain).then(|| Self::new(text.to_owned()))
    }

    /// The place as text, such as `docker/registry/v2/blobs`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The entry `name` of this folder; `None` unless `name` is one plain part.
    pub fn child(&self, name: &str) -> Option<Self> {
        is_plain(name).then(|| Self::new(format!("{}/{name}", self.0)))
    }

    /// The folder that holds it; `None` for a part right below the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self::new(parent.to_owned()))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// The name of a small file of our own, such as `identity.json` or `types/ab12.json`: parts of
/// `a-z 0-9 . _ -` that do not start with a dot, joined by slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateName(Box<str>);

impl StateName {
    /// Checks a name; `None` when it breaks the rule above, is longer than 200 bytes or lies in the
    /// folder of temporary files.
    pub fn new(text: &str) -> Option<Self> {
        let is_legal = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        };
        let is_temporary = text == "tmp" || text.starts_with("tmp/");
        (text.len() <= 200 && !is_temporary && text.split('/').all(is_legal)).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The folder of our own files.
pub fn own() -> Location {
    Location::new(OWN.to_owned())
}

/// One of our own files.
pub fn state(name: &StateName) -> Location {
    Location::new(format!("{OWN}/{}", name.0))
}

/// Where the damaged bytes of a blob are put aside.
pub fn quarantined(digest: &Digest) -> Location {
    Location::new(format!("{OWN}/quarantine/{}", digest.hex()))
}

/// The folders that images are written into, the outer ones first.
pub fn frame() -> [Location; 4] {
    let all_blobs = Location::new(format!("{REGISTRY}/blobs"));
    [registry(), all_blobs, blobs(), repositories()]
}

/// The folder of temporary files.
pub fn temporaries() -> Location {
    Location::new(format!("{OWN}/tmp"))
}

/// The file that tells whether the storage can be written.
pub fn health() -> Location {
    Location::new(format!("{OWN}/tmp/health"))
}

/// The object that is written to see whether a bucket lets it.
pub(crate) fn rights() -> Location {
    Location::new(format!("{OWN}/tmp/rights"))
}

/// The one that is begun in parts for that.
pub(crate) fn rights_of_parts() -> Location {
    Location::new(format!("{OWN}/tmp/rights-in-parts"))
}

/// The root of everything that distribution knows.
pub fn registry() -> Location {
    Location::new(REGISTRY.to_owned())
}

/// The folder of all blobs of the algorithm that bytes are stored under.
pub fn blobs() -> Location {
    Location::new(format!("{REGISTRY}/blobs/sha256"))
}

/// The folder of one blob; `None` unless the digest is a sha256.
pub fn blob_folder(digest: &Digest) -> Option<Location> {
    let hex = sha256_hex(digest)?;
    Some(Location::new(format!("{REGISTRY}/blobs/sha256/{}/{hex}", &hex[..2])))
}

/// The bytes of one blob; `None` unless the digest is a sha256.
pub fn blob(digest: &Digest) -> Option<Location> {
    let hex = sha256_hex(digest)?;
    Some(Location::new(format!(
        "{REGISTRY}/blobs/sha256/{}/{hex}/{DATA}",
        &hex[..2]
    )))
}

fn sha256_hex(digest: &Digest) -> Option<String> {
    (digest.algorithm() == Algorithm::Sha256).then(|| digest.hex())
}

/// The root of all repositories.
pub fn repositories() -> Location {
    Location::new(format!("{REGISTRY}/repositories"))
}

/// The folder of one repository.
pub fn repository(name: &RepositoryName) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}"))
}

/// The folder of the tags of a repository.
pub fn tags(name: &RepositoryName) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_manifests/tags"))
}

/// The folder of one tag.
pub fn tag(name: &RepositoryName, tag: &Tag) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_manifests/tags/{tag}"))
}

/// Where a tag's link lies below the tag's folder.
pub const CURRENT_LINK: &str = "current/link";

/// The link that says what a tag points to.
pub fn tag_current(name: &RepositoryName, tag: &Tag) -> Location {
    Location::new(format!(
        "{REGISTRY}/repositories/{name}/_manifests/tags/{tag}/{CURRENT_LINK}"
    ))
}

/// The folder of the links of one algorithm to every digest that a tag ever had.
pub fn tag_index(name: &RepositoryName, tag: &Tag, algorithm: Algorithm) -> Location {
    let algorithm = algorithm.as_str();
    Location::new(format!(
        "{REGISTRY}/repositories/{name}/_manifests/tags/{tag}/index/{algorithm}"
    ))
}

/// The folder of the manifest links of one algorithm.
pub fn revisions(name: &RepositoryName, algorithm: Algorithm) -> Location {
    let algorithm = algorithm.as_str();
    Location::new(format!(
        "{REGISTRY}/repositories/{name}/_manifests/revisions/{algorithm}"
    ))
}

/// The folder of the layer links of one algorithm.
pub fn layers(name: &RepositoryName, algorithm: Algorithm) -> Location {
    let algorithm = algorithm.as_str();
    Location::new(format!("{REGISTRY}/repositories/{name}/_layers/{algorithm}"))
}

/// The folder of the link to `digest` in one of the three folders above.
pub fn digest_folder(links: &Location, digest: &Digest) -> Location {
    Location::new(format!("{links}/{}", digest.hex()))
}

/// The link file of a link folder.
pub fn link(folder: &Location) -> Location {
    Location::new(format!("{folder}/{LINK}"))
}

/// The folder of the open uploads of a repository.
pub fn uploads(name: &RepositoryName) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_uploads"))
}

/// The folder of one upload.
pub fn upload(name: &RepositoryName, id: Uuid) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_uploads/{id}"))
}

/// The bytes that an upload has so far.
pub fn upload_data(name: &RepositoryName, id: Uuid) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_uploads/{id}/{DATA}"))
}

/// Bytes of an upload in a bucket that do not make a part yet, in the upload's folder.
pub(crate) fn upload_piece(upload: &Location, name: &[u8; 16]) -> Location {
    Location::new(format!("{upload}/tail-{:032x}", u128::from_be_bytes(*name)))
}

/// When an upload began, as text.
pub fn upload_started(name: &RepositoryName, id: Uuid) -> Location {
    Location::new(format!("{REGISTRY}/repositories/{name}/_uploads/{id}/startedat"))
}

/// The repository whose folder is `location`, when the folder's name is a repository's.
pub fn parse_repository(location: &Location) -> Option<RepositoryName> {
    let rest = location.0.strip_prefix(REGISTRY)?.strip_prefix("/repositories/")?;
    rest.parse().ok()
}

/// The upload in whose folder `location` lies.
pub(crate) fn parse_upload(location: &Location) -> Option<(RepositoryName, Uuid)> {
    let rest = location.0.strip_prefix(REGISTRY)?.strip_prefix("/repositories/")?;
    let (name, rest) = rest.split_once("/_uploads/")?;
    let (id, _) = rest.split_once('/')?;
    let parsed = Uuid::try_parse(id).ok()?;
    (parsed.to_string() == id).then_some((name.parse().ok()?, parsed))
}

/// The digest whose folder below one of the algorithm folders is called `hex`.
pub fn parse_digest(algorithm: Algorithm, hex: &str) -> Option<Digest> {
    format!("{}:{hex}", algorithm.as_str()).parse().ok()
}

/// What a link file says: a digest and nothing else; a newline at the end is tolerated.
pub fn parse_link(content: &[u8]) -> Option<Digest> {
    std::str::from_utf8(content).ok()?.trim_ascii_end().parse().ok()
}

#[cfg(test)]
mod tests;
