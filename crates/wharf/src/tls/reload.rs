//! The TLS settings in force, renewed when their files change.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::{Fingerprint, certified_key, client_roots};
use super::{ClientAuth, Config, Error, MinimumVersion, ciphers, client_auth};
use crate::shutdown::Shutdown;

/// Serves the newest good certificate to new connections. Connections that are open keep theirs.
#[derive(Debug)]
pub struct Certificates {
    config: Config,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    fingerprint: Fingerprint,
    /// The files could not be used: they are read again at each look, but reported once.
    failed: bool,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the settings contradict each other.
    pub fn load(config: Config) -> Result<Self, Error> {
        let fingerprint = Fingerprint::of(&config);
        let current = build(&config)?;
        Ok(Self {
            config,
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(Seen {
                fingerprint,
                failed: false,
            }),
        })
    }

    /// The settings for the next connection.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// What is asked of clients.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        self.config.client_auth
    }

    /// Looks whether the files changed and takes the new ones; `true` when it did. Files that
    /// cannot be used leave everything as it was.
    ///
    /// # Errors
    /// Why the new files cannot be used; `Ok(false)` when the same was said before.
    pub fn reload(&self) -> Result<bool, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = Fingerprint::of(&self.config);
        let changed = fingerprint != seen.fingerprint;
        if !changed && !seen.failed {
            return Ok(false);
        }
        seen.fingerprint = fingerprint;
        match build(&self.config) {
            Ok(new) => {
                self.current.store(Arc::new(new));
                seen.failed = false;
                Ok(true)
            }
            Err(error) => {
                let reported = seen.failed && !changed;
                seen.failed = true;
                if reported { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Looks at the files again and again until the process stops. Run it as a task.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.config.poll) => {}
                () = shutdown.stopping() => return,
            }
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(true)) => tracing::info!(
                    certificate = %self.config.certificate.display(),
                    "certificate changed, new connections get the new one"
                ),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(
                    %error,
                    "changed certificate cannot be used, keeping the one in force"
                ),
                Err(error) => tracing::error!(%error, "looking at the certificate failed"),
            }
        }
    }
}

fn build(config: &Config) -> Result<ServerConfig, Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    ciphers::restrict(&mut provider, &config.cipher_suites)?;
    let provider = Arc::new(provider);
    let key = certified_key(config, &provider)?;
    let roots = client_roots(&config.client_cas)?;
    let verifier = client_auth::verifier(config.client_auth, roots, &provider)?;
    let versions: &[_] = match config.minimum {
        MinimumVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinimumVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut built = builder.with_cert_resolver(Arc::new(Always(key)));
    built.alpn_protocols = if config.http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    built.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(built)
}

/// One certificate for every name: clients reach a registry under names and addresses that its
/// certificate may not list, and `insecure` ones do not mind.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
