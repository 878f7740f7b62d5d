use std::time::Duration;

use http_body_util::BodyExt as _;
use wharf_oci::{Digest, ManifestError, Reference};

use super::*;

fn name() -> RepositoryName {
    "a/b".parse().unwrap()
}

fn digest() -> Digest {
    format!("sha256:{}", "0".repeat(64)).parse().unwrap()
}

/// One of each kind of failure of rights, with its status and code.
fn of_rights() -> Vec<(Error, u16, &'static str)> {
    let repository = Some(name());
    vec![
        (
            Error::NeedsCredentials {
                action: Action::Push,
                repository: repository.clone(),
            },
            401,
            "UNAUTHORIZED",
        ),
        (
            Error::NeedsCredentials {
                action: Action::List,
                repository: None,
            },
            401,
            "UNAUTHORIZED",
        ),
        (
            Error::Denied {
                action: Action::Delete,
                repository,
            },
            403,
            "DENIED",
        ),
        (
            Error::Denied {
                action: Action::List,
                repository: None,
            },
            403,
            "DENIED",
        ),
    ]
}

/// The same for repositories and what is in them.
fn of_content() -> Vec<(Error, u16, &'static str)> {
    vec![
        (Error::NameUnknown(name()), 404, "NAME_UNKNOWN"),
        (
            Error::ManifestUnknown {
                repository: name(),
                reference: Reference::Digest(digest()),
            },
            404,
            "MANIFEST_UNKNOWN",
        ),
        (ManifestError::Schema1.into(), 400, "MANIFEST_INVALID"),
        (Error::ManifestTooLarge { limit: 5 }, 413, "MANIFEST_INVALID"),
        (
            Error::ManifestBlobUnknown {
                repository: name(),
                missing: vec![digest(), digest()],
            },
            400,
            "MANIFEST_BLOB_UNKNOWN",
        ),
        (
            Error::ManifestUrlRefused {
                digest: digest(),
                url: "https://x/".to_owned(),
            },
            400,
            "MANIFEST_INVALID",
        ),
        (
            Error::BlobUnknown {
                repository: name(),
                digest: digest(),
            },
            404,
            "BLOB_UNKNOWN",
        ),
    ]
}

/// The same for uploads and for the registry as a whole.
fn of_uploads_and_faults() -> Vec<(Error, u16, &'static str)> {
    vec![
        (Error::UploadUnknown("x".to_owned()), 404, "BLOB_UPLOAD_UNKNOWN"),
        (Error::UploadSuperseded("x".to_owned()), 400, "BLOB_UPLOAD_INVALID"),
        (Error::BodyIncomplete("x".to_owned()), 400, "BLOB_UPLOAD_INVALID"),
        (
            Error::RangeInvalid {
                given: 1,
                offset: 2,
                upload: "x".to_owned(),
            },
            416,
            "RANGE_INVALID",
        ),
        (
            Error::DigestMismatch {
                given: Box::new(digest()),
                computed: Box::new(digest()),
            },
            400,
            "DIGEST_INVALID",
        ),
        (
            Error::SizeMismatch {
                announced: 1,
                actual: 2,
            },
            400,
            "SIZE_INVALID",
        ),
        (Error::Unsupported("switched off"), 405, "UNSUPPORTED"),
        (
            Error::Unavailable {
                reason: "later".to_owned(),
                retry_after: Duration::from_millis(10),
            },
            503,
            "UNAVAILABLE",
        ),
        (Error::NoSpace, 507, "UNAVAILABLE"),
    ]
}

async fn answer(failure: Failure) -> (Response<()>, Value) {
    let (parts, body) = failure.into_response().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn every_failure_has_its_status_its_code_and_the_standards_shape() {
    let all = [of_rights(), of_content(), of_uploads_and_faults()];
    for (error, status, code) in all.into_iter().flatten() {
        let shown = format!("{error:?}");
        let (answer, body) = answer(error.into()).await;
        assert_eq!(answer.status(), status, "{shown}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json", "{shown}");
        let entries = body["errors"].as_array().expect("a list");
        assert!(!entries.is_empty(), "{shown}");
        for entry in entries {
            assert_eq!(entry["code"], code, "{shown}");
            let message = entry["message"].as_str().expect("a text");
            assert!(!message.is_empty() && !message.ends_with('.'), "{shown}: {message}");
            let members = entry.as_object().expect("an object").keys();
            assert!(
                members
                    .clone()
                    .all(|key| ["code", "message", "detail"].contains(&key.as_str())),
                "{shown}"
            );
        }
        assert_eq!(
            answer.headers().contains_key(header::RETRY_AFTER),
            status == 503,
            "{shown}"
        );
    }
}

#[tokio::test]
async fn paths_that_name_nothing_are_refused_with_what_is_wrong() {
    let table = [
        ("/v2/x/y", 404, "UNSUPPORTED", None),
        ("/v2/A/tags/list", 400, "NAME_INVALID", Some("name")),
        ("/v2/a/manifests/-x", 400, "TAG_INVALID", Some("tag")),
        ("/v2/a/manifests/sha256:x", 400, "DIGEST_INVALID", Some("digest")),
        ("/v2/a/blobs/x", 400, "DIGEST_INVALID", Some("digest")),
    ];
    for (path, status, code, detail) in table {
        let error = crate::Endpoint::parse(path).unwrap_err();
        let (answer, body) = answer(error.into()).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(body["errors"][0]["code"], code, "{path}");
        let given = &body["errors"][0]["detail"];
        assert!(detail.is_none_or(|member| given[member].is_string()), "{path} {given}");
    }
}
