//! `/v2/<name>/tags/list`

use serde_json::json;
use wharf_test_support::{Options, Registry, Stopped, image};

/// A repository with these tags, all on one manifest.
async fn with_tags(tags: &[String]) -> Registry {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a/b", "first", &image).await;
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{}?{}", image.digest(), query.join("&"));
    registry.push_manifest("a/b", &reference, &image.manifest).await;
    registry.delete("/v2/a/b/manifests/first").send().await.expect(202);
    registry
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("v{number:03}")).collect()
}

/// The target of a `Link` with `rel="next"`.
fn next(link: &str) -> String {
    let (target, rest) = link
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a link");
    assert_eq!(rest, r#"; rel="next""#);
    target
        .strip_prefix("https://registry.test")
        .unwrap_or(target)
        .to_owned()
}

#[tokio::test]
async fn all_tags_come_in_ascii_order_when_no_page_is_asked_for() {
    let tags = ["Z", "_a", "a", "a-1", "a.1", "b", "1", "10", "2"].map(str::to_owned);
    let registry = with_tags(&tags).await;
    let answer = registry.get("/v2/a/b/tags/list").send().await.expect(200);
    let mut sorted = tags.to_vec();
    sorted.sort();
    assert_eq!(answer.json(), json!({"name": "a/b", "tags": sorted}));
    assert!(answer.header("link").is_empty());
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn pages_of_every_size_cover_every_tag_once() {
    let tags = numbered(25);
    let registry = with_tags(&tags).await;
    for n in [1, 2, 7, 24, 25, 26, 1000] {
        let (mut seen, mut target) = (Vec::new(), Some(format!("/v2/a/b/tags/list?n={n}")));
        while let Some(page) = target {
            let answer = registry.get(&page).send().await.expect(200);
            let list = answer.json()["tags"].as_array().unwrap().clone();
            assert!(list.len() <= n && !list.is_empty(), "n={n} {page}");
            seen.extend(list.iter().map(|tag| tag.as_str().unwrap().to_owned()));
            let link = answer.header("link");
            assert!(link.is_empty() || link.contains(&format!("n={n}")), "{link}");
            target = (!link.is_empty()).then(|| next(link));
        }
        assert_eq!(seen, tags, "n={n}");
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_a_tag_that_is_gone_or_never_was() {
    let registry = with_tags(&numbered(5)).await;
    registry.delete("/v2/a/b/manifests/v001").send().await.expect(202);
    for (last, expected) in [
        ("v001", vec!["v002", "v003", "v004"]),
        ("v0025", vec!["v003", "v004"]),
        ("zzz", vec![]),
    ] {
        let answer = registry
            .get(&format!("/v2/a/b/tags/list?last={last}"))
            .send()
            .await
            .expect(200);
        assert_eq!(answer.json()["tags"], json!(expected), "{last}");
        let answer = registry
            .get(&format!("/v2/a/b/tags/list?n=100&last={last}"))
            .send()
            .await
            .expect(200);
        assert_eq!(answer.json()["tags"], json!(expected), "{last}");
        assert!(answer.header("link").is_empty());
    }
}

#[tokio::test]
async fn a_page_of_nothing_is_an_empty_list_and_one_that_is_no_number_is_refused() {
    let registry = with_tags(&numbered(3)).await;
    let answer = registry.get("/v2/a/b/tags/list?n=0").send().await.expect(200);
    assert_eq!(answer.json()["tags"], json!([]));
    for n in ["-1", "x", "1.5"] {
        let answer = registry.get(&format!("/v2/a/b/tags/list?n={n}")).send().await;
        answer.expect_error(400, "PAGINATION_NUMBER_INVALID");
    }
}

#[tokio::test]
async fn a_larger_page_than_allowed_is_cut_and_goes_on() {
    let mut stopped = Stopped::new(Options::default());
    stopped.options().pages.tags = 10;
    let registry = stopped.start().await;
    let image = image("a");
    registry.push("a/b", "v000", &image).await;
    let query: Vec<String> = numbered(15).iter().map(|tag| format!("tag={tag}")).collect();
    registry
        .push_manifest(
            "a/b",
            &format!("{}?{}", image.digest(), query.join("&")),
            &image.manifest,
        )
        .await;
    let answer = registry.get("/v2/a/b/tags/list?n=5000").send().await.expect(200);
    assert_eq!(answer.json()["tags"].as_array().unwrap().len(), 10);
    let rest = registry.get(&next(answer.header("link"))).send().await.expect(200);
    assert_eq!(rest.json()["tags"], json!(["v010", "v011", "v012", "v013", "v014"]));
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list_and_an_unknown_one_has_none() {
    let registry = with_tags(&[]).await;
    let answer = registry.get("/v2/a/b/tags/list").send().await.expect(200);
    assert_eq!(answer.body, r#"{"name":"a/b","tags":[]}"#);
    let answer = registry
        .get("/v2/nowhere/tags/list")
        .send()
        .await
        .expect_error(404, "NAME_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"]["name"], "nowhere");
}

#[tokio::test]
async fn a_new_and_a_deleted_tag_show_at_once() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    assert_eq!(registry.tags("a").await, ["v1"]);
    registry.push_manifest("a", "v0", &image.manifest).await;
    assert_eq!(registry.tags("a").await, ["v0", "v1"]);
    registry.delete("/v2/a/manifests/v1").send().await.expect(202);
    assert_eq!(registry.tags("a").await, ["v0"]);
}
