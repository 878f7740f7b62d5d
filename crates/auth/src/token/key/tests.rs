use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    },
};

use super::*;

fn jwk(json: &str) -> Result<PublicKey, KeyError> {
    PublicKey::from_jwk(&serde_json::from_str(json).unwrap())
}

/// The key of RFC 7638 section 3.1.
const RSA_OF_RFC: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let key = jwk(RSA_OF_RFC).unwrap();
    assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let again = key.to_jwk("RS256");
    assert_eq!(jwk(&again.to_string()).unwrap(), key);
    assert_eq!(again["kid"], key.thumbprint());
}

#[test]
fn an_ed25519_thumbprint_is_that_of_rfc_8037() {
    let key = jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#).unwrap();
    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// The key of the signed manifest in distribution's "Image Manifest Version 2, Schema 1".
#[test]
fn the_libtrust_id_is_that_of_distribution() {
    let json = r#"{"kty":"EC","crv":"P-256","x":"3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A",
        "y":"t72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010"}"#;
    assert_eq!(
        jwk(json).unwrap().libtrust_id(),
        "OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4"
    );
}

#[test]
fn the_libtrust_id_has_its_shape_and_hash() {
    let key = jwk(RSA_OF_RFC).unwrap();
    let id = key.libtrust_id();
    let groups: Vec<_> = id.split(':').collect();
    assert_eq!(groups.len(), 12);
    assert!(groups.iter().all(|group| group.len() == 4), "{id}");
    let hash = digest::digest(&digest::SHA256, &key.spki);
    assert_eq!(base32_decode(&id.replace(':', "")), &hash.as_ref()[..30]);
}

fn base32_decode(text: &str) -> Vec<u8> {
    let bits: String = text
        .bytes()
        .map(|byte| {
            if byte.is_ascii_digit() {
                byte - b'2' + 26
            } else {
                byte - b'A'
            }
        })
        .map(|value| format!("{value:05b}"))
        .collect();
    let bytes = bits.as_bytes().chunks(8).map(|byte| std::str::from_utf8(byte).unwrap());
    bytes.map(|byte| u8::from_str_radix(byte, 2).unwrap()).collect()
}

#[test]
fn keys_are_the_same_from_a_certificate_and_from_a_key_set() {
    for (algorithm, curve) in [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        (&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
    ] {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        assert!(key.to_jwk("x").to_string().contains(curve));
        assert_eq!(jwk(&key.to_jwk("x").to_string()).unwrap(), key);
        assert_eq!(key.spki, spki.as_ref());
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let key = PublicKey::from_spki(spki.as_ref()).unwrap();
    assert_eq!(jwk(&key.to_jwk("EdDSA").to_string()).unwrap(), key);
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, PublicKey) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let key = PublicKey::from_spki(spki.as_ref()).unwrap();
    (pair, key)
}

#[test]
fn every_algorithm_goes_with_its_own_kind_of_key_only() {
    let all = [
        "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
    ];
    let (pair, key) = ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING);
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"m").unwrap();
    for name in all {
        let algorithm = Algorithm::named(name).unwrap();
        assert_eq!(
            key.verifies(algorithm, b"m", signature.as_ref()),
            name == "ES512",
            "{name}"
        );
    }
    assert!(!key.verifies(Algorithm::Es512, b"n", signature.as_ref()));
    for name in ["none", "None", "", "HS256", "HS512", "es256", "ES256K"] {
        assert_eq!(Algorithm::named(name), None, "{name}");
    }
}

#[test]
fn rsa_signatures_of_both_paddings_are_checked() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let key = PublicKey::from_spki(pair.public_key().as_der().unwrap().as_ref()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    for (encoding, own, other) in [
        (
            &aws_lc_rs::signature::RSA_PKCS1_SHA256,
            Algorithm::Rs256,
            Algorithm::Ps256,
        ),
        (
            &aws_lc_rs::signature::RSA_PSS_SHA512,
            Algorithm::Ps512,
            Algorithm::Rs512,
        ),
    ] {
        pair.sign(encoding, &aws_lc_rs::rand::SystemRandom::new(), b"m", &mut signature)
            .unwrap();
        assert!(key.verifies(own, b"m", &signature));
        assert!(!key.verifies(other, b"m", &signature));
    }
}

#[test]
fn keys_that_are_too_small_symmetric_or_broken_are_refused() {
    assert_eq!(jwk(r#"{"kty":"oct","k":"c2VjcmV0"}"#), Err(KeyError::Unsupported));
    assert_eq!(jwk(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#), Err(KeyError::RsaSize));
    assert_eq!(jwk(r#"{"kty":"RSA","e":"AQAB"}"#), Err(KeyError::Malformed));
    assert_eq!(
        jwk(r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#),
        Err(KeyError::Unsupported)
    );
    // Not on the curve.
    assert_eq!(
        jwk(r#"{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}"#),
        Err(KeyError::Malformed)
    );
    let long = "A".repeat(60);
    let json = format!(r#"{{"kty":"EC","crv":"P-256","x":"{long}","y":"{long}"}}"#);
    assert_eq!(jwk(&json), Err(KeyError::Malformed));
    assert_eq!(
        jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"AQ"}"#),
        Err(KeyError::Malformed)
    );
    assert_eq!(PublicKey::from_spki(b"no key"), Err(KeyError::Malformed));
}
