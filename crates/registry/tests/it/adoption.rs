//! Started on a folder that another registry filled (consistency rules 7, 11 and 12).

use serde_json::json;
use wharf_access::Visibility;
use wharf_metadata::{manifests, repositories};
use wharf_test_support::{Auth, Blob, Looks, Manifest, Options, Registry, Stopped, artifact, image, index};

use crate::tree::Tree;

fn prepared(fill: impl FnOnce(&Tree)) -> Stopped {
    prepared_with(Options::default(), fill)
}

fn prepared_with(options: Options, fill: impl FnOnce(&Tree)) -> Stopped {
    let stopped = Stopped::new(options);
    fill(&Tree::new(stopped.root()));
    stopped
}

fn when_asked() -> Options {
    Options {
        looks: Looks::WhenAsked,
        ..Options::default()
    }
}

async fn catalog(registry: &Registry) -> serde_json::Value {
    registry.get("/v2/_catalog").send().await.expect(200).json()["repositories"].clone()
}

#[tokio::test]
async fn what_another_registry_pushed_is_served() {
    let (one, two) = (image("one"), image("two"));
    let registry = prepared(|tree| {
        tree.push("a/b", "v1", &one);
        tree.push("a/b", "v2", &two);
        tree.push("busybox", "latest", &one);
    });
    let registry = registry.start().await;
    registry.expect_whole("a/b", "v1", &one).await;
    registry.expect_whole("a/b", &two.digest().to_string(), &two).await;
    registry.expect_whole("busybox", "latest", &one).await;
    registry.expect_whole("library/busybox", "latest", &one).await;
    assert_eq!(registry.tags("a/b").await, ["v1", "v2"]);
    assert_eq!(catalog(&registry).await, json!(["a/b", "busybox"]));
}

#[tokio::test]
async fn untagged_manifests_indexes_and_referrers_are_found() {
    let (child, untagged) = (image("child"), image("untagged"));
    let list = index(&[&child.manifest]);
    let note = artifact(&child.manifest, "x/note", "hello");
    let stopped = prepared(|tree| {
        tree.push("a", "tmp", &untagged);
        tree.delete_tag("a", "tmp");
        tree.push("a", "child", &child);
        tree.push("a", "note", &note);
        tree.blob(&list.blob);
        tree.revision("a", &list.digest(), &list.digest());
        tree.tag("a", "multi", &list.digest());
    });
    let registry = stopped.start().await;
    registry
        .expect_whole("a", &untagged.digest().to_string(), &untagged)
        .await;
    let got = registry.get("/v2/a/manifests/multi").send().await.expect(200);
    assert_eq!(got.header("content-type"), list.media_type);
    let referrers = registry
        .get(&format!("/v2/a/referrers/{}", child.digest()))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(referrers["manifests"][0]["digest"], note.digest().to_string());
    assert_eq!(referrers["manifests"][0]["annotations"]["note"], "hello");
}

#[tokio::test]
async fn a_blob_with_two_names_is_one_object() {
    let (image, blob) = (image("a"), Blob::sized("x", 5000));
    let long = image.manifest.blob.sha512();
    let stopped = prepared(|tree| {
        tree.push("a", "v1", &image);
        tree.revision("a", &long, &image.digest());
        tree.blob(&blob);
        tree.layer("a", &blob.digest, &blob.digest);
        tree.layer("a", &blob.sha512(), &blob.digest);
    });
    let registry = stopped.start().await;
    for digest in [image.digest(), long] {
        let got = registry
            .get(&format!("/v2/a/manifests/{digest}"))
            .send()
            .await
            .expect(200);
        got.expect_digest(&digest);
    }
    for digest in [blob.digest, blob.sha512()] {
        assert!(
            registry
                .get(&format!("/v2/a/blobs/{digest}"))
                .send()
                .await
                .expect(200)
                .body
                == blob.bytes
        );
    }
}

#[tokio::test]
async fn an_image_of_schema_1_is_served_and_holds_its_layers() {
    let layer = Blob::new("a layer of long ago");
    let old = Blob::new(
        json!({"schemaVersion": 1, "name": "a", "tag": "old", "fsLayers": [{"blobSum": layer.digest.to_string()}],
            "history": [], "signatures": [{"signature": "x"}]})
        .to_string(),
    );
    let stopped = prepared(|tree| {
        tree.blob(&layer);
        tree.layer("a", &layer.digest, &layer.digest);
        tree.blob(&old);
        tree.revision("a", &old.digest, &old.digest);
        tree.tag("a", "old", &old.digest);
    });
    let registry = stopped.start().await;
    assert_eq!(registry.tags("a").await, ["old"]);
    let answer = registry.get("/v2/a/manifests/old").send().await.expect(200);
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.docker.distribution.manifest.v1+prettyjws"
    );
    assert!(answer.body == old.bytes);
    let repository = registry
        .metadata()
        .read_blocking(|tx| repositories::find(tx, &"a".parse().unwrap()))
        .unwrap()
        .unwrap();
    let holders = registry
        .metadata()
        .read_blocking(move |tx| manifests::parents(tx, repository.id, &layer.digest, 10))
        .unwrap();
    assert_eq!(holders, [old.digest]);
}

