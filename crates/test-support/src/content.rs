//! Images, indexes and artifacts.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use wharf_oci::{Algorithm, Digest, media_type};

/// The type of layers that tests push.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The sha256 digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_hash(Algorithm::Sha256, &Sha256::digest(bytes)).unwrap()
}

/// The sha512 digest of `bytes`.
pub fn sha512(bytes: &[u8]) -> Digest {
    Digest::from_hash(Algorithm::Sha512, &Sha512::digest(bytes)).unwrap()
}

/// Bytes with a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The content.
    pub bytes: Bytes,
    /// Its sha256.
    pub digest: Digest,
}

impl Blob {
    /// Of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        Self { bytes, digest }
    }

    /// `length` bytes that differ from those of every other seed.
    pub fn sized(seed: &str, length: usize) -> Self {
        let mut bytes = Vec::with_capacity(length + 32);
        let mut block = Sha256::digest(seed.as_bytes());
        while bytes.len() < length {
            bytes.extend_from_slice(&block);
            block = Sha256::digest(block);
        }
        bytes.truncate(length);
        Self::new(bytes)
    }

    /// Its sha512.
    pub fn sha512(&self) -> Digest {
        sha512(&self.bytes)
    }

    /// How a manifest names it.
    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest.to_string(), "size": self.bytes.len()})
    }
}

/// A manifest with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is pushed with.
    pub media_type: String,
    /// Its bytes and digest.
    pub blob: Blob,
}

impl Manifest {
    /// Of this JSON, with the type that it names, or an image's.
    pub fn new(value: &Value) -> Self {
        let media_type = value["mediaType"].as_str().unwrap_or(media_type::OCI_MANIFEST);
        Self::typed(media_type, value.to_string())
    }

    /// Of these bytes, with this type.
    pub fn typed(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            blob: Blob::new(bytes),
        }
    }

    /// The sha256.
    pub fn digest(&self) -> Digest {
        self.blob.digest
    }

    /// How an index or a referrer names it.
    pub fn descriptor(&self) -> Value {
        self.blob.descriptor(&self.media_type)
    }
}

/// An image: what must be pushed before the manifest, and the manifest.
#[derive(Clone, Debug)]
pub struct Image {
    /// Configuration and layers.
    pub blobs: Vec<Blob>,
    /// What names them.
    pub manifest: Manifest,
}

impl Image {
    /// The manifest's sha256.
    pub fn digest(&self) -> Digest {
        self.manifest.digest()
    }
}

/// An OCI image with a configuration and two layers of its own.
pub fn image(seed: &str) -> Image {
    let config = Blob::new(json!({"architecture": "amd64", "os": "linux", "seed": seed}).to_string());
    let layers = [
        Blob::sized(&format!("{seed} base"), 300),
        Blob::sized(&format!("{seed} top"), 70_000),
    ];
    let value = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config.descriptor(media_type::OCI_CONFIG),
        "layers": layers.iter().map(|layer| layer.descriptor(LAYER)).collect::<Vec<_>>(),
    });
    Image {
        blobs: std::iter::once(config).chain(layers).collect(),
        manifest: Manifest::new(&value),
    }
}

/// An OCI index of these manifests.
pub fn index(children: &[&Manifest]) -> Manifest {
    let children: Vec<Value> = children.iter().map(|child| child.descriptor()).collect();
    Manifest::new(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": children}))
}

/// An artifact about `subject`, as cosign and oras attach them.
pub fn artifact(subject: &Manifest, artifact_type: &str, note: &str) -> Image {
    let empty = Blob::new("{}");
    let value = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty.descriptor(media_type::OCI_EMPTY),
        "layers": [empty.descriptor(media_type::OCI_EMPTY)],
        "subject": subject.descriptor(),
        "annotations": {"note": note},
    });
    Image {
        blobs: vec![empty],
        manifest: Manifest::new(&value),
    }
}
