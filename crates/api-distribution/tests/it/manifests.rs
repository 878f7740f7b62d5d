//! `/v2/<name>/manifests/<reference>`

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use wharf_oci::media_type;
use wharf_registry::push::{IndexChildren, ManifestRules, UrlRules};
use wharf_test_support::{Blob, Manifest, Options, Registry, artifact, image, index, sha512};

#[tokio::test]
async fn a_manifest_comes_back_as_it_was_pushed_by_tag_and_digest() {
    let registry = Registry::open().await;
    let image = image("a");
    for blob in &image.blobs {
        registry.push_blob("a/b", blob).await;
    }
    let answer = registry
        .manifest_put("a/b", "v1", &image.manifest)
        .send()
        .await
        .expect(201);
    assert_eq!(answer.location(), format!("/v2/a/b/manifests/{}", image.digest()));
    assert_eq!(answer.header("content-length"), "0");
    let answer = answer.expect_digest(&image.digest());
    assert!(answer.header("oci-subject").is_empty());
    for reference in ["v1".to_owned(), image.digest().to_string()] {
        for _ in 0..2 {
            let target = format!("/v2/a/b/manifests/{reference}");
            let got = registry
                .get(&target)
                .send()
                .await
                .expect(200)
                .expect_digest(&image.digest());
            assert_eq!(got.body, image.manifest.blob.bytes);
            let head = registry.head(&target).send().await.expect(200);
            assert!(head.body.is_empty());
            for name in ["content-type", "content-length", "docker-content-digest", "etag"] {
                assert!(!got.header(name).is_empty(), "{name}");
                assert_eq!(got.header(name), head.header(name), "{name}");
            }
            assert_eq!(got.header("content-type"), media_type::OCI_MANIFEST);
            assert_eq!(
                got.header("content-length"),
                image.manifest.blob.bytes.len().to_string()
            );
            assert_eq!(got.header("etag"), format!("\"{}\"", image.digest()));
        }
    }
}

#[tokio::test]
async fn the_stored_type_is_served_whatever_is_accepted() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let many = "application/vnd.docker.distribution.manifest.v2+json;q=0.5, application/json, */*;q=0.1";
    for accept in ["*/*", many, "text/html", media_type::OCI_INDEX] {
        let get = registry
            .get("/v2/a/manifests/v1")
            .header("accept", accept)
            .header("accept", "x/y");
        let answer = get.send().await.expect(200);
        assert_eq!(answer.header("content-type"), media_type::OCI_MANIFEST, "{accept}");
        assert_eq!(answer.body, image.manifest.blob.bytes);
    }
}

#[tokio::test]
async fn conditions_on_manifests_are_kept() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let tag = format!("\"{}\"", image.digest());
    let get = || registry.get("/v2/a/manifests/v1");
    let unchanged = get().header("if-none-match", &tag).send().await.expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), tag);
    get().header("if-none-match", "\"x\"").send().await.expect(200);
    get().header("if-match", "\"x\"").send().await.expect(412);
}

/// Every kind of manifest, over blobs that were pushed into `a`.
async fn kinds(registry: &Registry) -> Vec<Manifest> {
    let (config, layer) = (Blob::new("{\"config\":1}"), Blob::sized("layer", 100));
    for blob in [&config, &layer, &Blob::new("{}")] {
        registry.push_blob("a", blob).await;
    }
    let child = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config.descriptor(media_type::OCI_CONFIG), "layers": [],
    }));
    registry.push_manifest("a", &child.digest().to_string(), &child).await;
    let docker = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
        "config": config.descriptor("application/vnd.docker.container.image.v1+json"),
        "layers": [layer.descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    }));
    let list = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_LIST,
        "manifests": [docker.descriptor()],
    }));
    let without_type = Manifest::typed(
        media_type::OCI_MANIFEST,
        json!({"schemaVersion": 2, "config": config.descriptor(media_type::OCI_CONFIG), "layers": [], "x-own": {"kept": [1, 2]}})
            .to_string(),
    );
    let old_artifact = Manifest::new(&json!({
        "mediaType": media_type::OCI_ARTIFACT, "artifactType": "x/y", "blobs": [layer.descriptor("x/z")],
    }));
    let inner = index(&[&child]);
    let attested = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [{
            "mediaType": media_type::OCI_MANIFEST, "digest": child.digest().to_string(), "size": child.blob.bytes.len(),
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        }],
    }));
    let cache = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+zstd"), config.descriptor("application/vnd.buildkit.cacheconfig.v0")],
    }));
    let spaced = Manifest::typed(
        media_type::OCI_INDEX,
        format!("\n {}  \n", json!({"schemaVersion": 2, "manifests": []})),
    );
    vec![
        child,
        artifact(&docker, "application/vnd.example", "a note").manifest,
        index(&[&inner]),
        inner,
        docker,
        list,
        without_type,
        old_artifact,
        attested,
        cache,
        spaced,
    ]
}

