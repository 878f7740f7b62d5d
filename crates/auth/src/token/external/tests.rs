use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SigningKey,
};
use serde_json::{Value, json};

use super::*;

/// 2027-01-15.
const NOW: i64 = 1_800_000_000;

struct Key {
    pair: KeyPair,
    public: PublicKey,
}

fn new_key() -> Key {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let public = PublicKey::from_spki(&pair.subject_public_key_info()).unwrap();
    Key { pair, public }
}

fn params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    params.not_before = rcgen::date_time_ymd(2026, 12, 1);
    params.not_after = rcgen::date_time_ymd(2027, 3, 1);
    params
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(params: CertificateParams) -> Issuer {
    CertifiedIssuer::self_signed(params, new_key().pair).unwrap()
}

fn intermediate(params: CertificateParams, above: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(params, new_key().pair, above).unwrap()
}

struct Desk {
    folder: tempfile::TempDir,
    config: ExternalConfig,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            config: ExternalConfig {
                realm: "https://auth.example.com/token".into(),
                service: "registry".into(),
                issuer: "issuer".into(),
                ..ExternalConfig::default()
            },
        }
    }

    fn bundle(mut self, pem: &str) -> Self {
        let path = self.folder.path().join("bundle.pem");
        fs::write(&path, pem).unwrap();
        self.config.rootcertbundle = Some(path);
        self
    }

    fn jwks(mut self, keys: &[Value]) -> Self {
        let path = self.folder.path().join("jwks.json");
        fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        self.config.jwks = Some(path);
        self
    }

    fn open(&self) -> ExternalIssuer {
        ExternalIssuer::open(&self.config).unwrap()
    }

    fn error(&self) -> String {
        ExternalIssuer::open(&self.config).unwrap_err().to_string()
    }
}

fn claims() -> Value {
    json!({
        "iss": "issuer", "sub": "alice", "aud": "registry", "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "1",
        "access": [{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }],
    })
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Signs with `pair`, whose DER signature becomes the fixed form of RFC 7518.
fn token_of(pair: &KeyPair, header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let der = pair.sign(signed.as_bytes()).unwrap();
    let (r_length, rest) = (usize::from(der[3]), &der[4..]);
    let (r, s) = (&rest[..r_length], &rest[r_length + 2..]);
    let mut fixed = [0; 64];
    for (place, number) in [(0, r), (32, s)] {
        let number = if number.len() == 33 { &number[1..] } else { number };
        fixed[place + 32 - number.len()..place + 32].copy_from_slice(number);
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(fixed))
}

fn with_kid(key: &Key, kid: &str) -> String {
    token_of(
        &key.pair,
        &json!({ "alg": "ES256", "typ": "JWT", "kid": kid }),
        &claims(),
    )
}

fn verify(issuer: &ExternalIssuer, token: &str) -> Result<Principal, TokenError> {
    let now = Timestamp::from_second(NOW).unwrap();
    issuer.verify(token, now).map(|(principal, _)| principal)
}

fn x5c(certificates: &[&[u8]]) -> Value {
    let list: Vec<_> = certificates.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "alg": "ES256", "x5c": list })
}

static TRUSTED: LazyLock<Key> = LazyLock::new(new_key);

fn self_signed(key: &Key) -> rcgen::Certificate {
    params("signer", false).self_signed(&key.pair).unwrap()
}

#[test]
fn both_kinds_of_key_id_are_accepted_for_a_certificate_of_the_bundle() {
    let issuer = Desk::new().bundle(&self_signed(&TRUSTED).pem()).open();
    for kid in [TRUSTED.public.libtrust_id(), TRUSTED.public.thumbprint().to_owned()] {
        let principal = verify(&issuer, &with_kid(&TRUSTED, &kid)).unwrap();
        assert_eq!(principal.identity, Identity::External("alice".into()));
        let scopes: Vec<_> = principal.scopes.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(scopes, ["repository:team/app:pull,push"]);
    }
}

#[test]
fn a_key_set_is_known_by_its_own_ids_and_by_thumbprint() {
    let mut jwk = TRUSTED.public.to_jwk("ES256");
    jwk["kid"] = "mine".into();
    let issuer = Desk::new()
        .jwks(&[json!({"kty":"oct","k":"c2VjcmV0","kid":"hmac"}), jwk])
        .open();
    for kid in ["mine", TRUSTED.public.thumbprint()] {
        verify(&issuer, &with_kid(&TRUSTED, kid)).unwrap();
    }
    assert_eq!(
        verify(&issuer, &with_kid(&TRUSTED, "hmac")),
        Err(TokenError::UntrustedKey)
    );
}

#[test]
fn a_wrong_or_missing_key_id_is_not_trusted() {
    let issuer = Desk::new().bundle(&self_signed(&TRUSTED).pem()).open();
    for kid in ["", "../../dev/null", "' or 1=1", "mine"] {
        assert_eq!(verify(&issuer, &with_kid(&TRUSTED, kid)), Err(TokenError::UntrustedKey));
    }
    let none = token_of(&TRUSTED.pair, &json!({ "alg": "ES256" }), &claims());
    assert_eq!(verify(&issuer, &none), Err(TokenError::UntrustedKey));
    let stranger = new_key();
    let theirs = with_kid(&stranger, TRUSTED.public.thumbprint());
    assert_eq!(
        verify(&issuer, &theirs),
        Err(TokenError::Signature),
        "our name, their key"
    );
}

