//! Who may do what, and that nothing shows to those who may not.

use http::Method;
use wharf_test_support::{Answer, Registry, TestRequest, image};

use crate::support::{with_accounts, with_htpasswd};

fn alice(request: TestRequest) -> TestRequest {
    request.basic("alice", Registry::ALICE_PASSWORD)
}

/// Everything that can be asked of a repository.
fn everything(name: &str) -> Vec<(Method, String)> {
    let digest = image("a").digest();
    let blob = image("a").blobs[1].digest;
    vec![
        (Method::GET, format!("/v2/{name}/manifests/v1")),
        (Method::HEAD, format!("/v2/{name}/manifests/v1")),
        (Method::GET, format!("/v2/{name}/manifests/{digest}")),
        (Method::PUT, format!("/v2/{name}/manifests/v1")),
        (Method::DELETE, format!("/v2/{name}/manifests/v1")),
        (Method::DELETE, format!("/v2/{name}/manifests/{digest}")),
        (Method::GET, format!("/v2/{name}/blobs/{blob}")),
        (Method::HEAD, format!("/v2/{name}/blobs/{blob}")),
        (Method::DELETE, format!("/v2/{name}/blobs/{blob}")),
        (Method::POST, format!("/v2/{name}/blobs/uploads/")),
        (
            Method::POST,
            format!("/v2/{name}/blobs/uploads/?mount={blob}&from={name}"),
        ),
        (
            Method::PATCH,
            format!("/v2/{name}/blobs/uploads/00000000-0000-4000-8000-000000000000"),
        ),
        (
            Method::GET,
            format!("/v2/{name}/blobs/uploads/00000000-0000-4000-8000-000000000000"),
        ),
        (Method::GET, format!("/v2/{name}/tags/list")),
        (Method::GET, format!("/v2/{name}/tags/list?n=1")),
        (Method::GET, format!("/v2/{name}/referrers/{digest}")),
    ]
}

/// The answer as bytes, with the repository's name taken out.
fn shown(answer: &Answer, name: &str) -> String {
    format!("{answer:?}").replace(name, "NAME")
}

#[tokio::test]
async fn what_one_may_not_see_answers_exactly_like_what_is_not_there() {
    let registry = with_accounts().await;
    registry.push("secret/there", "v1", &image("a")).await;
    let token = registry
        .token("alice", Registry::ALICE_PASSWORD, &["repository:alice/app:pull"])
        .await;
    let sign: [&dyn Fn(TestRequest) -> TestRequest; 3] =
        [&|request| request, &alice, &|request| request.bearer(&token)];
    for sign in sign {
        for ((method, there), (_, gone)) in everything("secret/there")
            .into_iter()
            .zip(everything("secret/gone!").into_iter())
        {
            let gone = gone.replace("secret/gone!", "secret/goner");
            let first = sign(registry.request(method.clone(), &there)).send().await;
            let second = sign(registry.request(method.clone(), &gone)).send().await;
            assert!(
                [401, 403].contains(&first.status.as_u16()),
                "{method} {there} {first:?}"
            );
            assert_eq!(
                shown(&first, "secret/there"),
                shown(&second, "secret/goner"),
                "{method} {there}"
            );
        }
    }
    // nothing happened
    registry.expect_whole("secret/there", "v1", &image("a")).await;
}

#[tokio::test]
async fn a_user_pushes_into_the_own_project_and_nowhere_else() {
    let registry = with_accounts().await;
    let push = async |name: &str| {
        let start = alice(registry.post(&format!("/v2/{name}/blobs/uploads/"))).send().await;
        start.status.as_u16()
    };
    assert_eq!(push("alice/app").await, 202);
    assert_eq!(push("alice/deep/er").await, 202);
    for name in ["alice", "library/alice", "alices/app", "bob/app", "app"] {
        let answer = alice(registry.post(&format!("/v2/{name}/blobs/uploads/"))).send().await;
        answer.expect_error(403, "DENIED");
    }
}

