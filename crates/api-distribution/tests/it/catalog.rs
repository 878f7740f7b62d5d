//! `/v2/_catalog`

use serde_json::json;
use wharf_test_support::{Options, Registry, Stopped, image};

use crate::support::with_accounts;

async fn with_repositories(names: &[&str]) -> Registry {
    let registry = Registry::open().await;
    for name in names {
        registry.push(name, "v1", &image("a")).await;
    }
    registry
}

#[tokio::test]
async fn every_repository_with_content_is_listed_in_order() {
    let registry = with_repositories(&["b", "a/z", "a", "a-b", "c/d/e"]).await;
    registry.push_blob("only/a/blob", &image("a").blobs[0]).await;
    let answer = registry.get("/v2/_catalog").send().await.expect(200);
    assert_eq!(
        answer.json(),
        json!({"repositories": ["a", "a-b", "a/z", "b", "c/d/e"]})
    );
    assert!(answer.header("link").is_empty());
}

#[tokio::test]
async fn an_empty_registry_has_an_empty_list() {
    let answer = Registry::open().await.get("/v2/_catalog").send().await.expect(200);
    assert_eq!(answer.body, r#"{"repositories":[]}"#);
}

#[tokio::test]
async fn pages_of_every_size_cover_every_repository_once() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let registry = with_repositories(&names).await;
    for n in [1, 2, 3, 6, 7, 8] {
        let (mut seen, mut target) = (Vec::new(), Some(format!("/v2/_catalog?n={n}")));
        while let Some(page) = target {
            let answer = registry.get(&page).send().await.expect(200);
            let list = answer.json()["repositories"].as_array().unwrap().clone();
            assert!(list.len() <= n);
            seen.extend(list.iter().map(|name| name.as_str().unwrap().to_owned()));
            let link = answer.header("link");
            target = (!link.is_empty()).then(|| {
                assert!(
                    link.contains(&format!("n={n}")) && link.ends_with(r#"; rel="next""#),
                    "{link}"
                );
                link.trim_start_matches('<').split('>').next().unwrap().to_owned()
            });
        }
        assert_eq!(seen, names, "n={n}");
    }
    let answer = registry.get("/v2/_catalog?n=2&last=bb").send().await.expect(200);
    assert_eq!(answer.json()["repositories"], json!(["c", "d"]));
}

#[tokio::test]
async fn a_page_larger_than_the_configuration_allows_or_no_number_is_refused() {
    let mut stopped = Stopped::new(Options::default());
    stopped.options().pages.catalog = 10;
    let registry = stopped.start().await;
    registry.get("/v2/_catalog?n=10").send().await.expect(200);
    for n in ["11", "-1", "x"] {
        let answer = registry.get(&format!("/v2/_catalog?n={n}")).send().await;
        answer.expect_error(400, "PAGINATION_NUMBER_INVALID");
    }
}

#[tokio::test]
async fn everybody_sees_what_they_may_pull() {
    let registry = with_accounts().await;
    for name in ["alice/app", "secret/app", "open/app"] {
        registry.push(name, "v1", &image("a")).await;
    }
    registry.publish("open").await;
    let registry = registry.restart().await;
    let list = async |name: &str, password: &str, query: &str| {
        let get = registry.get(&format!("/v2/_catalog{query}")).basic(name, password);
        get.send().await.expect(200).json()["repositories"].clone()
    };
    let admin = list("admin", Registry::ADMIN_PASSWORD, "").await;
    assert_eq!(admin, json!(["alice/app", "open/app", "secret/app"]));
    let alice = list("alice", Registry::ALICE_PASSWORD, "").await;
    assert_eq!(alice, json!(["alice/app", "open/app"]));
    let second = list("alice", Registry::ALICE_PASSWORD, "?n=1&last=alice/app").await;
    assert_eq!(second, json!(["open/app"]));
    let nobody = registry
        .get("/v2/_catalog")
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    let challenge = nobody.header("www-authenticate");
    assert!(challenge.contains(r#"scope="registry:catalog:*""#), "{challenge}");
}

#[tokio::test]
async fn a_token_for_the_catalog_lists_what_its_owner_may_pull() {
    let registry = with_accounts().await;
    registry.push("alice/app", "v1", &image("a")).await;
    registry.push("secret/app", "v1", &image("a")).await;
    let token = registry
        .token("alice", Registry::ALICE_PASSWORD, &["registry:catalog:*"])
        .await;
    let answer = registry.get("/v2/_catalog").bearer(&token).send().await.expect(200);
    assert_eq!(answer.json()["repositories"], json!(["alice/app"]));
    let other = registry
        .token("alice", Registry::ALICE_PASSWORD, &["repository:alice/app:pull"])
        .await;
    let answer = registry
        .get("/v2/_catalog")
        .bearer(&other)
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    assert!(
        answer
            .header("www-authenticate")
            .contains(r#"error="insufficient_scope""#)
    );
}