#[test]
fn unsigned_and_symmetric_tokens_are_refused() {
    let pem = self_signed(&TRUSTED).pem();
    let issuer = Desk::new().bundle(&pem).open();
    let kid = TRUSTED.public.thumbprint();
    for alg in ["none", "None", "NONE", ""] {
        let token = unsigned(&json!({ "alg": alg, "kid": kid }), &claims());
        assert_eq!(verify(&issuer, &format!("{token}.")), Err(TokenError::Algorithm));
    }
    let public = TRUSTED.pair.subject_public_key_info();
    for secret in [pem.as_bytes(), TRUSTED.pair.public_key_pem().as_bytes(), &public] {
        let token = unsigned(&json!({ "alg": "HS256", "kid": kid }), &claims());
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), token.as_bytes());
        let token = format!("{token}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(verify(&issuer, &token), Err(TokenError::Algorithm));
    }
    let other = token_of(&TRUSTED.pair, &json!({ "alg": "RS256", "kid": kid }), &claims());
    assert_eq!(verify(&issuer, &other), Err(TokenError::Signature));
}

#[test]
fn changed_claims_are_noticed() {
    let issuer = Desk::new().bundle(&self_signed(&TRUSTED).pem()).open();
    let token = with_kid(&TRUSTED, TRUSTED.public.thumbprint());
    let mut wider = claims();
    wider["access"][0]["actions"] = json!(["*"]);
    let parts: Vec<_> = token.split('.').collect();
    let forged = format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(wider.to_string()),
        parts[2]
    );
    assert_eq!(verify(&issuer, &forged), Err(TokenError::Signature));
    for cut in ["", "AAAA"] {
        let forged = format!("{}.{}.{cut}", parts[0], parts[1]);
        assert_eq!(verify(&issuer, &forged), Err(TokenError::Signature));
    }
}

#[test]
fn who_made_it_for_whom_and_when_counts() {
    let issuer = Desk::new().bundle(&self_signed(&TRUSTED).pem()).open();
    let header = json!({ "alg": "ES256", "kid": TRUSTED.public.thumbprint() });
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        verify(&issuer, &token_of(&TRUSTED.pair, &header, &claims)).err()
    };
    assert_eq!(with("iss", json!("someone")), Some(TokenError::Issuer));
    assert_eq!(with("aud", json!("other")), Some(TokenError::Audience));
    assert_eq!(with("aud", json!(["other", "registry"])), None);
    assert_eq!(with("aud", json!([])), Some(TokenError::Audience));
    assert_eq!(with("exp", json!(NOW - 61)), Some(TokenError::Expired));
    assert_eq!(with("exp", json!(NOW - 59)), None);
    assert_eq!(with("exp", Value::Null), Some(TokenError::Expired));
    assert_eq!(with("nbf", json!(NOW + 61)), Some(TokenError::NotYet));
    assert_eq!(with("access", json!("all")), Some(TokenError::Malformed));
}

/// CVE-2025-24976: a key in the header was believed when its `kid` was known.
#[test]
fn a_key_in_the_header_counts_only_when_it_is_a_trusted_one() {
    let certificate = self_signed(&TRUSTED);
    let issuer = Desk::new().bundle(&certificate.pem()).open();
    let header = |jwk: Value| json!({ "alg": "ES256", "jwk": jwk });
    let own = token_of(&TRUSTED.pair, &header(TRUSTED.public.to_jwk("ES256")), &claims());
    verify(&issuer, &own).unwrap();

    let stranger = new_key();
    let mut jwk = stranger.public.to_jwk("ES256");
    for kid in [TRUSTED.public.thumbprint().to_owned(), TRUSTED.public.libtrust_id()] {
        jwk["kid"] = kid.clone().into();
        let mut header = header(jwk.clone());
        header["kid"] = kid.into();
        let forged = token_of(&stranger.pair, &header, &claims());
        assert_eq!(verify(&issuer, &forged), Err(TokenError::UntrustedKey));
    }
    jwk["x5c"] = json!([STANDARD.encode(certificate.der())]);
    let forged = token_of(&stranger.pair, &header(jwk), &claims());
    assert_eq!(
        verify(&issuer, &forged),
        Err(TokenError::UntrustedKey),
        "their key, our certificate"
    );
    let symmetric = json!({ "alg": "ES256", "jwk": { "kty": "oct", "k": "AA" } });
    let forged = token_of(&stranger.pair, &symmetric, &claims());
    assert_eq!(verify(&issuer, &forged), Err(TokenError::UntrustedKey));
}

