//! Sending clients to the storage for the bytes of blobs.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use wharf_registry::Error;
use wharf_registry::pull::Blob;

/// Knows where clients get the bytes of a blob from instead of from here.
pub trait Redirects: Debug + Send + Sync {
    /// The URL, good for a while and without further credentials; `None` = the bytes are sent from here.
    ///
    /// # Errors
    ///
    /// It cannot be signed.
    fn url<'a>(&'a self, blob: &'a Blob) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + 'a>>;
}
