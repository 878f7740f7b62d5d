//! A folder as distribution writes it, made by hand: nothing here uses Wharf's own storage.

use std::fs;
use std::path::{Path, PathBuf};

use wharf_oci::Digest;
use wharf_test_support::{Blob, Image};

/// The folder `docker/registry/v2` of a storage root.
pub struct Tree(PathBuf);

impl Tree {
    pub fn new(root: &Path) -> Self {
        Self(root.join("docker/registry/v2"))
    }

    pub fn repository(&self, name: &str) -> PathBuf {
        self.0.join("repositories").join(name)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn blob(&self, blob: &Blob) {
        let (_, hex) = parts(&blob.digest);
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), &blob.bytes);
    }

    /// A link file with the sha256 that distribution writes into it.
    pub fn layer(&self, name: &str, link: &Digest, stored: &Digest) {
        let (algorithm, hex) = parts(link);
        self.write(
            &format!("repositories/{name}/_layers/{algorithm}/{hex}/link"),
            stored.to_string(),
        );
    }

    pub fn revision(&self, name: &str, link: &Digest, stored: &Digest) {
        let (algorithm, hex) = parts(link);
        self.write(
            &format!("repositories/{name}/_manifests/revisions/{algorithm}/{hex}/link"),
            stored.to_string(),
        );
    }

    pub fn tag(&self, name: &str, tag: &str, digest: &Digest) {
        let (algorithm, hex) = parts(digest);
        let folder = format!("repositories/{name}/_manifests/tags/{tag}");
        self.write(&format!("{folder}/index/{algorithm}/{hex}/link"), digest.to_string());
        self.write(&format!("{folder}/current/link"), digest.to_string());
    }

    /// Everything that a push leaves.
    pub fn push(&self, name: &str, tag: &str, image: &Image) {
        for blob in &image.blobs {
            self.blob(blob);
            self.layer(name, &blob.digest, &blob.digest);
        }
        self.blob(&image.manifest.blob);
        self.revision(name, &image.digest(), &image.digest());
        self.tag(name, tag, &image.digest());
    }

    /// As distribution deletes a tag.
    pub fn delete_tag(&self, name: &str, tag: &str) {
        fs::remove_dir_all(self.repository(name).join("_manifests/tags").join(tag)).unwrap();
    }

    /// As distribution deletes a manifest: the link goes, the folder of its digest may stay.
    pub fn delete_revision(&self, name: &str, digest: &Digest) {
        let (algorithm, hex) = parts(digest);
        let folder = self
            .repository(name)
            .join("_manifests/revisions")
            .join(algorithm)
            .join(hex);
        fs::remove_file(folder.join("link")).unwrap();
    }
}

fn parts(digest: &Digest) -> (String, String) {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap();
    (algorithm.to_owned(), hex.to_owned())
}