#[tokio::test]
async fn what_cannot_be_served_is_left_alone_and_hides_nothing_else() {
    let image = image("good");
    let old = Blob::new(json!({"schemaVersion": 1, "fsLayers": [{"blobSum": "nothing"}]}).to_string());
    let absent = Blob::new("never stored");
    let noise = Blob::new("no manifest at all");
    let stopped = prepared(|tree| {
        tree.push("a", "good", &image);
        // not even schema 1
        tree.blob(&old);
        tree.revision("a", &old.digest, &old.digest);
        tree.tag("a", "old", &old.digest);
        // links to nothing, and links that are none
        tree.tag("a", "dangling", &absent.digest);
        tree.revision("a", &absent.digest, &absent.digest);
        tree.layer("a", &absent.digest, &absent.digest);
        tree.blob(&noise);
        tree.revision("a", &noise.digest, &noise.digest);
        tree.write("repositories/a/_manifests/tags/broken/current/link", "no digest");
        tree.write("repositories/a/_manifests/tags/empty/current/link", "");
        tree.write("repositories/a/_manifests/tags/halfway/index/x", "");
        tree.write("repositories/a/_layers/sha256/zz/link", "x");
        // files of other programs
        tree.write("repositories/.DS_Store", "x");
        tree.write("repositories/a/README", "x");
        tree.write(
            "repositories/Upper/_manifests/tags/v1/current/link",
            absent.digest.to_string(),
        );
        tree.write("lost+found/x", "x");
        tree.write("blobs/sha256/zz/x/data", "x");
        tree.write("repositories/empty/_layers/.keep", "");
    });
    let registry = stopped.start().await;
    registry.expect_whole("a", "good", &image).await;
    assert_eq!(registry.tags("a").await, ["good"]);
    assert_eq!(catalog(&registry).await, json!(["a"]));
    for tag in ["old", "dangling", "broken", "empty", "halfway"] {
        registry
            .get(&format!("/v2/a/manifests/{tag}"))
            .send()
            .await
            .expect_error(404, "MANIFEST_UNKNOWN");
    }
    registry
        .get(&format!("/v2/a/blobs/{}", absent.digest))
        .send()
        .await
        .expect_error(404, "BLOB_UNKNOWN");
    // none of it was touched: going back stays possible
    assert_eq!(registry.tag_link("a", "old").unwrap(), old.digest.to_string());
    assert_eq!(registry.tag_link("a", "broken").unwrap(), "no digest");
    assert!(registry.root().join("docker/registry/v2/lost+found/x").exists());
}

#[tokio::test]
async fn everything_that_is_found_is_private() {
    let options = Options {
        auth: Auth::BuiltIn,
        ..Options::default()
    };
    let stopped = prepared_with(options, |tree| {
        tree.push("library/a", "v1", &image("a"));
        tree.push("b", "v1", &image("a"));
        tree.push("team/c", "v1", &image("a"));
    });
    let registry = stopped.start().await;
    for name in ["library/a", "b", "team/c"] {
        assert_eq!(registry.visibility(name), Some(Visibility::Private), "{name}");
        let target = format!("/v2/{name}/manifests/v1");
        registry.get(&target).send().await.expect_error(401, "UNAUTHORIZED");
        let alice = registry.get(&target).basic("alice", Registry::ALICE_PASSWORD);
        alice.send().await.expect_error(403, "DENIED");
    }
}

#[tokio::test]
async fn requests_before_the_look_through_are_answered_whole() {
    let (one, two) = (image("one"), image("two"));
    let stopped = prepared_with(when_asked(), |tree| {
        for name in ["a", "b/c", "d"] {
            tree.push(name, "v1", &one);
            tree.push(name, "v2", &two);
        }
    });
    let registry = stopped.start().await;
    assert!(!registry.adoption().is_settled());
    // each kind of request is the first one for its repository
    registry.expect_whole("a", "v1", &one).await;
    assert_eq!(registry.tags("b/c").await, ["v1", "v2"]);
    registry.delete("/v2/d/manifests/v1").send().await.expect(202);
    assert_eq!(registry.tags("d").await, ["v2"]);
    registry
        .get("/v2/e/manifests/v1")
        .send()
        .await
        .expect_error(404, "MANIFEST_UNKNOWN");
    registry.adoption().run().await.unwrap();
    assert!(registry.adoption().is_settled());
    assert_eq!(registry.tags("d").await, ["v2"]);
    assert_eq!(catalog(&registry).await, json!(["a", "b/c", "d"]));
}

