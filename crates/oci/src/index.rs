//! The index that a referrers answer is (OCI distribution-spec "Listing Referrers").

use serde::Serialize;

use crate::descriptor::Annotations;
use crate::{Digest, media_type};

/// One referrer, as the answer describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The media type of the referring manifest.
    pub media_type: String,
    /// Its digest.
    #[serde(serialize_with = "as_text")]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its artifact type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrers {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Referrer>,
}

impl Referrers {
    /// An index of these referrers.
    pub const fn new(manifests: Vec<Referrer>) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::OCI_INDEX,
            manifests,
        }
    }
}

fn as_text<S: serde::Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}
