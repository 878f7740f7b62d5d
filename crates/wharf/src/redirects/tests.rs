use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _, SignatureAlgorithm};

use super::{Chain, Rewrite, Step, of, rewritten};
use crate::config::{CloudFront, Config, load_str};

const PLACE: &str = "docker/registry/v2/blobs/sha256/ab/abcd/data";
const NOW: &str = "2026-11-21T22:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn chain(steps: Vec<Step>) -> Chain {
    Chain {
        steps,
        root: "images".to_owned(),
        clock: Arc::new(now),
    }
}

fn signer(folder: &Path, algorithm: &'static SignatureAlgorithm) -> (super::CloudFront, KeyPair) {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    let file = folder.join("key.pem");
    std::fs::write(&file, pair.serialize_pem()).unwrap();
    let settings = CloudFront {
        base_url: "https://d1.cloudfront.net/".to_owned(),
        private_key: file,
        key_pair_id: "K2JC".to_owned(),
        duration: std::time::Duration::from_secs(1200),
    };
    (super::CloudFront::new(&settings).unwrap(), pair)
}

/// What stands behind `name=`.
fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("{name} in {url}")).to_owned()
}

#[test]
fn cloudfront_urls_are_signed_so_that_the_key_of_the_pair_verifies_them() {
    let folder = tempfile::tempdir().unwrap();
    let algorithms: [(_, &dyn VerificationAlgorithm); 2] = [
        (&PKCS_RSA_SHA256, &RSA_PKCS1_2048_8192_SHA256),
        (&PKCS_ECDSA_P256_SHA256, &ECDSA_P256_SHA256_ASN1),
    ];
    for (algorithm, verifier) in algorithms {
        let (signer, pair) = signer(folder.path(), algorithm);
        let url = signer.url(&format!("images/{PLACE}"), now());
        assert!(
            url.starts_with(&format!("https://d1.cloudfront.net/images/{PLACE}?Expires=")),
            "{url}"
        );
        assert_eq!(parameter(&url, "Key-Pair-Id"), "K2JC");
        assert_eq!(parameter(&url, "Hash-Algorithm"), "SHA256");
        let expires = parameter(&url, "Expires");
        assert_eq!(expires.parse::<i64>().unwrap(), now().as_second() + 1200);
        let policy = format!(
            r#"{{"Statement":[{{"Resource":"https://d1.cloudfront.net/images/{PLACE}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#
        );
        let signature = parameter(&url, "Signature")
            .replace('-', "+")
            .replace('_', "=")
            .replace('~', "/");
        let signature = STANDARD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(verifier, pair.der_bytes());
        public.verify(policy.as_bytes(), &signature).unwrap();
    }
}

#[test]
fn a_key_that_is_none_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, "hunter2").unwrap();
    let yaml = format!(
        "version: 0.1\nstorage: {{s3: {{bucket: b, region: us-east-1}}}}\nmiddleware: {{storage: [{{name: cloudfront, \
         options: {{baseurl: d1, privatekey: {}, keypairid: K}}}}]}}\n",
        file.display()
    );
    let error = of(&config(&yaml), Arc::new(now)).unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("key.pem of the middleware cloudfront cannot be read"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

fn config(yaml: &str) -> Config {
    load_str(yaml, &[]).unwrap().config
}

#[test]
fn the_outermost_middleware_decides() {
    let redirect = |base: &str| Step::Redirect {
        base_url: base.to_owned(),
    };
    let host = |host: &str| {
        Step::Rewrite(Rewrite {
            scheme: None,
            host: Some(host.to_owned()),
            trim_path_prefix: None,
        })
    };
    let found = chain(vec![redirect("https://inner"), redirect("https://outer/x")]);
    let (url, outer) = found.first(PLACE).unwrap();
    assert_eq!(rewritten(url, outer), format!("https://outer/x/{PLACE}"));
    let found = chain(vec![host("never"), redirect("https://cdn"), host("edge:8443")]);
    let (url, outer) = found.first(PLACE).unwrap();
    assert_eq!(rewritten(url, outer), format!("https://edge:8443/{PLACE}"));
    assert!(chain(vec![host("edge")]).first(PLACE).is_none(), "the storage signs it");
}

#[test]
fn rewriting_changes_what_it_names_and_keeps_the_signature() {
    let rewrite = Rewrite {
        scheme: Some("https".to_owned()),
        host: Some("cdn.example.com".to_owned()),
        trim_path_prefix: Some("/bucket".to_owned()),
    };
    assert_eq!(
        rewrite.of("http://127.0.0.1:8333/bucket/docker/x?X-Amz-Signature=a%2Fb"),
        "https://cdn.example.com/docker/x?X-Amz-Signature=a%2Fb"
    );
    assert_eq!(rewrite.of("http://h/other/x"), "https://cdn.example.com/other/x");
    let nothing = Rewrite {
        scheme: None,
        host: None,
        trim_path_prefix: None,
    };
    assert_eq!(nothing.of("http://h:1/x?y"), "http://h:1/x?y");
}

#[test]
fn clients_are_sent_elsewhere_only_where_that_is_possible_and_wanted() {
    let is_sent = |yaml: &str| of(&config(yaml), Arc::new(now)).unwrap().is_some();
    let bucket = "version: 0.1\nstorage:\n  s3: {bucket: b, region: us-east-1}\n";
    let folder = "version: 0.1\nstorage:\n  filesystem: {rootdirectory: /data}\n";
    let middleware = "middleware: {storage: [{name: redirect, options: {baseurl: 'https://cdn'}}]}\n";
    assert!(is_sent(bucket));
    assert!(!is_sent(&format!("{bucket}  redirect: {{disable: true}}\n")));
    assert!(!is_sent(&format!(
        "{bucket}  redirect: {{disable: true}}\n{middleware}"
    )));
    assert!(!is_sent(folder));
    assert!(
        is_sent(&format!("{folder}{middleware}")),
        "nginx may serve the same folder"
    );
}