#[tokio::test]
async fn the_list_of_repositories_waits_until_all_are_known() {
    let stopped = prepared_with(when_asked(), |tree| {
        for number in 0..30 {
            tree.push(&format!("r{number:02}"), "v1", &image("a"));
        }
    });
    let registry = stopped.start().await;
    let (names, ran) = tokio::join!(catalog(&registry), registry.adoption().run());
    ran.unwrap();
    assert_eq!(names.as_array().unwrap().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_during_the_look_through_are_neither_lost_nor_undone() {
    for round in 0..10 {
        let (old, new) = (image("old"), image("new"));
        let stopped = prepared_with(when_asked(), |tree| {
            for number in 0..8 {
                for tag in ["deleted", "moved", "kept"] {
                    tree.push(&format!("r{number}"), tag, &old);
                }
            }
        });
        let registry = stopped.start().await;
        let changes = async {
            for number in (0..8).rev() {
                let name = format!("r{}", (number + round) % 8);
                registry
                    .delete(&format!("/v2/{name}/manifests/deleted"))
                    .send()
                    .await
                    .expect(202);
                registry.push(&name, "moved", &new).await;
                registry.push(&name, "added", &new).await;
            }
        };
        let (ran, ()) = tokio::join!(registry.adoption().run(), changes);
        ran.unwrap();
        registry.adoption().run_again().await.unwrap();
        let check = async |registry: &Registry| {
            for number in 0..8 {
                let name = format!("r{number}");
                assert_eq!(registry.tags(&name).await, ["added", "kept", "moved"]);
                assert_eq!(registry.tag(&name, "moved").await, Some(new.digest()));
                assert_eq!(registry.tag_link(&name, "moved").unwrap(), new.digest().to_string());
                assert_eq!(registry.tag_link(&name, "deleted"), None);
            }
        };
        check(&registry).await;
        check(&registry.kill().start().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_look_beside_writers_leaves_index_and_storage_equal() {
    let images: Vec<_> = (0..3).map(|number| image(&number.to_string())).collect();
    let registry = Registry::open().await;
    for image in &images {
        registry.push("a", "base", image).await;
    }
    let writing = async {
        for round in 0..60 {
            let image = &images[round % 3];
            let tag = format!("t{}", round % 4);
            registry.push_manifest("a", &tag, &image.manifest).await;
            registry
                .push_manifest(
                    "fresh",
                    &tag,
                    &Manifest::new(&serde_json::from_slice(&index(&[&image.manifest]).blob.bytes).unwrap()),
                )
                .await;
            if round % 5 == 0 {
                registry
                    .delete(&format!("/v2/a/manifests/{tag}"))
                    .send()
                    .await
                    .expect(202);
            }
            if round % 7 == 0 {
                registry.mirror().flush().await.unwrap();
            }
        }
    };
    let looking = async {
        for _ in 0..20 {
            registry.adoption().run_again().await.unwrap();
        }
    };
    tokio::join!(writing, looking);
    for name in ["a", "fresh"] {
        for tag in registry.tags(name).await {
            let digest = registry.tag(name, &tag).await.unwrap();
            assert_eq!(registry.tag_link(name, &tag), Some(digest.to_string()), "{name}:{tag}");
        }
    }
    let before = (registry.tags("a").await, registry.tags("fresh").await);
    let registry = registry.stop().await.without_index().start().await;
    assert_eq!((registry.tags("a").await, registry.tags("fresh").await), before);
}

#[tokio::test]
async fn everything_comes_back_when_the_index_is_lost() {
    let registry = Registry::open().await;
    let (one, two) = (image("one"), image("two"));
    let note = artifact(&one.manifest, "x/note", "hello");
    let list = index(&[&one.manifest, &two.manifest]);
    registry.push("a/b", "v1", &one).await;
    registry.push("a/b", "v2", &two).await;
    registry.push("a/b", "gone", &two).await;
    registry.delete("/v2/a/b/manifests/gone").send().await.expect(202);
    registry.push("a/b", &note.digest().to_string(), &note).await;
    registry.push_manifest("a/b", "multi", &list).await;
    registry.push("c", "v1", &one).await;
    registry
        .delete(&format!("/v2/c/manifests/{}", one.digest()))
        .send()
        .await
        .expect(202);
    registry.publish("a").await;
    let registry = registry.stop().await.without_index().start().await;
    registry.expect_whole("a/b", "v1", &one).await;
    registry.expect_whole("a/b", "v2", &two).await;
    assert_eq!(registry.tags("a/b").await, ["multi", "v1", "v2"]);
    assert!(registry.tags("c").await.is_empty());
    let referrers = registry
        .get(&format!("/v2/a/b/referrers/{}", one.digest()))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(registry.visibility("a/b"), Some(Visibility::Private));
}

#[tokio::test]
async fn the_type_of_an_opaque_manifest_survives_the_loss_of_the_index() {
    let registry = Registry::open().await;
    let odd = [
        Manifest::typed("application/vnd.example.json", "{\"a\": 1}"),
        Manifest::typed("application/vnd.example.binary", "\u{1}\u{2} no json"),
    ];
    for (number, manifest) in odd.iter().enumerate() {
        registry.push_manifest("a", &format!("v{number}"), manifest).await;
    }
    let registry = registry.stop().await.without_index().start().await;
    for (number, manifest) in odd.iter().enumerate() {
        let got = registry
            .get(&format!("/v2/a/manifests/v{number}"))
            .send()
            .await
            .expect(200);
        assert_eq!(got.body, manifest.blob.bytes);
        assert_eq!(got.header("content-type"), manifest.media_type);
    }
}
