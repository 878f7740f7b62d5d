//! Manifests as a registry needs to see them: what they are and what they point to.
//!
//! The bytes are the truth and are kept as they came; this is a reading of them. A type that is
//! not known is [`Kind::Opaque`]: stored and served, but pointing nowhere.

use serde::Deserialize;

use crate::descriptor::{Annotations, Descriptor, RawDescriptor};
use crate::media_type;
use crate::{Digest, DigestError};

/// The largest manifest that is accepted by default, in bytes (distribution-spec "Pushing
/// Manifests" asks for at least 4 MiB).
pub const MAX_SIZE: usize = 4 << 20;

/// The shapes that a manifest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An OCI image manifest, whatever it carries.
    Image,
    /// An OCI image index.
    Index,
    /// A Docker schema 2 image manifest.
    DockerImage,
    /// A Docker manifest list.
    DockerList,
    /// The artifact manifest of the OCI 1.1 release candidates.
    Artifact,
    /// A Docker schema 1 image manifest: what older registries left is kept, new ones are refused.
    DockerSchema1,
    /// Anything else.
    Opaque,
}

/// What a manifest says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its shape.
    pub kind: Kind,
    /// The type it is served with.
    pub media_type: String,
    /// The configuration of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image, or the blobs of an artifact.
    pub layers: Vec<Descriptor>,
    /// The children of an index or list.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Descriptor>,
    /// `artifactType`, or else the type of the configuration (distribution-spec "Listing
    /// Referrers"); `None` for an index without one.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest itself.
    pub annotations: Annotations,
}

/// Why bytes are refused as a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// They are not JSON, or a member has the wrong type.
    #[error("manifest is not valid: {0}")]
    Json(String),
    /// Docker schema 1 is accepted by no current registry.
    #[error(
        "docker image manifest schema 1 is not supported: push the image with a current docker, or convert it with skopeo copy --format v2s2"
    )]
    Schema1,
    /// The header and the body disagree.
    #[error("content type is {header} but the manifest says mediaType {body}")]
    TypeMismatch {
        /// What the `Content-Type` header says.
        header: String,
        /// What `mediaType` in the body says.
        body: String,
    },
    /// `schemaVersion` is not 2.
    #[error("manifest has schemaVersion {0}, expected 2")]
    SchemaVersion(i64),
    /// Neither an image nor an index, but its type says it is one.
    #[error("manifest of type {media_type} {problem}")]
    Shape {
        /// The type it claims.
        media_type: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A descriptor's digest is malformed.
    #[error("{digest:?} in {place} is not a digest: {reason}")]
    Digest {
        /// The member it stands in.
        place: &'static str,
        /// What stands there.
        digest: String,
        /// Why it is none.
        reason: DigestError,
    },
    /// A descriptor's size is negative.
    #[error("size {size} in {place} is negative")]
    Size {
        /// The member it stands in.
        place: &'static str,
        /// What stands there.
        size: i64,
    },
}