#[tokio::test]
async fn every_kind_of_manifest_is_taken_and_served_unchanged_also_from_storage_alone() {
    let registry = Registry::open().await;
    let all = kinds(&registry).await;
    for (number, manifest) in all.iter().enumerate() {
        registry.push_manifest("a", &format!("v{number}"), manifest).await;
    }
    let check = async |registry: &Registry| {
        for (number, manifest) in all.iter().enumerate() {
            let answer = registry
                .get(&format!("/v2/a/manifests/v{number}"))
                .send()
                .await
                .expect(200);
            assert_eq!(answer.body, manifest.blob.bytes);
            assert_eq!(answer.header("content-type"), manifest.media_type);
        }
    };
    check(&registry).await;
    let registry = registry.restart().await;
    check(&registry).await;
    let registry = registry.stop().await.without_index().start().await;
    check(&registry).await;
}

#[tokio::test]
async fn unknown_types_are_opaque() {
    let registry = Registry::open().await;
    let odd = [
        ("application/vnd.example.thing", "{\"layers\": 5}"),
        ("application/vnd.example.binary", "\u{1}\u{2} no json"),
        ("text/plain; charset=utf-8", "words"),
    ];
    for (media_type, bytes) in odd {
        let manifest = Manifest::typed(media_type, bytes);
        registry.push_manifest("a", "odd", &manifest).await;
        let answer = registry.get("/v2/a/manifests/odd").send().await.expect(200);
        assert_eq!(answer.body, manifest.blob.bytes);
        assert_eq!(answer.header("content-type"), media_type.split(';').next().unwrap());
    }
}

#[tokio::test]
async fn schema_1_is_refused_with_a_way_out() {
    let registry = Registry::open().await;
    let body =
        json!({"schemaVersion": 1, "name": "a", "tag": "v1", "architecture": "amd64", "fsLayers": [], "history": []});
    for media_type in [
        media_type::DOCKER_SCHEMA1,
        media_type::DOCKER_SCHEMA1_SIGNED,
        "application/json",
    ] {
        let put = registry.manifest_put("a", "v1", &Manifest::typed(media_type, body.to_string()));
        let answer = put.send().await.expect_error(400, "MANIFEST_INVALID");
        assert!(answer.message().contains("skopeo"), "{answer:?}");
    }
}

#[tokio::test]
async fn broken_manifests_are_refused_with_the_reason() {
    let registry = Registry::open().await;
    let config = json!({"mediaType": media_type::OCI_CONFIG, "digest": "sha256:zz", "size": 2});
    let good = json!({"mediaType": media_type::OCI_CONFIG, "digest": Blob::new("{}").digest.to_string(), "size": 2});
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let table = [
        (media_type::OCI_MANIFEST, String::new(), "EOF"),
        (media_type::OCI_MANIFEST, "{".to_owned(), "EOF"),
        (media_type::OCI_MANIFEST, "[]".to_owned(), ""),
        (media_type::OCI_MANIFEST, "null".to_owned(), ""),
        (media_type::OCI_MANIFEST, deep, ""),
        (media_type::OCI_MANIFEST, "{}".to_owned(), "schemaVersion"),
        (
            media_type::OCI_MANIFEST,
            json!({"schemaVersion": 3, "config": good}).to_string(),
            "schemaVersion 3",
        ),
        (
            media_type::OCI_MANIFEST,
            json!({"schemaVersion": 2}).to_string(),
            "config",
        ),
        (
            media_type::OCI_MANIFEST,
            json!({"schemaVersion": 2, "config": config}).to_string(),
            "sha256:zz",
        ),
        (
            media_type::OCI_MANIFEST,
            json!({"schemaVersion": 2, "config": good, "manifests": []}).to_string(),
            "manifests",
        ),
        (
            media_type::OCI_INDEX,
            json!({"schemaVersion": 2}).to_string(),
            "manifests",
        ),
        (
            media_type::OCI_INDEX,
            json!({"schemaVersion": 2, "manifests": [], "layers": []}).to_string(),
            "layers",
        ),
        (
            media_type::OCI_INDEX,
            json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_LIST, "manifests": []}).to_string(),
            "content type is",
        ),
    ];
    for (media_type, body, reason) in table {
        let put = registry.manifest_put("a", "v1", &Manifest::typed(media_type, body.clone()));
        let answer = put.send().await.expect_error(400, "MANIFEST_INVALID");
        assert!(answer.message().contains(reason), "{reason}: {answer:?}");
    }
    registry
        .get("/v2/a/manifests/v1")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_content_type_may_have_parameters() {
    let registry = Registry::open().await;
    let empty = Manifest::typed(
        media_type::OCI_INDEX,
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}).to_string(),
    );
    let put = registry
        .put("/v2/a/manifests/v1")
        .header("content-type", format!("{}; charset=utf-8", media_type::OCI_INDEX));
    put.body(empty.blob.bytes.clone()).send().await.expect(201);
    let answer = registry.get("/v2/a/manifests/v1").send().await.expect(200);
    assert_eq!(answer.header("content-type"), media_type::OCI_INDEX);
}

