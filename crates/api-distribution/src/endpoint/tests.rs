use super::*;
use proptest::prelude::{any, proptest};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[test]
fn every_endpoint_is_recognised() {
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    let cases = [
        ("/v2".to_owned(), Endpoint::Base),
        ("/v2/".to_owned(), Endpoint::Base),
        ("/v2/_catalog".to_owned(), Endpoint::Catalog),
        ("/v2/a/tags/list".to_owned(), Endpoint::Tags(name("a"))),
        (
            "/v2/a/b/manifests/latest".to_owned(),
            Endpoint::Manifest(name("a/b"), "latest".parse().unwrap()),
        ),
        (
            format!("/v2/a/manifests/sha256:{HEX}"),
            Endpoint::Manifest(name("a"), Reference::Digest(digest)),
        ),
        (
            format!("/v2/a/manifests/sha256%3A{HEX}"),
            Endpoint::Manifest(name("a"), Reference::Digest(digest)),
        ),
        (format!("/v2/a/blobs/sha256:{HEX}"), Endpoint::Blob(name("a"), digest)),
        ("/v2/a/blobs/uploads/".to_owned(), Endpoint::Uploads(name("a"))),
        ("/v2/a/blobs/uploads".to_owned(), Endpoint::Uploads(name("a"))),
        (
            "/v2/a/blobs/uploads/0192-x".to_owned(),
            Endpoint::Upload(name("a"), "0192-x".to_owned()),
        ),
        (
            format!("/v2/a/referrers/sha256:{HEX}"),
            Endpoint::Referrers(name("a"), digest),
        ),
    ];
    for (path, endpoint) in cases {
        assert_eq!(Endpoint::parse(&path), Ok(endpoint), "{path}");
    }
}

#[test]
fn repositories_may_be_called_like_parts_of_the_api() {
    let cases = [
        ("/v2/tags/list/tags/list", Endpoint::Tags(name("tags/list"))),
        (
            "/v2/blobs/uploads/blobs/uploads/",
            Endpoint::Uploads(name("blobs/uploads")),
        ),
        (
            "/v2/blobs/blobs/uploads/x",
            Endpoint::Upload(name("blobs"), "x".to_owned()),
        ),
        (
            "/v2/manifests/manifests/manifests",
            Endpoint::Manifest(name("manifests"), "manifests".parse().unwrap()),
        ),
        (
            "/v2/a/b/c/d/e/f/g/h/manifests/1",
            Endpoint::Manifest(name("a/b/c/d/e/f/g/h"), "1".parse().unwrap()),
        ),
        (
            "/v2/blobs/uploads/manifests/list",
            Endpoint::Manifest(name("blobs/uploads"), "list".parse().unwrap()),
        ),
    ];
    for (path, endpoint) in cases {
        assert_eq!(Endpoint::parse(path), Ok(endpoint), "{path}");
    }
}

#[test]
fn malformed_parts_are_named() {
    let error = |path: &str| Endpoint::parse(path).unwrap_err();
    assert!(matches!(error("/v2/A/manifests/x"), EndpointError::Name { .. }));
    assert!(matches!(error("/v2/a/../b/manifests/x"), EndpointError::Name { .. }));
    assert!(matches!(error("/v2/%2e%2e/manifests/x"), EndpointError::Name { .. }));
    assert!(matches!(
        error("/v2/a/manifests/%2e%2e"),
        EndpointError::Reference { .. }
    ));
    assert!(matches!(
        error("/v2/a/manifests/sha256:zz"),
        EndpointError::Reference { .. }
    ));
    assert!(matches!(error("/v2/a/blobs/latest"), EndpointError::Digest { .. }));
    assert!(matches!(error("/v2//manifests/x"), EndpointError::Name { .. }));
    for path in [
        "/v3/",
        "/v2x",
        "/v2/a",
        "/v2/a/b/c",
        "/v2/%zz/manifests/x",
        "/v2/a/uploads/x",
        "",
        "/",
        "/v2/a/manifests",
    ] {
        assert_eq!(error(path), EndpointError::Unknown, "{path}");
    }
}

proptest! {
    #[test]
    fn no_path_makes_the_parser_panic(path in any::<String>()) {
        let _ = Endpoint::parse(&path);
        let _ = Endpoint::parse(&format!("/v2/{path}"));
    }
}