impl Manifest {
    /// Reads `bytes` that came with `content_type`, or were found in storage without one.
    ///
    /// # Errors
    ///
    /// A type that this registry knows must have that type's shape. Other types are opaque and
    /// never refused.
    pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        let header = content_type.map(media_type::essence).filter(|value| !value.is_empty());
        let raw: RawManifest = match serde_json::from_slice(bytes) {
            Ok(raw) => raw,
            Err(_) if header.is_some_and(is_foreign) => return Ok(Self::opaque(header.unwrap_or_default())),
            Err(error) => return Err(ManifestError::Json(error.to_string())),
        };
        let media_type = raw.effective_type(header)?;
        let media_type = media_type.as_str();
        match media_type {
            media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED => raw.schema1(media_type),
            media_type::OCI_MANIFEST => raw.checked(Kind::Image, media_type),
            media_type::DOCKER_MANIFEST => raw.checked(Kind::DockerImage, media_type),
            media_type::OCI_INDEX => raw.checked(Kind::Index, media_type),
            media_type::DOCKER_LIST => raw.checked(Kind::DockerList, media_type),
            media_type::OCI_ARTIFACT => raw.checked(Kind::Artifact, media_type),
            other => Ok(Self::opaque(other)),
        }
    }

    /// As [`Manifest::parse`], for a manifest that is pushed.
    ///
    /// # Errors
    ///
    /// Also [`ManifestError::Schema1`].
    pub fn parse_pushed(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = Self::parse(content_type, bytes)?;
        match manifest.kind {
            Kind::DockerSchema1 => Err(ManifestError::Schema1),
            _ => Ok(manifest),
        }
    }

    fn opaque(media_type: &str) -> Self {
        Self {
            kind: Kind::Opaque,
            media_type: media_type.to_owned(),
            config: None,
            layers: Vec::new(),
            manifests: Vec::new(),
            subject: None,
            artifact_type: None,
            annotations: Annotations::new(),
        }
    }

    /// The blobs that must be in the repository before this manifest is: configuration and
    /// layers, except those that may be fetched elsewhere.
    pub fn required_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let layers = self.layers.iter().filter(|layer| !layer.is_fetched_elsewhere());
        self.config.iter().chain(layers)
    }

    /// Everything it points to except its subject, for garbage collection.
    pub fn references(&self) -> impl Iterator<Item = &Digest> {
        self.config
            .iter()
            .chain(&self.layers)
            .chain(&self.manifests)
            .map(|descriptor| &descriptor.digest)
    }
}

impl Descriptor {
    /// Whether the content may be missing here: a non-distributable layer, or one with URLs.
    pub fn is_fetched_elsewhere(&self) -> bool {
        media_type::is_non_distributable(&self.media_type) || !self.urls.is_empty()
    }
}

fn is_foreign(media_type: &str) -> bool {
    !matches!(
        media_type,
        media_type::OCI_MANIFEST
            | media_type::OCI_INDEX
            | media_type::OCI_ARTIFACT
            | media_type::DOCKER_MANIFEST
            | media_type::DOCKER_LIST
            | media_type::DOCKER_SCHEMA1
            | media_type::DOCKER_SCHEMA1_SIGNED
            | media_type::JSON
            | media_type::OCTET_STREAM
    )
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    #[serde(default)]
    schema_version: Option<i64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    blobs: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    subject: Option<RawDescriptor>,
    #[serde(default)]
    annotations: Option<Annotations>,
    /// Schema 1; in other manifests whatever it likes to be.
    #[serde(default)]
    fs_layers: Option<serde_json::Value>,
    /// Schema 1.
    #[serde(default)]
    signatures: Option<serde::de::IgnoredAny>,
}

impl RawManifest {
    /// The type by header, body and shape; a header that is only `application/json` says nothing.
    fn effective_type(&self, header: Option<&str>) -> Result<String, ManifestError> {
        let header = header.filter(|value| ![media_type::JSON, media_type::OCTET_STREAM].contains(value));
        let body = self.media_type.as_deref().filter(|value| !value.is_empty());
        match (header, body) {
            (Some(header), Some(body)) if header != body => Err(ManifestError::TypeMismatch {
                header: header.to_owned(),
                body: body.to_owned(),
            }),
            (Some(given), _) | (None, Some(given)) => Ok(given.to_owned()),
            (None, None) => Ok(self.sniff().to_owned()),
        }
    }