#[tokio::test]
async fn a_manifest_above_the_limit_is_too_large_and_one_at_the_limit_is_not() {
    let registry = Registry::open().await;
    let padded = |length: usize| {
        let frame = json!({"schemaVersion": 2, "manifests": [], "pad": ""})
            .to_string()
            .len();
        let body = json!({"schemaVersion": 2, "manifests": [], "pad": "x".repeat(length - frame)}).to_string();
        assert_eq!(body.len(), length);
        Manifest::typed(media_type::OCI_INDEX, body)
    };
    let largest = padded(4 << 20);
    registry.push_manifest("a", "v1", &largest).await;
    let got = registry.get("/v2/a/manifests/v1").send().await.expect(200);
    assert!(got.body == largest.blob.bytes);
    let answer = registry.manifest_put("a", "v2", &padded((4 << 20) + 1)).send().await;
    let answer = answer.expect_error(413, "MANIFEST_INVALID");
    assert!(answer.message().contains("4194304"), "{answer:?}");
    // and without a length
    let pieces = (0..80).map(|_| Ok(Bytes::from(vec![b' '; 64 << 10]))).collect();
    let put = registry
        .put("/v2/a/manifests/v3")
        .header("content-type", media_type::OCI_INDEX);
    put.pieces(pieces).send().await.expect_error(413, "MANIFEST_INVALID");
}

#[tokio::test]
async fn what_a_manifest_names_must_be_there_and_all_that_is_missing_is_listed() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push_blob("a", &image.blobs[1]).await;
    // in another repository is not here
    registry.push_blob("b", &image.blobs[2]).await;
    let answer = registry.manifest_put("a", "v1", &image.manifest).send().await;
    let answer = answer.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    let mut missing: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["detail"]["digest"].as_str().unwrap().to_owned())
        .collect();
    missing.sort();
    let mut expected = vec![image.blobs[0].digest.to_string(), image.blobs[2].digest.to_string()];
    expected.sort();
    assert_eq!(missing, expected);
    assert_eq!(registry.tag("a", "v1").await, None);
    registry
        .get(&format!("/v2/a/manifests/{}", image.digest()))
        .send()
        .await
        .expect(404);
}

#[tokio::test]
async fn a_layer_that_is_fetched_elsewhere_may_be_missing_or_there() {
    let registry = Registry::open().await;
    let (config, foreign) = (Blob::new("{}"), Blob::sized("foreign", 100));
    registry.push_blob("a", &config).await;
    let mut with_url = foreign.descriptor("application/vnd.oci.image.layer.v1.tar");
    with_url["urls"] = json!(["https://elsewhere.test/layer"]);
    for layer in [
        foreign.descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        foreign.descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        with_url.clone(),
    ] {
        let manifest = Manifest::new(&json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": config.descriptor(media_type::OCI_CONFIG), "layers": [layer],
        }));
        registry.push_manifest("a", "v1", &manifest).await;
    }
    registry.push_blob("a", &foreign).await;
    let strict = ManifestRules {
        urls: UrlRules::Matching(Arc::new(|url| url.starts_with("https://allowed.test/"))),
        ..ManifestRules::default()
    };
    let registry = Registry::with(Options {
        manifests: strict,
        ..Options::default()
    })
    .await;
    registry.push_blob("a", &config).await;
    let manifest = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config.descriptor(media_type::OCI_CONFIG), "layers": [with_url],
    }));
    let answer = registry
        .manifest_put("a", "v1", &manifest)
        .send()
        .await
        .expect_error(400, "MANIFEST_INVALID");
    assert!(answer.message().contains("https://elsewhere.test/layer"), "{answer:?}");
}

