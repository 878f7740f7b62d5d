//! `/service/token`

use http::Method;
use serde_json::Value;
use wharf_test_support::{Answer, Registry, image};

use crate::support::{with_accounts, with_htpasswd};

fn token_of(answer: &Answer) -> String {
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// What a token gives, read from its middle part.
fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).expect("a JWT");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn post(registry: &Registry, form: &str) -> Answer {
    let post = registry
        .post("/service/token")
        .header("content-type", "application/x-www-form-urlencoded");
    post.body(form.to_owned()).send().await
}

#[tokio::test]
async fn a_password_becomes_a_token_that_pushes_and_pulls() {
    let registry = with_accounts().await;
    let target = "/service/token?service=wharf&scope=repository:alice/app:pull,push&account=alice&client_id=docker";
    let answer = registry
        .get(target)
        .basic("alice", Registry::ALICE_PASSWORD)
        .send()
        .await
        .expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["token"], body["access_token"]);
    assert!(body["expires_in"].as_i64().unwrap() >= 60);
    assert!(body["issued_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(body.get("refresh_token").is_none_or(Value::is_null));
    let token = token_of(&answer);
    registry.get("/v2/").bearer(&token).send().await.expect(200);
    let image = image("a");
    for blob in &image.blobs {
        let start = registry
            .post("/v2/alice/app/blobs/uploads/")
            .bearer(&token)
            .send()
            .await
            .expect(202);
        let put = registry.put(&format!("{}?digest={}", start.location(), blob.digest));
        put.bearer(&token).body(blob.bytes.clone()).send().await.expect(201);
    }
    let put = registry
        .put("/v2/alice/app/manifests/v1")
        .bearer(&token)
        .header("content-type", &image.manifest.media_type);
    put.body(image.manifest.blob.bytes.clone()).send().await.expect(201);
    registry
        .get("/v2/alice/app/manifests/v1")
        .bearer(&token)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn scopes_may_be_repeated_or_joined_and_unknown_ones_are_dropped() {
    let registry = with_accounts().await;
    let scopes = [
        "scope=repository:alice/a:pull&scope=repository:alice/b:pull,push",
        "scope=repository:alice/a:pull%20repository:alice/b:pull,push",
        "scope=repository:alice/a:pull&scope=nonsense&scope=x:y:z&scope=repository:alice/b:pull,push",
    ];
    for query in scopes {
        let get = registry.get(&format!("/service/token?service=wharf&{query}"));
        let answer = get.basic("alice", Registry::ALICE_PASSWORD).send().await.expect(200);
        let access = claims(&token_of(&answer))["access"].clone();
        let names: Vec<&str> = access
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["name"].as_str())
            .collect();
        assert_eq!(names, ["alice/a", "alice/b"], "{query}");
    }
}

#[tokio::test]
async fn a_token_gives_only_what_its_owner_may_and_asking_for_more_is_no_error() {
    let registry = with_accounts().await;
    let scopes = "scope=repository:alice/a:pull,push,delete&scope=repository:secret/a:pull,push";
    let get = registry.get(&format!("/service/token?service=wharf&{scopes}"));
    let answer = get.basic("alice", Registry::ALICE_PASSWORD).send().await.expect(200);
    let access = claims(&token_of(&answer))["access"].clone();
    let entries = access.as_array().unwrap();
    let secret = entries.iter().find(|entry| entry["name"] == "secret/a");
    assert!(
        secret.is_none_or(|entry| entry["actions"].as_array().unwrap().is_empty()),
        "{access}"
    );
    let own = entries.iter().find(|entry| entry["name"] == "alice/a").unwrap();
    assert_eq!(own["actions"], serde_json::json!(["pull", "push", "delete"]));
    registry
        .get("/v2/secret/a/manifests/v1")
        .bearer(&token_of(&answer))
        .send()
        .await
        .expect(403);
}

#[tokio::test]
async fn nobody_gets_a_token_that_pulls_what_is_public() {
    let registry = with_accounts().await;
    registry.push("open/app", "v1", &image("a")).await;
    registry.push("secret/app", "v1", &image("a")).await;
    registry.publish("open").await;
    let registry = registry.restart().await;
    let scopes = "scope=repository:open/app:pull,push&scope=repository:secret/app:pull";
    let answer = registry
        .get(&format!("/service/token?service=wharf&{scopes}"))
        .send()
        .await
        .expect(200);
    let token = token_of(&answer);
    registry
        .get("/v2/open/app/manifests/v1")
        .bearer(&token)
        .send()
        .await
        .expect(200);
    registry
        .post("/v2/open/app/blobs/uploads/")
        .bearer(&token)
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    registry
        .get("/v2/secret/app/manifests/v1")
        .bearer(&token)
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    // who has been at the token service is not sent there again
    registry.get("/v2/").bearer(&token).send().await.expect(200);
    registry.get("/v2/").send().await.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_wrong_password_gets_no_token() {
    let registry = with_accounts().await;
    let get = registry.get("/service/token?service=wharf").basic("alice", "wrong");
    let answer = get.send().await.expect_error(401, "UNAUTHORIZED");
    assert!(answer.header("www-authenticate").starts_with("Basic "), "{answer:?}");
    let answer = post(
        &registry,
        "grant_type=password&service=wharf&client_id=x&username=alice&password=wrong",
    )
    .await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn the_form_of_oauth2_works_with_password_and_with_refresh_token() {
    let registry = with_accounts().await;
    let password = Registry::ALICE_PASSWORD.replace(' ', "+");
    let form = format!(
        "grant_type=password&service=wharf&client_id=containerd&access_type=offline&username=alice&password={password}\
         &scope=repository%3Aalice%2Fa%3Apull%2Cpush"
    );
    let answer = post(&registry, &form).await.expect(200);
    assert_eq!(answer.json()["token"], answer.json()["access_token"]);
    let refresh = answer.json()["refresh_token"]
        .as_str()
        .expect("a refresh token")
        .to_owned();
    registry
        .post("/v2/alice/a/blobs/uploads/")
        .bearer(&token_of(&answer))
        .send()
        .await
        .expect(202);
    // docker stores it: it outlives a restart
    let registry = registry.restart().await;
    let form = format!(
        "grant_type=refresh_token&service=wharf&client_id=docker&refresh_token={refresh}&scope=repository:alice/b:pull,push"
    );
    let answer = post(&registry, &form).await.expect(200);
    registry
        .post("/v2/alice/b/blobs/uploads/")
        .bearer(&token_of(&answer))
        .send()
        .await
        .expect(202);
    let form = "grant_type=refresh_token&service=wharf&client_id=docker&refresh_token=invented";
    assert_eq!(post(&registry, form).await.status, 401);
}

#[tokio::test]
async fn an_offline_token_is_given_to_those_who_ask_by_get() {
    let registry = with_accounts().await;
    let get = registry.get("/service/token?service=wharf&offline_token=true&client_id=registry-client&account=alice");
    let answer = get.basic("alice", Registry::ALICE_PASSWORD).send().await.expect(200);
    assert!(
        answer.json()["refresh_token"]
            .as_str()
            .is_some_and(|token| token.len() > 20)
    );
}

/// podman and skopeo refuse to sign in while docker's file holds a refresh token.
#[tokio::test]
async fn docker_keeps_the_password_that_other_clients_can_use_as_well() {
    let registry = with_accounts().await;
    let get = registry.get("/service/token?service=wharf&offline_token=true&client_id=docker&account=alice");
    let answer = get.basic("alice", Registry::ALICE_PASSWORD).send().await.expect(200);
    assert!(answer.json()["refresh_token"].is_null(), "{answer:?}");
    assert!(answer.json()["token"].is_string(), "{answer:?}");
}

#[tokio::test]
async fn forms_that_are_broken_are_refused_so_that_clients_fall_back() {
    let registry = with_accounts().await;
    for form in [
        "grant_type=magic&service=wharf",
        "grant_type=refresh_token&service=wharf",
    ] {
        let answer = post(&registry, form).await;
        assert!([400, 401].contains(&answer.status.as_u16()), "{form}: {answer:?}");
    }
    let large = format!("grant_type=password&username={}", "x".repeat(100_000));
    assert_eq!(post(&registry, &large).await.status, 400);
    let answer = registry
        .request(Method::DELETE, "/service/token")
        .send()
        .await
        .expect_error(405, "UNSUPPORTED");
    assert_eq!(answer.header("allow"), "GET, POST");
}

#[tokio::test]
async fn a_token_ends_when_it_says_so() {
    let registry = with_accounts().await;
    let token = registry
        .token("alice", Registry::ALICE_PASSWORD, &["repository:alice/a:pull"])
        .await;
    registry.get("/v2/").bearer(&token).send().await.expect(200);
    registry.clock().advance(std::time::Duration::from_secs(299));
    registry.accounts().poll().await.unwrap();
    registry.get("/v2/").bearer(&token).send().await.expect(200);
    registry.clock().advance(std::time::Duration::from_secs(3600));
    registry.accounts().poll().await.unwrap();
    let answer = registry
        .get("/v2/")
        .bearer(&token)
        .send()
        .await
        .expect_error(401, "UNAUTHORIZED");
    assert!(
        answer.header("www-authenticate").contains(r#"error="invalid_token""#),
        "{answer:?}"
    );
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_forged_ones_never_work() {
    let registry = with_accounts().await;
    let token = registry
        .token("alice", Registry::ALICE_PASSWORD, &["repository:alice/a:pull,push"])
        .await;
    let registry = registry.restart().await;
    registry
        .post("/v2/alice/a/blobs/uploads/")
        .bearer(&token)
        .send()
        .await
        .expect(202);
    let parts: Vec<&str> = token.split('.').collect();
    let other = registry.token("admin", Registry::ADMIN_PASSWORD, &[]).await;
    let swapped = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    for forged in [
        swapped,
        format!("{}.{}.", parts[0], parts[1]),
        token[..token.len() - 8].to_owned(),
    ] {
        registry
            .get("/v2/")
            .bearer(&forged)
            .send()
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn an_upload_survives_a_new_token_and_another_users_token_does_not_move_it() {
    let registry = with_accounts().await;
    let scope = ["repository:alice/a:pull,push"];
    let first = registry.token("alice", Registry::ALICE_PASSWORD, &scope).await;
    let location = registry
        .post("/v2/alice/a/blobs/uploads/")
        .bearer(&first)
        .send()
        .await
        .expect(202)
        .location();
    registry
        .patch(&location)
        .bearer(&first)
        .body("some ")
        .send()
        .await
        .expect(202);
    registry.clock().advance(std::time::Duration::from_secs(600));
    registry.accounts().poll().await.unwrap();
    registry
        .patch(&location)
        .bearer(&first)
        .body("bytes")
        .send()
        .await
        .expect(401);
    let second = registry.token("alice", Registry::ALICE_PASSWORD, &scope).await;
    registry
        .patch(&location)
        .bearer(&second)
        .body("bytes")
        .send()
        .await
        .expect(202);
    let digest = wharf_test_support::Blob::new("some bytes").digest;
    registry
        .put(&format!("{location}?digest={digest}"))
        .bearer(&second)
        .send()
        .await
        .expect(201);
}

#[tokio::test]
async fn a_registry_that_signs_people_in_otherwise_issues_no_tokens() {
    let registry = with_htpasswd().await;
    let answer = registry
        .get("/service/token?service=wharf")
        .basic("alice", "secret")
        .send()
        .await;
    answer.expect_error(404, "UNSUPPORTED");
}

#[tokio::test]
async fn a_mount_asks_for_a_token_of_both_repositories() {
    let registry = with_accounts().await;
    let blob = wharf_test_support::Blob::sized("x", 1000);
    registry.push_blob("alice/from", &blob).await;
    registry.push_blob("secret/from", &blob).await;
    let token = async |scopes: &str| {
        let get = registry.get(&format!("/service/token?service=wharf&{scopes}"));
        let answer = get.basic("alice", Registry::ALICE_PASSWORD).send().await.expect(200);
        token_of(&answer)
    };
    let mount = async |from: &str, token: &str| {
        let target = format!("/v2/alice/to/blobs/uploads/?mount={}{from}", blob.digest);
        registry.post(&target).bearer(token).body("").send().await
    };
    let narrow = token("scope=repository:alice/to:pull,push").await;
    for from in ["&from=alice/from", ""] {
        let answer = mount(from, &narrow).await.expect_error(401, "UNAUTHORIZED");
        let challenge = answer.header("www-authenticate").to_owned();
        assert!(
            challenge.contains("scope=\"repository:alice/to:pull,push repository:alice/from:pull\""),
            "{challenge}"
        );
    }
    // no token would help: the blob is uploaded instead
    mount("&from=secret/from", &narrow).await.expect(202);
    let wide = token("scope=repository:alice/to:pull,push&scope=repository:alice/from:pull").await;
    mount("&from=alice/from", &wide).await.expect(201);
}
