//! Manifests that refer to another one (OCI distribution-spec "Listing Referrers").

use wharf_oci::Digest;
use wharf_oci::index::Referrer;

use crate::value::{Row, args};
use crate::{Error, Tx, manifests};

/// One referrer and where it stands in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its canonical digest: the place to go on after.
    pub sha256: Digest,
    /// What the answer says of it.
    pub referrer: Referrer,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select sha256, sha512, is_sha512, media_type, size, artifact_type, annotations from manifests ",
            "where repository_id = ? and subject = ? and sha256 > ? ",
            $rest,
            " order by sha256 limit ?"
        )
    };
}

/// Referrers to a digest in the order of their canonical digests, after `after`, only those of an
/// artifact type if one is given. The subject itself need not be there.
///
/// # Errors
///
/// Failures of the index.
pub fn page(
    tx: &mut Tx<'_>,
    repository_id: i64,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<Listed>, Error> {
    const OPERATION: &str = "list referrers";
    // every digest is greater than the least one
    let after = after.copied().unwrap_or(Digest::Sha256([0; 32]));
    match artifact_type {
        None => tx.all(
            OPERATION,
            select!(""),
            args![repository_id, subject, &after, limit],
            listed,
        ),
        Some(artifact_type) => tx.all(
            OPERATION,
            select!("and artifact_type = ?"),
            args![repository_id, subject, &after, artifact_type, limit],
            listed,
        ),
    }
}

fn listed(row: &Row<'_>) -> Result<Listed, Error> {
    let sha256 = row.digest(0)?;
    let digest = if row.bool(2)? { row.digest(1)? } else { sha256 };
    Ok(Listed {
        sha256,
        referrer: Referrer {
            media_type: row.text(3)?,
            digest,
            size: row.size(4)?,
            artifact_type: row.opt_text(5)?,
            annotations: manifests::parse_annotations(row, 6)?,
        },
    })
}

/// Whether anything refers to a digest.
///
/// # Errors
///
/// Failures of the index.
pub fn exist(tx: &mut Tx<'_>, repository_id: i64, subject: &Digest) -> Result<bool, Error> {
    tx.any(
        "find a referrer",
        "select 1 from manifests where repository_id = ? and subject = ?",
        args![repository_id, subject],
    )
}
