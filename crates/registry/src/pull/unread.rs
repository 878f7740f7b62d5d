//! Pulling from a repository that the index has not read yet: straight from the links of the storage
//! (consistency rule 7). What is not found here is not missing yet.

use wharf_oci::{Algorithm, Digest, Manifest, Reference, RepositoryName};
use wharf_storage::{ErrorKind, Link, Storage};

use super::{Blob, StoredManifest};
use crate::{Result, content_type};

/// No row: such pulls are not counted.
const NO_ROW: i64 = 0;

/// The manifest that `reference` means, if the folder holds it whole.
pub(super) async fn manifest(
    storage: &Storage,
    folder: &RepositoryName,
    reference: &Reference,
    limit: u64,
) -> Result<Option<StoredManifest>> {
    let repository = folder.clone();
    let digest = match reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(tag) => {
            let tag = tag.clone();
            target(storage, &Link::TagCurrent { repository, tag }).await?
        }
    };
    let Some(digest) = digest else { return Ok(None) };
    let repository = folder.clone();
    let Some(stored) = target(storage, &Link::Revision { repository, digest }).await? else {
        return Ok(None);
    };
    let bytes = match storage.blobs().read(&stored, limit).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        // what the index would serve without a limit is its business
        Err(error) if error.kind() == ErrorKind::TooLarge => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let kept = content_type::kept(storage, &stored).await?;
    let Ok(manifest) = Manifest::parse(kept.as_deref(), &bytes) else {
        return Ok(None);
    };
    Ok(Some(StoredManifest::new(NO_ROW, digest, manifest.media_type, bytes)))
}

/// The blob `digest`, if the folder links it and its bytes are there.
pub(super) async fn blob(storage: &Storage, folder: &RepositoryName, digest: &Digest) -> Result<Option<Blob>> {
    let link = Link::Layer {
        repository: folder.clone(),
        digest: *digest,
    };
    let Some(stored) = target(storage, &link).await? else {
        return Ok(None);
    };
    let reader = storage.blobs().open(&stored).await?;
    Ok(reader.map(|reader| Blob::stored(reader.size(), stored, reader)))
}

/// The bytes that a link means; `None` where it is missing or says something else.
async fn target(storage: &Storage, link: &Link) -> Result<Option<Digest>> {
    match storage.links().read(link).await {
        Ok(record) => Ok(record
            .map(|record| record.digest)
            .filter(|stored| stored.algorithm() == Algorithm::Sha256)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error.into()),
    }
}