    /// The type of a manifest that does not name it, by its members, as distribution does.
    fn sniff(&self) -> &'static str {
        if self.schema_version == Some(1) || self.fs_layers.is_some() {
            match self.signatures {
                Some(_) => media_type::DOCKER_SCHEMA1_SIGNED,
                None => media_type::DOCKER_SCHEMA1,
            }
        } else if self.manifests.is_some() {
            media_type::OCI_INDEX
        } else if self.config.is_some() || self.layers.is_some() {
            media_type::OCI_MANIFEST
        } else if self.blobs.is_some() {
            media_type::OCI_ARTIFACT
        } else {
            media_type::OCTET_STREAM
        }
    }

    fn checked(self, kind: Kind, media_type: &str) -> Result<Manifest, ManifestError> {
        self.check_shape(kind, media_type)?;
        let config = self.config.map(|raw| raw.checked("config")).transpose()?;
        let layers = match kind {
            Kind::Artifact => check_all(self.blobs, "blobs")?,
            _ => check_all(self.layers, "layers")?,
        };
        let declared = self.artifact_type.filter(|value| !value.is_empty());
        let artifact_type = match kind {
            Kind::Image | Kind::DockerImage => {
                declared.or_else(|| config.as_ref().map(|config| config.media_type.clone()))
            }
            _ => declared,
        };
        Ok(Manifest {
            kind,
            media_type: media_type.to_owned(),
            config,
            layers,
            manifests: check_all(self.manifests, "manifests")?,
            subject: self.subject.map(|raw| raw.checked("subject")).transpose()?,
            artifact_type,
            annotations: self.annotations.unwrap_or_default(),
        })
    }

    /// Sizes are not told in schema 1.
    fn schema1(self, media_type: &str) -> Result<Manifest, ManifestError> {
        const PLACE: &str = "fsLayers";
        let entries = self.fs_layers.as_ref().and_then(serde_json::Value::as_array);
        let layers = entries.into_iter().flatten().map(|entry| {
            let raw = RawDescriptor {
                media_type: media_type::DOCKER_LAYER.to_owned(),
                digest: entry["blobSum"].as_str().unwrap_or_default().to_owned(),
                size: 0,
                urls: None,
                artifact_type: None,
                platform: None,
                annotations: None,
            };
            raw.checked(PLACE)
        });
        Ok(Manifest {
            kind: Kind::DockerSchema1,
            layers: layers.collect::<Result<_, _>>()?,
            ..Manifest::opaque(media_type)
        })
    }

    fn check_shape(&self, kind: Kind, media_type: &str) -> Result<(), ManifestError> {
        let shape = |problem| {
            Err(ManifestError::Shape {
                media_type: media_type.to_owned(),
                problem,
            })
        };
        match (kind, self.schema_version) {
            (Kind::Artifact, _) | (_, Some(2)) => {}
            (_, Some(other)) => return Err(ManifestError::SchemaVersion(other)),
            (_, None) => return shape("has no schemaVersion"),
        }
        match kind {
            Kind::Image | Kind::DockerImage => {
                if self.config.is_none() {
                    return shape("has no config");
                }
                // one body must not be readable as both (CVE-2021-41190)
                if self.manifests.is_some() {
                    return shape("has a member \"manifests\", which only an index may have");
                }
            }
            Kind::Index | Kind::DockerList => {
                if self.manifests.is_none() {
                    return shape("has no manifests");
                }
                if self.config.is_some() || self.layers.is_some() {
                    return shape("has a member \"config\" or \"layers\", which only an image may have");
                }
            }
            Kind::Artifact | Kind::DockerSchema1 | Kind::Opaque => {}
        }
        Ok(())
    }
}

fn check_all(raw: Option<Vec<RawDescriptor>>, place: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    raw.unwrap_or_default()
        .into_iter()
        .map(|descriptor| descriptor.checked(place))
        .collect()
}

impl RawDescriptor {
    fn checked(self, place: &'static str) -> Result<Descriptor, ManifestError> {
        let digest = self.digest.parse().map_err(|reason| ManifestError::Digest {
            place,
            digest: self.digest,
            reason,
        })?;
        let size = u64::try_from(self.size).map_err(|_| ManifestError::Size { place, size: self.size })?;
        Ok(Descriptor {
            media_type: self.media_type,
            digest,
            size,
            urls: self.urls.unwrap_or_default(),
            artifact_type: self.artifact_type,
            platform: self.platform,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests;
