//! Random histories against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use wharf_oci::Digest;
use wharf_test_support::{Image, Registry, image};

#[derive(Clone, Debug)]
enum Step {
    Push { name: usize, tag: usize, image: usize },
    DeleteTag { name: usize, tag: usize },
    DeleteManifest { name: usize, image: usize },
    Restart,
    Crash,
    LoseIndex,
    LookAgain,
    Flush,
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
    ]
}

async fn apply(registry: Registry, model: &mut Model, images: &[Image], step: &Step) -> Registry {
    match step {
        Step::Push { name, tag, image } => {
            registry.push(NAMES[*name], TAGS[*tag], &images[*image]).await;
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
    }
    registry
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
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let histories = proptest::collection::vec(step(), 1..25);
    runner
        .run(&histories, |history| {
            runtime.block_on(async {
                let (mut registry, mut model) = (Registry::open().await, Model::new());
                for step in &history {
                    registry = apply(registry, &mut model, &images, step).await;
                    compare(&registry, &model, &images).await;
                }
                for (name, repository) in &model {
                    for (tag, digest) in &repository.tags {
                        let image = images.iter().find(|image| image.digest() == *digest).unwrap();
                        registry.expect_whole(name, tag, image).await;
                    }
                }
            });
            Ok(())
        })
        .unwrap();
}