#[test]
fn certificates_in_the_header_are_followed_to_the_bundle() {
    let root = authority(params("root", true));
    let middle = intermediate(params("middle", true), &root);
    let leaf = params("leaf", false).signed_by(&TRUSTED.pair, &middle).unwrap();
    let issuer = Desk::new().bundle(&root.pem()).open();
    let chain = x5c(&[leaf.der(), middle.der()]);
    verify(&issuer, &token_of(&TRUSTED.pair, &chain, &claims())).unwrap();
    let with_root = x5c(&[leaf.der(), middle.der(), root.der()]);
    verify(&issuer, &token_of(&TRUSTED.pair, &with_root, &claims())).unwrap();

    let incomplete = token_of(&TRUSTED.pair, &x5c(&[leaf.der()]), &claims());
    assert!(matches!(
        verify(&issuer, &incomplete),
        Err(TokenError::UntrustedCertificate(_))
    ));
    let stranger = new_key();
    let stolen = token_of(&stranger.pair, &chain, &claims());
    assert_eq!(verify(&issuer, &stolen), Err(TokenError::Signature));
}

#[test]
fn a_self_signed_certificate_of_the_bundle_may_be_sent_along() {
    let certificate = self_signed(&TRUSTED);
    let issuer = Desk::new().bundle(&certificate.pem()).open();
    verify(&issuer, &token_of(&TRUSTED.pair, &x5c(&[certificate.der()]), &claims())).unwrap();
}

#[test]
fn chains_that_lead_nowhere_are_refused() {
    let root = authority(params("root", true));
    let issuer = Desk::new().bundle(&root.pem()).open();
    let refused = |certificates: &[&[u8]]| {
        let token = token_of(&TRUSTED.pair, &x5c(certificates), &claims());
        let result = verify(&issuer, &token);
        assert!(matches!(result, Err(TokenError::UntrustedCertificate(_))), "{result:?}");
    };
    // A chain of one's own, with the same names.
    let fake = authority(params("root", true));
    let leaf = params("leaf", false).signed_by(&TRUSTED.pair, &fake).unwrap();
    refused(&[leaf.der(), fake.der()]);
    refused(&[leaf.der(), root.der()]);
    refused(&[self_signed(&TRUSTED).der()]);
    // A leaf that plays authority.
    let no_authority = intermediate(params("leaf", false), &root);
    let leaf = params("below", false).signed_by(&TRUSTED.pair, &no_authority).unwrap();
    refused(&[leaf.der(), no_authority.der()]);
    // An authority that may not have others below it.
    let mut short = params("short", true);
    short.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = intermediate(short, &root);
    let below = intermediate(params("below", true), &short);
    let leaf = params("leaf", false).signed_by(&TRUSTED.pair, &below).unwrap();
    refused(&[leaf.der(), below.der(), short.der()]);
    // Out of time.
    let mut expired = params("expired", false);
    expired.not_after = rcgen::date_time_ymd(2027, 1, 10);
    refused(&[expired.signed_by(&TRUSTED.pair, &root).unwrap().der()]);
    // Too long, empty, unreadable.
    let leaf = params("leaf", false).signed_by(&TRUSTED.pair, &root).unwrap();
    refused(&[leaf.der().as_ref(); 11]);
    refused(&[b"no certificate"]);
    verify(&issuer, &token_of(&TRUSTED.pair, &x5c(&[leaf.der()]), &claims())).unwrap();
}

#[test]
fn certificates_need_a_bundle() {
    let issuer = Desk::new().jwks(&[TRUSTED.public.to_jwk("ES256")]).open();
    let token = token_of(&TRUSTED.pair, &x5c(&[self_signed(&TRUSTED).der()]), &claims());
    assert_eq!(verify(&issuer, &token), Err(TokenError::UntrustedKey));
}

#[test]
fn only_the_configured_algorithms_are_accepted() {
    let mut desk = Desk::new().jwks(&[TRUSTED.public.to_jwk("ES256")]);
    desk.config.signing_algorithms = vec!["RS256".into(), "HS256".into()];
    let token = with_kid(&TRUSTED, TRUSTED.public.thumbprint());
    assert_eq!(verify(&desk.open(), &token), Err(TokenError::Algorithm));
    desk.config.signing_algorithms.push("ES256".into());
    verify(&desk.open(), &token).unwrap();
    desk.config.signing_algorithms.push("ES-256".into());
    assert!(desk.error().contains("\"ES-256\""));
}

#[test]
fn broken_key_files_are_named_and_not_shown() {
    assert_eq!(Desk::new().error(), "auth.token needs rootcertbundle or jwks");
    let mut desk = Desk::new();
    desk.config.jwks = Some("/nonexistent/jwks".into());
    assert!(
        desk.error()
            .starts_with("cannot read auth.token.jwks /nonexistent/jwks")
    );
    assert!(Desk::new().bundle("planted").error().contains("holds no certificate"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Desk::new().bundle(broken).error().contains("cannot be read (block 1)"));
    let only_symmetric = Desk::new().jwks(&[json!({ "kty": "oct", "k": "planted" })]);
    assert!(
        only_symmetric
            .error()
            .ends_with("holds no key that can check signatures")
    );
    let desk = Desk::new().jwks(&[]);
    fs::write(desk.config.jwks.as_ref().unwrap(), r#"{"keys": "planted"}"#).unwrap();
    assert!(!desk.error().contains("planted"), "{}", desk.error());
}
