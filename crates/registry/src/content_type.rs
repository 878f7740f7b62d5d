//! Content types that a manifest's bytes do not imply (consistency rule 11): distribution's layout
//! has no place for them, so they are kept in small files of our own, for a rebuild of the index.

use std::collections::HashSet;

use wharf_oci::{Digest, Manifest};
use wharf_storage::{StateName, Storage};

use crate::{Error, Result};

/// Keeps the type of a manifest when its bytes alone would be read as another one.
///
/// # Errors
///
/// The storage cannot be written.
pub(crate) async fn keep(storage: &Storage, stored: &Digest, media_type: &str, bytes: &[u8]) -> Result<()> {
    let implied = Manifest::parse(None, bytes);
    if implied.is_ok_and(|manifest| manifest.media_type == media_type) {
        return Ok(());
    }
    let content = media_type.to_owned().into();
    Ok(storage.state().write(&file(stored)?, content).await?)
}

/// The type that was kept for a manifest, if any.
///
/// # Errors
///
/// The storage cannot be read.
pub(crate) async fn kept(storage: &Storage, stored: &Digest) -> Result<Option<String>> {
    let content = storage.state().read(&file(stored)?).await?;
    Ok(content.and_then(|bytes| String::from_utf8(bytes.into()).ok()))
}

/// The manifests that a type was kept for.
///
/// # Errors
///
/// The storage cannot be read.
pub(crate) async fn all(storage: &Storage) -> Result<HashSet<Digest>> {
    let Some(folder) = StateName::new("types") else {
        return Ok(HashSet::new());
    };
    let names = storage.state().list(&folder).await?;
    let digest = |name: &StateName| {
        let (_, hex) = name.as_str().rsplit_once('/')?;
        format!("sha256:{hex}").parse().ok()
    };
    Ok(names.iter().filter_map(digest).collect())
}

/// Forgets the types of these, which are gone.
///
/// # Errors
///
/// The storage cannot be written.
pub(crate) async fn forget(storage: &Storage, gone: &[Digest]) -> Result<()> {
    let kept = all(storage).await?;
    for stored in gone.iter().filter(|stored| kept.contains(stored)) {
        storage.state().remove(&file(stored)?).await?;
    }
    Ok(())
}

fn file(stored: &Digest) -> Result<StateName> {
    StateName::new(&format!("types/{}", stored.hex())).ok_or(Error::Unsupported("the type file has no legal name"))
}