#[tokio::test]
async fn a_public_project_is_pulled_by_everybody_and_pushed_by_nobody() {
    let registry = with_accounts().await;
    let image = image("a");
    registry.push("open/app", "v1", &image).await;
    registry.publish("open").await;
    let registry = registry.restart().await;
    registry.get("/v2/open/app/manifests/v1").send().await.expect(200);
    registry.get("/v2/open/app/tags/list").send().await.expect(200);
    alice(registry.get(&format!("/v2/open/app/blobs/{}", image.blobs[1].digest)))
        .send()
        .await
        .expect(200);
    registry
        .post("/v2/open/app/blobs/uploads/")
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    registry
        .delete("/v2/open/app/manifests/v1")
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    alice(registry.post("/v2/open/app/blobs/uploads/"))
        .send()
        .await
        .expect_error(403, "DENIED");
    alice(registry.delete("/v2/open/app/manifests/v1"))
        .send()
        .await
        .expect_error(403, "DENIED");
    // what is not in a public project is not there for everybody
    registry
        .get("/v2/open/app/manifests/v2")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn nobody_is_asked_for_a_token_with_the_right_that_is_needed() {
    let registry = with_accounts().await;
    let table = [
        (Method::GET, "/v2/a/b/manifests/v1", "repository:a/b:pull"),
        (Method::GET, "/v2/a/b/tags/list", "repository:a/b:pull"),
        (Method::PUT, "/v2/a/b/manifests/v1", "repository:a/b:pull,push"),
        (Method::POST, "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"),
        (Method::DELETE, "/v2/a/b/manifests/v1", "repository:a/b:delete"),
        (Method::GET, "/v2/_catalog", "registry:catalog:*"),
    ];
    for (method, target, scope) in table {
        let answer = registry
            .request(method, target)
            .send()
            .await
            .expect_error(401, "UNAUTHORIZED");
        let challenge = answer.header("www-authenticate");
        let expected = format!(r#"Bearer realm="https://registry.test/service/token",service="wharf",scope="{scope}""#);
        assert_eq!(challenge, expected, "{target}");
        let detail = &answer.json()["errors"][0]["detail"];
        assert!(
            detail[0]["Type"].is_string() && detail[0]["Action"].is_string(),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_cut_too_narrow_is_told_what_it_lacks() {
    let registry = with_accounts().await;
    registry.push("alice/app", "v1", &image("a")).await;
    let token = registry
        .token("alice", Registry::ALICE_PASSWORD, &["repository:alice/app:pull"])
        .await;
    registry
        .get("/v2/alice/app/manifests/v1")
        .bearer(&token)
        .send()
        .await
        .expect(200);
    for (method, target, scope) in [
        (
            Method::POST,
            "/v2/alice/app/blobs/uploads/",
            "repository:alice/app:pull,push",
        ),
        (
            Method::DELETE,
            "/v2/alice/app/manifests/v1",
            "repository:alice/app:delete",
        ),
        (
            Method::GET,
            "/v2/alice/other/manifests/v1",
            "repository:alice/other:pull",
        ),
    ] {
        let answer = registry.request(method, target).bearer(&token).send().await;
        let answer = answer.expect_error(401, "UNAUTHORIZED");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains(&format!(r#"scope="{scope}""#)), "{challenge}");
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    }
}

#[tokio::test]
async fn every_name_in_an_htpasswd_file_has_every_right() {
    let registry = with_htpasswd().await;
    let image = image("a");
    registry.push("a/b", "v1", &image).await;
    registry
        .get("/v2/a/b/manifests/v1")
        .basic("bob", "secret")
        .send()
        .await
        .expect(200);
    registry
        .get("/v2/_catalog")
        .basic("bob", "secret")
        .send()
        .await
        .expect(200);
    registry
        .delete("/v2/a/b/manifests/v1")
        .basic("bob", "secret")
        .send()
        .await
        .expect(202);
    for (method, target) in everything("a/b") {
        let answer = registry.request(method.clone(), &target).send().await;
        assert_eq!(answer.status, 401, "{method} {target}");
        assert_eq!(answer.header("www-authenticate"), r#"Basic realm="Registry Realm""#);
    }
}

#[tokio::test]
async fn a_changed_password_ends_what_was_remembered() {
    let registry = with_accounts().await;
    registry
        .get("/v2/")
        .basic("alice", Registry::ALICE_PASSWORD)
        .send()
        .await
        .expect(200);
    let token = registry.token("alice", Registry::ALICE_PASSWORD, &[]).await;
    registry.get("/v2/").bearer(&token).send().await.expect(200);
    let secret = zeroize::Zeroizing::new(b"another password".to_vec());
    registry
        .accounts()
        .reset_password("alice", secret, wharf_auth::Actor::PROGRAM)
        .await
        .unwrap();
    registry
        .get("/v2/")
        .basic("alice", Registry::ALICE_PASSWORD)
        .send()
        .await
        .expect(401);
    registry
        .get("/v2/")
        .bearer(&token)
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    registry
        .get("/v2/")
        .basic("alice", "another password")
        .send()
        .await
        .expect(200);
}
