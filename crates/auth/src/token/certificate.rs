//! Certificate chains in the `x5c` header (RFC 7515 section 4.1.6), checked against the root bundle
//! as Go's `x509.Verify` does for distribution: any key usage, no names.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    pem::Pem,
    prelude::{FromDer, X509Version},
    time::ASN1Time,
};

use super::{
    jwt::TokenError,
    key::{KeyError, PublicKey},
};

/// More certificates than any real chain has.
const LONGEST_CHAIN: usize = 10;
/// Signatures with SHA-1, which nobody should make any more: `sha1WithRSAEncryption` and its old name.
const SHA1: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];

/// The certificates of `rootcertbundle`: trusted whatever they are.
pub(crate) struct Roots {
    /// DER.
    certificates: Vec<Vec<u8>>,
}

/// Why a bundle cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not PEM.
    #[error("is not PEM")]
    Pem,
    /// A block that is no certificate.
    #[error("holds a certificate that cannot be read (block {0})")]
    Certificate(usize),
    /// No certificate at all.
    #[error("holds no certificate")]
    Empty,
    /// A certificate whose key cannot sign tokens.
    #[error("certificate {0}: {1}")]
    Key(usize, KeyError),
}

impl Roots {
    /// Reads the `CERTIFICATE` blocks of a PEM file; other blocks are ignored, as in distribution.
    /// The keys are those of the certificates, in their order.
    pub(crate) fn parse(pem: &[u8]) -> Result<(Self, Vec<PublicKey>), BundleError> {
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for (position, block) in Pem::iter_from_buffer(pem).enumerate() {
            let block = block.map_err(|_| BundleError::Pem)?;
            if block.label != "CERTIFICATE" {
                continue;
            }
            let number = position + 1;
            let certificate = read(&block.contents).map_err(|_| BundleError::Certificate(number))?;
            let key = PublicKey::from_spki(certificate.public_key().raw);
            keys.push(key.map_err(|error| BundleError::Key(number, error))?);
            certificates.push(block.contents);
        }
        if certificates.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok((Self { certificates }, keys))
    }

    /// The key of the first certificate of `x5c`, if the rest lead from it to a root.
    pub(crate) fn key_of(&self, x5c: &[String], now: Timestamp) -> Result<PublicKey, TokenError> {
        if x5c.is_empty() || x5c.len() > LONGEST_CHAIN {
            return Err(TokenError::UntrustedCertificate("no chain of 1 to 10 certificates"));
        }
        let chain: Vec<Vec<u8>> = x5c
            .iter()
            .map(|text| STANDARD.decode(text).map_err(|_| TokenError::Malformed))
            .collect::<Result<_, _>>()?;
        let chain: Vec<X509Certificate<'_>> = chain.iter().map(|der| read(der)).collect::<Result<_, _>>()?;
        let now = ASN1Time::from_timestamp(now.as_second()).map_err(|_| TokenError::UntrustedCertificate("no time"))?;
        let roots: Vec<X509Certificate<'_>> = self.certificates.iter().filter_map(|der| read(der).ok()).collect();
        let leaf = &chain[0];
        Path {
            roots: &roots,
            intermediates: &chain[1..],
            now,
        }
        .leads_from(leaf, 0)?;
        PublicKey::from_spki(leaf.public_key().raw).map_err(|_| TokenError::UntrustedKey)
    }
}

struct Path<'a> {
    roots: &'a [X509Certificate<'a>],
    intermediates: &'a [X509Certificate<'a>],
    now: ASN1Time,
}

impl Path<'_> {
    /// Whether a root vouches for `certificate`, `below` intermediates above the leaf. Each step
    /// takes the first intermediate that signed it, so the work is bounded by the chain's length.
    fn leads_from(&self, certificate: &X509Certificate<'_>, below: u32) -> Result<(), TokenError> {
        let untrusted = TokenError::UntrustedCertificate;
        if !certificate.validity().is_valid_at(self.now) {
            return Err(untrusted("a certificate has expired or is not valid yet"));
        }
        if has_unknown_critical_extension(certificate) {
            return Err(untrusted(
                "a certificate has a critical extension that is not understood",
            ));
        }
        if self.roots.iter().any(|root| root.as_raw() == certificate.as_raw()) {
            return Ok(());
        }
        let is_parent = |parent: &&X509Certificate<'_>| signed_by(certificate, parent, below);
        if let Some(root) = self.roots.iter().find(is_parent) {
            return if root.validity().is_valid_at(self.now) {
                Ok(())
            } else {
                Err(untrusted("a root certificate has expired or is not valid yet"))
            };
        }
        match self.intermediates.iter().find(is_parent) {
            Some(parent) if usize::try_from(below).is_ok_and(|below| below < LONGEST_CHAIN) => {
                self.leads_from(parent, below + 1)
            }
            _ => Err(untrusted("no root certificate signed it")),
        }
    }
}

/// Whether `parent` may sign certificates and signed this one, with `below` intermediates under it.
fn signed_by(certificate: &X509Certificate<'_>, parent: &X509Certificate<'_>, below: u32) -> bool {
    let is_authority = match parent.basic_constraints() {
        Ok(Some(constraints)) => {
            constraints.value.ca && constraints.value.path_len_constraint.is_none_or(|most| below <= most)
        }
        Ok(None) => parent.version() != X509Version::V3,
        Err(_) => false,
    };
    let may_sign = match parent.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    is_authority
        && may_sign
        && certificate.issuer().as_raw() == parent.subject().as_raw()
        && !SHA1.contains(&algorithm.as_str())
        && certificate.verify_signature(Some(parent.public_key())).is_ok()
}

/// Name constraints are for names in certificates, which tokens do not use: where they are critical
/// they are not understood here.
fn has_unknown_critical_extension(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        extension.critical
            && !matches!(
                extension.parsed_extension(),
                ParsedExtension::BasicConstraints(_)
                    | ParsedExtension::KeyUsage(_)
                    | ParsedExtension::ExtendedKeyUsage(_)
                    | ParsedExtension::SubjectAlternativeName(_)
            )
    })
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, TokenError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(TokenError::UntrustedCertificate("a certificate cannot be read")),
    }
}
