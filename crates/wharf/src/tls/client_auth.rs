//! Client certificates: the four modes of distribution's `clientauth`, and none.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::Error;

/// What is asked of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// `request-client-cert`: asked for, none needed, not verified.
    Request,
    /// `require-any-client-cert`: needed, not verified.
    RequireAny,
    /// `verify-client-cert-if-given`: asked for; verified if there is one.
    VerifyIfGiven,
    /// `require-and-verify-client-cert`: needed and verified. The default with `clientcas`.
    RequireAndVerify,
}

impl ClientAuth {
    /// Reads `http.tls.clientauth`. Empty means the strictest mode when `clientcas` are
    /// configured, else none.
    ///
    /// # Errors
    /// Names a mode that does not exist.
    pub fn parse(name: &str, has_client_cas: bool) -> Result<Self, Error> {
        match name {
            "" if has_client_cas => Ok(Self::RequireAndVerify),
            "" => Ok(Self::None),
            "request-client-cert" => Ok(Self::Request),
            "require-any-client-cert" => Ok(Self::RequireAny),
            "verify-client-cert-if-given" => Ok(Self::VerifyIfGiven),
            "require-and-verify-client-cert" => Ok(Self::RequireAndVerify),
            _ => Err(Error::ClientAuth { name: name.to_owned() }),
        }
    }

    /// Whether a certificate that a client shows has been verified.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// The verifier of a mode; `None` where no certificate is asked for.
pub(super) fn verifier(
    mode: ClientAuth,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let unverified = |mandatory| {
        let provider = Arc::clone(provider);
        Arc::new(Unverified { mandatory, provider })
    };
    if mode.verifies() && roots.is_empty() {
        return Err(Error::ClientCa {
            reason: "no clientcas are configured".to_owned(),
        });
    }
    let builder = || WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let refused = |error: rustls::server::VerifierBuilderError| Error::ClientCa {
        reason: error.to_string(),
    };
    Ok(match mode {
        ClientAuth::None => None,
        ClientAuth::Request => Some(unverified(false)),
        ClientAuth::RequireAny => Some(unverified(true)),
        ClientAuth::VerifyIfGiven => {
            let verifier = builder().allow_unauthenticated().build();
            Some(verifier.map_err(refused)?)
        }
        ClientAuth::RequireAndVerify => Some(builder().build().map_err(refused)?),
    })
}

/// Takes any certificate whose key the client has, as Go's two modes without verification do.
#[derive(Debug)]
struct Unverified {
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Unverified {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
