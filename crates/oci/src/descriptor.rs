//! Descriptors (OCI image-spec descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A typed pointer to content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type; empty when the pusher gave none.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else the content may be fetched.
    pub urls: Vec<String>,
    /// The type of the artifact it points to.
    pub artifact_type: Option<String>,
    /// What it runs on, in an index.
    pub platform: Option<Platform>,
    /// Its annotations.
    pub annotations: Annotations,
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH`-like name.
    #[serde(default)]
    pub architecture: String,
    /// `GOOS`-like name.
    #[serde(default)]
    pub os: String,
    /// Variant of the architecture, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

/// A descriptor as it stands in JSON, before its digest is checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: i64,
    #[serde(default)]
    pub urls: Option<Vec<String>>,
    #[serde(default)]
    pub artifact_type: Option<String>,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<Annotations>,
}

/// Annotations: names to texts, in the order of the names.
pub type Annotations = BTreeMap<String, String>;
