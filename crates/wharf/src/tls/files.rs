//! Reading certificate files, and noticing that they changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Config, Error};

/// What `stat` says about every file, symbolic links followed: Kubernetes swaps a link to a
/// folder, others rename or overwrite the file; each changes one of these numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<[i128; 5]>>);

impl Fingerprint {
    pub(super) fn of(config: &Config) -> Self {
        let files = [&config.certificate, &config.key];
        let files = files.into_iter().chain(&config.client_cas);
        Self(files.map(|path| stat(path)).collect())
    }
}

fn stat(path: &Path) -> Option<[i128; 5]> {
    let metadata = std::fs::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Some([
        i128::from(metadata.dev()),
        i128::from(metadata.ino()),
        i128::from(metadata.size()),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ])
}

/// Reads the certificate and its key and checks that they belong together.
pub(super) fn certified_key(config: &Config, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates("certificate", &config.certificate)?;
    let text = read("key", &config.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| Error::Pem {
        what: "key",
        path: config.key.clone(),
        reason: error.to_string(),
    })?;
    let pair = CertifiedKey::from_der(chain, key, provider).map_err(|error| Error::Pair {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(pair))
}

/// Reads the authorities of client certificates.
pub(super) fn client_roots(paths: &[PathBuf]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates("client CA", path)? {
            roots.add(certificate).map_err(|error| Error::ClientCa {
                reason: format!("{}: {error}", path.display()),
            })?;
        }
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(what, path)?;
    let pem = |reason: String| Error::Pem {
        what,
        path: path.to_owned(),
        reason,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(error.to_string()))?;
    if found.is_empty() {
        return Err(pem("no certificate in it".to_owned()));
    }
    Ok(found)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        what,
        path: path.to_owned(),
        source,
    })
}
