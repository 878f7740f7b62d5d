//! What several modules need.

use wharf_test_support::{Auth, Options, Registry};

/// A registry with accounts of its own.
pub async fn with_accounts() -> Registry {
    Registry::with(Options {
        auth: Auth::BuiltIn,
        ..Options::default()
    })
    .await
}

/// A registry with an htpasswd file.
pub async fn with_htpasswd() -> Registry {
    Registry::with(Options {
        auth: Auth::Htpasswd,
        ..Options::default()
    })
    .await
}

/// Begins an upload and returns where it goes on.
pub async fn begin(registry: &Registry, name: &str) -> String {
    let answer = registry.post(&format!("/v2/{name}/blobs/uploads/")).send().await;
    answer.expect(202).location()
}

/// `location` with a query that names the digest, as Go clients append it.
pub fn finish(location: &str, digest: &wharf_oci::Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}").replace("sha256:", "sha256%3A")
}
