//! What every request parses. `cargo bench -p wharf-oci`

use divan::black_box;
use wharf_oci::{Digest, DigestError, NameError, RepositoryName};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() {
    divan::main();
}

#[divan::bench]
fn digest_from_text() -> Result<Digest, DigestError> {
    black_box(DIGEST).parse()
}

#[divan::bench]
fn digest_to_text(bencher: divan::Bencher<'_, '_>) {
    let Ok(digest) = DIGEST.parse::<Digest>() else { return };
    bencher.bench(|| black_box(&digest).to_string());
}

#[divan::bench]
fn repository_name() -> Result<RepositoryName, NameError> {
    black_box("team/product/backend-service").parse()
}
