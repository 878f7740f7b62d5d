//! Random histories against a model that is too simple to be wrong. Garbage is collected without a
//! grace period, and ends may come in the middle of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use wharf_oci::Digest;
use wharf_registry::garbage_collection::Request;
use wharf_test_support::{Image, Options, Registry, image, is_index_on_server, stored_blobs};

#[derive(Clone, Debug)]
enum Step {
    Push {
        name: usize,
        tag: usize,
        image: usize,
    },
    DeleteTag {
        name: usize,
        tag: usize,
    },
    DeleteManifest {
        name: usize,
        image: usize,
    },
    Restart,
    Crash,
    LoseIndex,
    LookAgain,
    Flush,
    /// Blobs for which no manifest comes.
    Upload {
        name: usize,
        image: usize,
    },
    Collect,
    /// A collection that ends after so many batches, and the process with it.
    CrashCollecting {
        batches: usize,
    },
}

const NAMES: [&str; 3] = ["a", "a/b", "c/d"];
const TAGS: [&str; 3] = ["v1", "v2", "latest"];

#[derive(Clone, Debug, Default, PartialEq)]
struct Repository {
    manifests: BTreeSet<Digest>,
    tags: BTreeMap<String, Digest>,
}

type Model = BTreeMap<&'static str, Repository>;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..3usize, 0..3usize).prop_map(|(name, tag, image)| Step::Push { name, tag, image }),
        3 => (0..3usize, 0..3usize).prop_map(|(name, tag)| Step::DeleteTag { name, tag }),
        2 => (0..3usize, 0..3usize).prop_map(|(name, image)| Step::DeleteManifest { name, image }),
        1 => proptest::strategy::Just(Step::Restart),
        1 => proptest::strategy::Just(Step::Crash),
        1 => proptest::strategy::Just(Step::LoseIndex),
        1 => proptest::strategy::Just(Step::LookAgain),
        1 => proptest::strategy::Just(Step::Flush),
        1 => (0..3usize, 0..3usize).prop_map(|(name, image)| Step::Upload { name, image }),
        3 => proptest::strategy::Just(Step::Collect),
        2 => (0..12usize).prop_map(|batches| Step::CrashCollecting { batches }),
    ]
}

async fn apply(registry: Registry, model: &mut Model, images: &[Image], step: &Step) -> Registry {
    match step {
        Step::Push { name, tag, image } => {
            push_missing(&registry, NAMES[*name], &images[*image]).await;
            registry
                .push_manifest(NAMES[*name], TAGS[*tag], &images[*image].manifest)
                .await;
            let repository = model.entry(NAMES[*name]).or_default();
            repository.manifests.insert(images[*image].digest());
            repository.tags.insert(TAGS[*tag].to_owned(), images[*image].digest());
        }
        Step::DeleteTag { name, tag } => {
            let answer = registry
                .delete(&format!("/v2/{}/manifests/{}", NAMES[*name], TAGS[*tag]))
                .send()
                .await;
            let removed = model
                .get_mut(NAMES[*name])
                .and_then(|repository| repository.tags.remove(TAGS[*tag]));
            assert_eq!(answer.status, if removed.is_some() { 202 } else { 404 }, "{answer:?}");
        }
        Step::DeleteManifest { name, image } => {
            let digest = images[*image].digest();
            let answer = registry
                .delete(&format!("/v2/{}/manifests/{digest}", NAMES[*name]))
                .send()
                .await;
            let is_there = model.get_mut(NAMES[*name]).is_some_and(|repository| {
                repository.tags.retain(|_, target| *target != digest);
                repository.manifests.remove(&digest)
            });
            assert_eq!(answer.status, if is_there { 202 } else { 404 }, "{answer:?}");
        }
        Step::Restart => return registry.restart().await,
        Step::Crash => return registry.kill().start().await,
        Step::LoseIndex => return registry.stop().await.without_index().start().await,
        Step::LookAgain => registry.adoption().run_again().await.unwrap(),
        Step::Flush => registry.mirror().flush().await.unwrap(),
        Step::Upload { name, image } => push_missing(&registry, NAMES[*name], &images[*image]).await,
        Step::Collect => drop(registry.collect_all().await),
        Step::CrashCollecting { batches } => {
            let mut left = *batches;
            let goes_on = |_: &_| {
                left = left.saturating_sub(1);
                left > 0
            };
            registry.collector().run(&everything(), goes_on).await.unwrap();
            return registry.kill().start().await;
        }
    }
    registry
}

fn everything() -> Request {
    Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: false,
    }
}

/// Pushes the blobs that are not there, as clients do.
async fn push_missing(registry: &Registry, name: &str, image: &Image) {
    for blob in &image.blobs {
        let head = registry.head(&format!("/v2/{name}/blobs/{}", blob.digest)).send().await;
        if head.status != 200 {
            registry.push_blob(name, blob).await;
        }
    }
}

/// Every manifest that is there can be pulled down to its last byte; when all are deleted, nothing
/// is left.
async fn finish(registry: &Registry, model: &Model, images: &[Image]) {
    for (name, repository) in model {
        for digest in &repository.manifests {
            let image = images.iter().find(|image| image.digest() == *digest).unwrap();
            registry.expect_whole(name, &digest.to_string(), image).await;
        }
    }
    for (name, repository) in model {
        for digest in &repository.manifests {
            let target = format!("/v2/{name}/manifests/{digest}");
            registry.delete(&target).send().await.expect(202);
        }
    }
    registry.clock().advance(std::time::Duration::from_secs(120));
    registry.collect_all().await;
    assert_eq!(stored_blobs(registry.root()), BTreeSet::new());
}

async fn compare(registry: &Registry, model: &Model, images: &[Image]) {
    let mut listed = Vec::new();
    for name in NAMES {
        let expected = model.get(name).cloned().unwrap_or_default();
        let tags: Vec<&str> = expected.tags.keys().map(String::as_str).collect();
        assert_eq!(registry.tags(name).await, tags, "{name}");
        for (tag, digest) in &expected.tags {
            assert_eq!(registry.tag(name, tag).await, Some(*digest), "{name}:{tag}");
            assert_eq!(registry.tag_link(name, tag), Some(digest.to_string()), "{name}:{tag}");
        }
        for image in images {
            let status = registry
                .head(&format!("/v2/{name}/manifests/{}", image.digest()))
                .send()
                .await
                .status;
            let is_there = expected.manifests.contains(&image.digest());
            assert_eq!(status == 200, is_there, "{name}@{}", image.digest());
        }
        if !expected.manifests.is_empty() {
            listed.push(name);
        }
    }
    let catalog = registry.get("/v2/_catalog").send().await.expect(200).json();
    assert_eq!(catalog["repositories"], serde_json::json!(listed));
}

#[test]
fn any_history_of_pushes_deletes_and_ends_leaves_what_a_simple_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let images: Vec<Image> = (0..3).map(|number| image(&number.to_string())).collect();
    let mut runner = TestRunner::new(Config {
        cases: if is_index_on_server() { 5 } else { 40 },
        failure_persistence: None,
        ..Config::default()
    });
    let histories = proptest::collection::vec(step(), 1..25);
    runner
        .run(&histories, |history| {
            runtime.block_on(async {
                let mut options = Options::default();
                options.collection.grace = std::time::Duration::ZERO;
                let (mut registry, mut model) = (Registry::with(options).await, Model::new());
                for step in &history {
                    registry = apply(registry, &mut model, &images, step).await;
                    compare(&registry, &model, &images).await;
                }
                finish(&registry, &model, &images).await;
            });
            Ok(())
        })
        .unwrap();
}
