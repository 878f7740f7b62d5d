//! `/v2/`, and paths that are none.

use http::Method;
use wharf_test_support::{Options, Registry, image};

use crate::support::{with_accounts, with_htpasswd};

#[tokio::test]
async fn an_open_registry_greets_everybody() {
    let registry = Registry::open().await;
    for target in ["/v2/", "/v2"] {
        let answer = registry.get(target).send().await.expect(200);
        assert_eq!(answer.body, "{}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
    registry.head("/v2/").send().await.expect(200);
}

#[tokio::test]
async fn nobody_is_asked_for_a_token_of_the_built_in_service() {
    let registry = with_accounts().await;
    let answer = registry.get("/v2/").send().await.expect_error(401, "UNAUTHORIZED");
    let realm = r#"Bearer realm="https://registry.test/service/token",service="wharf""#;
    assert_eq!(answer.header("www-authenticate"), realm);
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
}

#[tokio::test]
async fn a_client_behind_an_ingress_that_hides_the_scheme_is_asked_for_a_password() {
    let registry = with_accounts().await;
    let answer = registry.get("/v2/").plain().send().await.expect(401);
    assert!(
        answer.header("www-authenticate").starts_with("Basic realm="),
        "{answer:?}"
    );
    let told = registry.get("/v2/").plain().header("x-forwarded-proto", "https");
    let challenge = told.send().await.expect(401);
    let challenge = challenge.header("www-authenticate");
    assert!(
        challenge.starts_with(r#"Bearer realm="https://registry.test/"#),
        "{challenge}"
    );
}

#[tokio::test]
async fn an_htpasswd_file_asks_for_a_password_with_its_realm() {
    let registry = with_htpasswd().await;
    let answer = registry.get("/v2/").send().await.expect_error(401, "UNAUTHORIZED");
    assert_eq!(answer.header("www-authenticate"), r#"Basic realm="Registry Realm""#);
    registry.get("/v2/").basic("alice", "secret").send().await.expect(200);
}

#[tokio::test]
async fn a_wrong_password_is_refused_everywhere_with_the_same_words() {
    for registry in [with_htpasswd().await, with_accounts().await] {
        for (name, password) in [("alice", "wrong"), ("nobody", "wrong"), ("", "")] {
            for target in ["/v2/", "/v2/a/tags/list", "/v2/A/manifests/x"] {
                let answer = registry
                    .get(target)
                    .basic(name, password)
                    .from("192.0.2.77")
                    .send()
                    .await;
                let answer = answer.expect_error(401, "UNAUTHORIZED");
                assert!(!answer.header("www-authenticate").is_empty());
            }
            registry.clock().advance(std::time::Duration::from_secs(3600));
        }
    }
}

#[tokio::test]
async fn somebody_who_guesses_is_slowed_and_told_for_how_long() {
    let registry = with_accounts().await;
    let guess = || registry.get("/v2/").basic("admin", "guess").from("192.0.2.66").send();
    let mut answer = guess().await;
    for _ in 0..20 {
        if answer.status != 401 {
            break;
        }
        answer = guess().await;
    }
    let answer = answer.expect_error(429, "TOOMANYREQUESTS");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!(wait >= 1);
    // the right password from elsewhere is not kept out by that
    let right = registry.get("/v2/").basic("admin", Registry::ADMIN_PASSWORD);
    right.send().await.expect(200);
    registry.clock().advance(std::time::Duration::from_secs(wait + 1));
    guess().await.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn credentials_that_are_nonsense_are_refused_and_not_taken_for_nobody() {
    let registry = with_accounts().await;
    registry.publish("library").await;
    for header in ["Basic !!!", "Bearer", "Bearer x.y.z", "Digest username=\"a\"", "Basic"] {
        let answer = registry.get("/v2/").header("authorization", header).send().await;
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
    }
    let answer = registry.get("/v2/").bearer("x.y.z").send().await.expect(401);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

#[tokio::test]
async fn a_method_that_is_not_possible_is_told_which_are() {
    let registry = Registry::open().await;
    registry.push("a", "v1", &image("a")).await;
    let digest = image("a").digest();
    let table = [
        (Method::POST, "/v2/".to_owned(), "GET, HEAD"),
        (Method::DELETE, "/v2/_catalog".to_owned(), "GET, HEAD"),
        (Method::PUT, "/v2/a/tags/list".to_owned(), "GET, HEAD"),
        (Method::POST, "/v2/a/manifests/v1".to_owned(), "GET, HEAD, PUT, DELETE"),
        (Method::PATCH, "/v2/a/manifests/v1".to_owned(), "GET, HEAD, PUT, DELETE"),
        (Method::PUT, format!("/v2/a/blobs/{digest}"), "GET, HEAD, DELETE"),
        (Method::GET, "/v2/a/blobs/uploads/".to_owned(), "POST"),
        (
            Method::POST,
            "/v2/a/blobs/uploads/x".to_owned(),
            "GET, HEAD, PATCH, PUT, DELETE",
        ),
        (Method::POST, format!("/v2/a/referrers/{digest}"), "GET, HEAD"),
        (
            Method::from_bytes(b"BREW").unwrap(),
            "/v2/a/tags/list".to_owned(),
            "GET, HEAD",
        ),
        (Method::OPTIONS, "/v2/".to_owned(), "GET, HEAD"),
    ];
    for (method, target, allowed) in table {
        let answer = registry.request(method.clone(), &target).send().await;
        let answer = answer.expect_error(405, "UNSUPPORTED");
        assert_eq!(answer.header("allow"), allowed, "{method} {target}");
    }
}

#[tokio::test]
async fn names_that_are_illegal_or_climb_are_refused_with_the_reason() {
    let registry = Registry::open().await;
    let long = "a".repeat(256);
    let names = [
        "..",
        "a/../b",
        "../a",
        "a/..",
        ".",
        "a/./b",
        "A",
        "a//b",
        "-a",
        "a-",
        "a/-b",
        "a..b",
        "a___b",
        "a%00b",
        "%2e%2e",
        "a%2f%2e%2e%2fb",
        "ä",
        "%c3%a4",
        "a b",
        "_catalog",
        "a/_manifests",
        "_layers",
        &long,
    ];
    for name in names {
        let name = name.replace(' ', "%20").replace('ä', "%C3%A4");
        for target in [
            format!("/v2/{name}/manifests/v1"),
            format!("/v2/{name}/tags/list"),
            format!("/v2/{name}/blobs/uploads/"),
        ] {
            let method = if target.ends_with('/') {
                Method::POST
            } else {
                Method::GET
            };
            let answer = registry.request(method, &target).send().await;
            let answer = answer.expect_error(400, "NAME_INVALID");
            assert!(answer.json()["errors"][0]["detail"]["name"].is_string(), "{answer:?}");
        }
    }
    let entries: Vec<_> = std::fs::read_dir(registry.root()).unwrap().collect();
    assert!(
        entries
            .iter()
            .flatten()
            .all(|entry| ["docker", "wharf"].contains(&entry.file_name().to_str().unwrap()))
    );
}

#[tokio::test]
async fn tags_and_digests_that_are_illegal_are_refused() {
    let registry = Registry::open().await;
    let long = "t".repeat(129);
    for tag in ["..", "-v1", ".hidden", "v 1", "v+1", "%2e%2e", &long] {
        let target = format!("/v2/a/manifests/{}", tag.replace(' ', "%20"));
        registry.get(&target).send().await.expect_error(400, "TAG_INVALID");
    }
    for digest in [
        "sha256:xyz",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:ABCDEF",
    ] {
        let target = format!("/v2/a/manifests/{digest}");
        registry.get(&target).send().await.expect_error(400, "DIGEST_INVALID");
        let target = format!("/v2/a/blobs/{digest}");
        registry.get(&target).send().await.expect_error(400, "DIGEST_INVALID");
        let target = format!("/v2/a/referrers/{digest}");
        registry.get(&target).send().await.expect_error(400, "DIGEST_INVALID");
    }
}

#[tokio::test]
async fn paths_outside_of_the_api_are_not_found_in_its_own_words() {
    let registry = Registry::open().await;
    for target in [
        "/v2/a",
        "/v2/a/b",
        "/v2/a/manifests",
        "/v2/a/other/x",
        "/v2/_catalog/",
        "/v2x",
        "/v2/a%zz/tags/list",
    ] {
        registry.get(target).send().await.expect_error(404, "UNSUPPORTED");
    }
}

#[tokio::test]
async fn repositories_may_be_called_like_endpoints() {
    let registry = Registry::open().await;
    for name in [
        "blobs",
        "tags",
        "manifests/tags",
        "a/blobs/uploads",
        "referrers/manifests",
        "uploads",
        "v2",
    ] {
        let image = image(name);
        registry.push(name, "list", &image).await;
        registry.expect_whole(name, "list", &image).await;
        assert_eq!(registry.tags(name).await, ["list"], "{name}");
    }
}

#[tokio::test]
async fn the_mirror_parameter_of_containerd_is_accepted_everywhere() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("library/a", "v1", &image).await;
    for target in [
        "/v2/?ns=docker.io".to_owned(),
        "/v2/library/a/manifests/v1?ns=docker.io".to_owned(),
        format!("/v2/library/a/blobs/{}?ns=docker.io", image.blobs[0].digest),
        "/v2/library/a/tags/list?ns=docker.io".to_owned(),
    ] {
        registry
            .get(&target)
            .header("oci-namespace", "docker.io")
            .send()
            .await
            .expect(200);
    }
    let missing = registry.get("/v2/library/b/manifests/v1?ns=docker.io").send().await;
    missing.expect_error(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_name_and_its_library_name_mean_each_other_when_one_is_stored() {
    let registry = Registry::open().await;
    let (short, long) = (image("short"), image("long"));
    registry.push("short", "v1", &short).await;
    registry.push("library/long", "v1", &long).await;
    registry.expect_whole("library/short", "v1", &short).await;
    registry.expect_whole("long", "v1", &long).await;
    assert_eq!(registry.tags("long").await, ["v1"]);
    // what is pushed under the other name lands in the same place
    registry.push("long", "v2", &short).await;
    assert_eq!(registry.tags("library/long").await, ["v1", "v2"]);
    let catalog = registry.get("/v2/_catalog").send().await.expect(200).json();
    assert_eq!(catalog["repositories"], serde_json::json!(["library/long", "short"]));
    // only one component has another name
    registry
        .get("/v2/library/a/short/tags/list")
        .send()
        .await
        .expect_error(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn where_both_are_stored_each_name_means_its_own() {
    let stopped = Registry::open().await.stop().await;
    for (name, tag) in [("twin", "one"), ("library/twin", "two")] {
        // only another registry makes such a pair
        let other = Registry::open().await;
        other.push(name, tag, &image(tag)).await;
        let other = other.stop().await;
        copy(&other.root().join("docker"), &stopped.root().join("docker"));
    }
    let registry = stopped.start().await;
    assert_eq!(registry.tags("twin").await, ["one"]);
    assert_eq!(registry.tags("library/twin").await, ["two"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn locations_follow_the_configured_host_the_forwarded_one_or_are_relative() {
    let start = "/v2/a/blobs/uploads/";
    let registry = Registry::open().await;
    let plain = registry.post(start).plain().send().await.expect(202);
    assert!(
        plain
            .header("location")
            .starts_with("http://registry.test/v2/a/blobs/uploads/")
    );
    let forwarded = registry.post(start).plain();
    let forwarded = forwarded
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "hub.test, inner");
    let forwarded = forwarded.send().await.expect(202);
    assert!(
        forwarded.header("location").starts_with("https://hub.test/v2/"),
        "{forwarded:?}"
    );
    let options = Options {
        host: Some("https://named.test".to_owned()),
        ..Options::default()
    };
    let named = Registry::with(options)
        .await
        .post(start)
        .plain()
        .send()
        .await
        .expect(202);
    assert!(
        named.header("location").starts_with("https://named.test/v2/"),
        "{named:?}"
    );
    let options = Options {
        relative_urls: true,
        ..Options::default()
    };
    let relative = Registry::with(options).await.post(start).send().await.expect(202);
    assert!(
        relative.header("location").starts_with("/v2/a/blobs/uploads/"),
        "{relative:?}"
    );
}