#[tokio::test]
async fn a_sparse_index_is_taken_unless_the_configuration_wants_its_children() {
    let child = image("child");
    let platform = |architecture: &str| {
        let mut descriptor = child.manifest.descriptor();
        descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
        Manifest::new(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [descriptor]}))
    };
    let only_arm = IndexChildren::RequiredFor(vec![("arm64".to_owned(), "linux".to_owned())]);
    let table = [
        (IndexChildren::Optional, "amd64", true),
        (IndexChildren::Required, "amd64", false),
        (only_arm.clone(), "amd64", true),
        (only_arm, "arm64", false),
    ];
    for (children, architecture, is_taken) in table {
        let manifests = ManifestRules {
            children,
            ..ManifestRules::default()
        };
        let registry = Registry::with(Options {
            manifests,
            ..Options::default()
        })
        .await;
        let index = platform(architecture);
        let answer = registry.manifest_put("a", "v1", &index).send().await;
        if is_taken {
            answer.expect(201);
        } else {
            let answer = answer.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
            assert_eq!(
                answer.json()["errors"][0]["detail"]["digest"],
                child.digest().to_string()
            );
            registry.push("a", "child", &child).await;
            registry.push_manifest("a", "v1", &index).await;
        }
    }
}

#[tokio::test]
async fn a_put_by_digest_must_have_that_digest() {
    let registry = Registry::open().await;
    let (one, other) = (image("one"), image("other"));
    registry.push("a", &one.digest().to_string(), &one).await;
    for digest in [other.digest().to_string(), other.manifest.blob.sha512().to_string()] {
        let answer = registry.manifest_put("a", &digest, &one.manifest).send().await;
        let answer = answer.expect_error(400, "DIGEST_INVALID");
        assert_eq!(answer.json()["errors"][0]["detail"]["digest"], digest);
        registry
            .get(&format!("/v2/a/manifests/{digest}"))
            .send()
            .await
            .expect(404);
    }
    // the same again is no error
    registry
        .push_manifest("a", &one.digest().to_string(), &one.manifest)
        .await;
}

#[tokio::test]
async fn a_manifest_with_a_sha512_name_has_both_names_and_is_deleted_under_both() {
    let registry = Registry::open().await;
    let image = image("a");
    for blob in &image.blobs {
        registry.push_blob("a", blob).await;
    }
    let long = sha512(&image.manifest.blob.bytes);
    let answer = registry
        .manifest_put("a", &format!("{long}?tag=v1"), &image.manifest)
        .send()
        .await;
    answer.expect(201).expect_digest(&long);
    let check = async |registry: &Registry| {
        for digest in [long, image.digest()] {
            let got = registry
                .get(&format!("/v2/a/manifests/{digest}"))
                .send()
                .await
                .expect(200)
                .expect_digest(&digest);
            assert_eq!(got.body, image.manifest.blob.bytes);
        }
        registry.expect_whole("a", "v1", &image).await;
    };
    check(&registry).await;
    let registry = registry.restart().await;
    check(&registry).await;
    let registry = registry.stop().await.without_index().start().await;
    check(&registry).await;
    registry
        .delete(&format!("/v2/a/manifests/{long}"))
        .send()
        .await
        .expect(202);
    for registry in [registry.clone(), registry.restart().await] {
        for reference in [long.to_string(), image.digest().to_string(), "v1".to_owned()] {
            registry
                .get(&format!("/v2/a/manifests/{reference}"))
                .send()
                .await
                .expect_error(404, "MANIFEST_UNKNOWN");
        }
    }
}

#[tokio::test]
async fn a_put_by_digest_sets_as_many_tags_as_it_names() {
    let registry = Registry::open().await;
    let image = image("a");
    for blob in &image.blobs {
        registry.push_blob("a", blob).await;
    }
    let tags: Vec<String> = (0..12).map(|number| format!("v{number:02}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{}?{}", image.digest(), query.join("&"));
    let answer = registry
        .manifest_put("a", &reference, &image.manifest)
        .send()
        .await
        .expect(201);
    assert_eq!(answer.all("oci-tag"), tags);
    assert_eq!(registry.tags("a").await, tags);
    registry.expect_whole("a", "v07", &image).await;
    let bad = registry
        .manifest_put("a", &format!("{}?tag=ok&tag=-bad", image.digest()), &image.manifest)
        .send()
        .await;
    bad.expect_error(400, "TAG_INVALID");
    assert_eq!(registry.tag("a", "ok").await, None);
}

#[tokio::test]
async fn a_tag_moves_and_the_old_manifest_stays() {
    let registry = Registry::open().await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "v1", &old).await;
    assert_eq!(registry.tag("a", "v1").await, Some(old.digest()));
    registry.push("a", "v1", &new).await;
    registry.expect_whole("a", "v1", &new).await;
    registry.expect_whole("a", &old.digest().to_string(), &old).await;
    assert_eq!(registry.tags("a").await, ["v1"]);
}

