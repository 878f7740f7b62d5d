//! What manifests point to.

use wharf_oci::Digest;

use crate::value::{Row, args};
use crate::{Error, Tx};

/// Something that a manifest points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// As what.
    pub kind: ReferenceKind,
    /// Its digest, as it is written there.
    pub digest: Digest,
    /// Its size in bytes, as it is written there.
    pub size: u64,
}

/// As what a manifest points to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// The configuration of an image.
    Config,
    /// A layer of an image or a blob of an artifact.
    Layer,
    /// A manifest of an index or list.
    Child,
}

const CHILD: i64 = 2;

impl ReferenceKind {
    pub(crate) const fn column(self) -> i64 {
        match self {
            Self::Config => 0,
            Self::Layer => 1,
            Self::Child => CHILD,
        }
    }
}

/// What a manifest points to, in its order.
///
/// # Errors
///
/// Failures of the index.
pub fn references(tx: &mut Tx<'_>, manifest_id: i64) -> Result<Vec<Reference>, Error> {
    tx.all(
        "list references",
        "select kind, digest, size from manifest_references where manifest_id = ? order by position",
        args![manifest_id],
        reference,
    )
}

/// A reference from three columns: kind, digest and size.
pub(crate) fn reference(row: &Row<'_>) -> Result<Reference, Error> {
    Ok(Reference {
        kind: match row.int(0)? {
            0 => ReferenceKind::Config,
            1 => ReferenceKind::Layer,
            CHILD => ReferenceKind::Child,
            _ => return Err(row.corrupt("a reference kind is unknown")),
        },
        digest: row.digest(1)?,
        size: row.size(2)?,
    })
}
