//! What the trash holds, for those who collect garbage: it asks as manifests are asked.

use wharf_oci::Digest;

use super::{Trashed, select, trashed};
use crate::value::args;
use crate::{Error, Tx};

/// Whether a trashed manifest of the repository points to a blob, by one of its names: then the
/// repository's link stays.
///
/// # Errors
///
/// Failures of the index.
pub fn needs_link(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    tx.any(
        "find trash that needs a link",
        "select 1 from trash_references where digest = ? and repository_id = ?",
        args![digest, repository_id],
    )
}

/// Whether a trashed manifest of any repository points to a blob, or has it as its bytes: then the
/// bytes stay, linked or not.
///
/// # Errors
///
/// Failures of the index.
pub fn holds_blob(tx: &mut Tx<'_>, sha256: &Digest, sha512: Option<&Digest>) -> Result<bool, Error> {
    const OPERATION: &str = "find trash that holds a blob";
    for name in std::iter::once(sha256).chain(sha512) {
        if tx.any(
            OPERATION,
            "select 1 from trash_references where digest = ? and kind < 2",
            args![name],
        )? {
            return Ok(true);
        }
    }
    tx.any(
        OPERATION,
        "select 1 from trash where sha256 = ? and kind = 0",
        args![sha256],
    )
}

/// Whether a trashed index of the repository lists a manifest, by one of its names.
///
/// # Errors
///
/// Failures of the index.
pub fn lists_child(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    tx.any(
        "find trash that lists a manifest",
        "select 1 from trash_references where digest = ? and repository_id = ? and kind = 2",
        args![digest, repository_id],
    )
}

/// Whether a tag of a manifest was deleted alone: the manifest stays as long as the tag can come
/// back.
///
/// # Errors
///
/// Failures of the index.
pub fn has_tag_of(tx: &mut Tx<'_>, repository_id: i64, sha256: &Digest) -> Result<bool, Error> {
    tx.any(
        "find a tag of a manifest in the trash",
        "select 1 from trash where repository_id = ? and sha256 = ? and kind = 1",
        args![repository_id, sha256],
    )
}

/// Whether a manifest of the repository, by one of its names, lies in the trash: what refers to it
/// stays as long as it can come back.
///
/// # Errors
///
/// Failures of the index.
pub fn has_manifest(tx: &mut Tx<'_>, repository_id: i64, digest: &Digest) -> Result<bool, Error> {
    let sql = match digest {
        Digest::Sha256(_) => "select 1 from trash where repository_id = ? and sha256 = ? and kind = 0",
        Digest::Sha512(_) => "select 1 from trash where repository_id = ? and sha512 = ? and kind = 0",
    };
    tx.any("find a manifest in the trash", sql, args![repository_id, digest])
}

/// The trashed manifests that hold a blob, at most `limit`; without their tags.
///
/// # Errors
///
/// Failures of the index.
pub fn holders(tx: &mut Tx<'_>, sha256: &Digest, sha512: Option<&Digest>, limit: usize) -> Result<Vec<Trashed>, Error> {
    let none = Digest::Sha256([0; 32]);
    tx.all(
        "list trash that holds a blob",
        select!(
            "where t.kind = 0 and (t.sha256 = ? or t.id in (select r.trash_id from trash_references r \
             where r.kind < 2 and r.digest = ?) or t.id in (select r.trash_id from trash_references r \
             where r.kind < 2 and r.digest = ?)) order by t.id limit ?"
        ),
        args![sha256, sha256, sha512.unwrap_or(&none), limit],
        trashed,
    )
}