#[tokio::test]
async fn a_manifest_with_a_subject_says_so_even_when_the_subject_is_missing() {
    let registry = Registry::open().await;
    let subject = image("subject");
    let note = artifact(&subject.manifest, "application/vnd.example", "x");
    registry.push_blob("a", &note.blobs[0]).await;
    let answer = registry
        .manifest_put("a", "note", &note.manifest)
        .send()
        .await
        .expect(201);
    assert_eq!(answer.header("oci-subject"), subject.digest().to_string());
}

#[tokio::test]
async fn a_deleted_tag_leaves_its_manifest_and_its_other_tags() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.push("a", "v2", &image).await;
    registry.expect_whole("a", "v1", &image).await;
    let answer = registry.delete("/v2/a/manifests/v1").send().await.expect(202);
    assert!(answer.body.is_empty());
    registry
        .delete("/v2/a/manifests/v1")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    registry
        .get("/v2/a/manifests/v1")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    assert_eq!(registry.tags("a").await, ["v2"]);
    registry.expect_whole("a", "v2", &image).await;
    registry.expect_whole("a", &image.digest().to_string(), &image).await;
    assert_eq!(registry.tag_link("a", "v1"), None);
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_with_it() {
    let registry = Registry::open().await;
    let (gone, kept) = (image("gone"), image("kept"));
    registry.push("a", "v1", &gone).await;
    registry.push("a", "v2", &gone).await;
    registry.push("a", "v3", &kept).await;
    let target = format!("/v2/a/manifests/{}", gone.digest());
    registry.delete(&target).send().await.expect(202);
    registry
        .delete(&target)
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    for registry in [registry.clone(), registry.restart().await] {
        registry.get(&target).send().await.expect_error(404, "MANIFEST_UNKNOWN");
        assert_eq!(registry.tags("a").await, ["v3"]);
        registry.expect_whole("a", "v3", &kept).await;
    }
}

#[tokio::test]
async fn deleting_what_never_was_is_unknown() {
    let registry = Registry::open().await;
    registry.push("a", "v1", &image("a")).await;
    let digest = image("b").digest();
    registry
        .delete("/v2/a/manifests/v9")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    registry
        .delete(&format!("/v2/a/manifests/{digest}"))
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    registry
        .delete("/v2/b/manifests/v9")
        .send()
        .await
        .expect_error(404, "NAME_UNKNOWN");
    registry
        .delete(&format!("/v2/b/blobs/{digest}"))
        .send()
        .await
        .expect_error(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn manifests_are_not_deleted_where_it_is_switched_off() {
    let registry = Registry::with(Options {
        delete: false,
        ..Options::default()
    })
    .await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    for reference in ["v1".to_owned(), image.digest().to_string()] {
        let answer = registry.delete(&format!("/v2/a/manifests/{reference}")).send().await;
        answer.expect_error(405, "UNSUPPORTED");
    }
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_manifest() {
    let registry = Registry::open().await;
    let (put, sender) = registry
        .put("/v2/a/manifests/v1")
        .header("content-type", media_type::OCI_INDEX)
        .streamed();
    sender.send("{\"schemaVersion\": 2,");
    sender.cut();
    let answer = put.send().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    registry.get("/v2/a/manifests/v1").send().await.expect(404);
}

#[tokio::test]
async fn a_manifest_whose_bytes_somebody_removed_can_be_pushed_again() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    let stopped = registry.stop().await;
    let hex = image.digest().to_string().replace("sha256:", "");
    std::fs::remove_dir_all(
        stopped
            .root()
            .join(format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2])),
    )
    .unwrap();
    let registry = stopped.start().await;
    // containerd asks before it pushes, and gives up on anything but 404
    registry.head("/v2/a/manifests/v1").send().await.expect(404);
    registry.push("a", "v1", &image).await;
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn helm_and_cosign_tags_are_tags_like_others() {
    let registry = Registry::open().await;
    let image = image("a");
    let hex = image.digest().to_string().replace(':', "-");
    let long = "t".repeat(128);
    for tag in ["0.1.0_build.5", &format!("{hex}.sig"), &hex, "_x", "V1", &long] {
        registry.push("a", tag, &image).await;
        registry.expect_whole("a", tag, &image).await;
    }
}
