//! Index and storage compared both ways, and repaired where that is safe (consistency rules 1, 8,
//! 11 and 16).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;
use wharf_metadata::{manifests, repositories, tags, verification as rows};
use wharf_oci::{Digest, Tag};
use wharf_registry::finding::{Finding, FindingKind};
use wharf_registry::verification::{Observer, Options, Repair, Report};
use wharf_test_support::{Blob, Image, Looks, Registry, image};

use crate::tree::Tree;

#[derive(Default)]
struct Heard {
    findings: Mutex<Vec<String>>,
    actions: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn finding(&self, finding: &Finding) {
        let line = format!("{}: {finding}", finding.kind.as_str());
        self.findings.lock().unwrap().push(line);
    }

    fn action(&self, action: &str) {
        self.actions.lock().unwrap().push(action.to_owned());
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _what: &str) {}

    fn goes_on(&self) -> bool {
        true
    }
}

async fn verified(registry: &Registry, options: &Options) -> Report {
    registry.mirror().flush().await.unwrap();
    registry.verification().run(options, &Heard::default()).await.unwrap()
}

fn counts(report: &Report) -> BTreeMap<&'static str, u64> {
    let count = |(kind, tally): (&FindingKind, &wharf_registry::finding::Tally)| (kind.as_str(), tally.count);
    report.findings.iter().map(count).collect()
}

fn repairing() -> Options {
    Options {
        repair: Repair::Yes,
        ..Options::default()
    }
}

fn with_bytes() -> Options {
    Options {
        bytes: true,
        ..Options::default()
    }
}

/// A registry with `a:v1`, `a:v2` and `b/c:v1`.
async fn filled() -> (Registry, Image, Image) {
    let registry = Registry::open().await;
    let (one, two) = (image("one"), image("two"));
    registry.push("a", "v1", &one).await;
    registry.push("a", "v2", &two).await;
    registry.push("b/c", "v1", &one).await;
    registry.mirror().flush().await.unwrap();
    (registry, one, two)
}

fn bytes_of(registry: &Registry, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    let place = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    registry.root().join(place)
}

#[tokio::test]
async fn a_whole_registry_has_nothing_to_report() {
    let (registry, ..) = filled().await;
    let report = verified(&registry, &with_bytes()).await;
    assert_eq!(counts(&report), BTreeMap::new());
    assert_eq!((report.repositories, report.tags, report.manifests), (2, 3, 3));
    assert_eq!((report.layers, report.blobs, report.faults()), (9, 8, 0));
    assert!(report.bytes > 140_000);
}

#[tokio::test]
async fn every_difference_is_reported_in_both_directions() {
    let (registry, one, two) = filled().await;
    let tree = Tree::new(registry.root());
    let (found, absent) = (image("found"), Blob::new("never stored"));
    // what only the storage has
    tree.push("new/repository", "v1", &found);
    tree.push("a", "unindexed", &found);
    tree.tag("a", "dangling", &absent.digest);
    tree.layer("a", &absent.digest, &absent.digest);
    tree.revision("a", &absent.digest, &absent.digest);
    tree.write("repositories/a/_manifests/tags/broken/current/link", "no digest");
    tree.write("repositories/a/_manifests/tags/halfway/index/x", "");
    tree.write("repositories/a/_layers/sha256/zz/link", "x");
    tree.blob(&Blob::new("nobody names these bytes"));
    tree.write("repositories/README", "x");
    // what only the index has
    tree.delete_tag("a", "v2");
    tree.delete_revision("b/c", &one.digest());
    fs::remove_file(bytes_of(&registry, &two.blobs[2].digest)).unwrap();
    // what both have differently
    tree.tag("b/c", "v1", &two.digest());
    fs::write(bytes_of(&registry, &two.blobs[1].digest), "shorter").unwrap();
    let report = verified(&registry, &Options::default()).await;
    let expected = BTreeMap::from([
        ("missing-blob", 1),
        ("wrong-size", 1),
        ("dangling-layer", 1),
        ("dangling-manifest", 1),
        ("dangling-tag", 1),
        ("broken-link", 1),
        ("half-written", 1),
        ("foreign", 2),
        ("unindexed-repository", 1),
        ("unindexed-manifest", 1),
        ("unindexed-tag", 1),
        ("unindexed-layer", 3),
        ("unindexed-blob", 5),
        ("unlinked-tag", 1),
        ("unlinked-manifest", 1),
        ("different-tag", 1),
    ]);
    assert_eq!(counts(&report), expected);
    assert!(report.faults() > 0);
    assert_eq!(report.actions, 0);
}

#[tokio::test]
async fn a_dry_run_says_what_a_repair_does_and_does_nothing() {
    let (registry, ..) = filled().await;
    Tree::new(registry.root()).delete_tag("a", "v2");
    Tree::new(registry.root()).push("a", "v3", &image("three"));
    let options = Options {
        repair: Repair::DryRun,
        ..Options::default()
    };
    let before = verified(&registry, &options).await;
    assert_eq!(registry.tag_link("a", "v2"), None);
    assert_eq!(registry.tags("a").await, ["v1", "v2"]);
    let heard = Heard::default();
    registry.verification().run(&repairing(), &heard).await.unwrap();
    // bytes that come with a repository's entries need no step of their own then
    let done = heard.actions.lock().unwrap().clone();
    assert!(
        done.len() >= 2 && done.iter().all(|action| before.first_actions.contains(action)),
        "{done:?}"
    );
    assert!(
        before.first_actions.iter().any(|action| action.contains("tag/v2")),
        "{before:?}"
    );
}

#[tokio::test]
async fn repair_indexes_what_is_there_and_writes_the_links_that_were_promised() {
    let (registry, one, two) = filled().await;
    let (tree, found) = (Tree::new(registry.root()), image("found"));
    tree.push("new/repository", "v1", &found);
    tree.push("a", "unindexed", &found);
    tree.delete_tag("a", "v2");
    tree.delete_revision("b/c", &one.digest());
    tree.write("repositories/a/_manifests/tags/v1/current/link", "");
    tree.blob(&Blob::new("nobody names these bytes"));
    let report = verified(&registry, &repairing()).await;
    assert!(report.actions >= 4, "{report:?}");
    registry.expect_whole("new/repository", "v1", &found).await;
    registry.expect_whole("a", "unindexed", &found).await;
    assert_eq!(registry.tag_link("a", "v2").unwrap(), two.digest().to_string());
    assert_eq!(registry.tag_link("a", "v1").unwrap(), one.digest().to_string());
    let report = verified(&registry, &with_bytes()).await;
    assert_eq!(counts(&report), BTreeMap::new());
    // and storage alone says the same
    let registry = registry.stop().await.without_index().start().await;
    registry.expect_whole("a", "v2", &two).await;
    registry.expect_whole("b/c", "v1", &one).await;
}

#[tokio::test]
async fn a_tag_that_somebody_else_moved_wins_and_one_that_the_index_lost_track_of_does_not() {
    let (registry, one, two) = filled().await;
    Tree::new(registry.root()).tag("a", "v1", &two.digest());
    let digest = one.digest();
    let spoiled = registry.metadata().write(move |tx| {
        let repository = repositories::find(tx, &"a".parse().unwrap())?.unwrap();
        let tag: Tag = "v2".parse().unwrap();
        let link = tags::link(tx, repository.id, &tag)?.unwrap();
        let manifest = manifests::head(tx, repository.id, &digest)?.unwrap();
        let change = tags::Change {
            repository_id: repository.id,
            tag: &tag,
            action: tags::Action::Pushed,
            by: "",
            at: wharf_metadata::Timestamp(1),
        };
        tags::put(tx, &change, manifest.id, &digest)?;
        tags::set_links(tx, repository.id, &[(tag, digest, link)]).map(drop)
    });
    spoiled.await.unwrap();
    let report = verified(&registry, &repairing()).await;
    assert_eq!(counts(&report), BTreeMap::from([("different-tag", 2)]));
    // what the registry answers for is what it wrote last: its own word
    assert_eq!(registry.tag_link("a", "v2").unwrap(), one.digest().to_string());
    assert_eq!(registry.tag("a", "v1").await, Some(two.digest()));
}

#[tokio::test]
async fn damaged_bytes_are_put_aside_and_a_push_of_the_same_digest_heals_them() {
    let (registry, one, _) = filled().await;
    let layer = &one.blobs[2];
    let place = bytes_of(&registry, &layer.digest);
    let mut spoiled = layer.bytes.to_vec();
    spoiled[1000] ^= 1;
    fs::write(&place, &spoiled).unwrap();
    assert_eq!(counts(&verified(&registry, &Options::default()).await), BTreeMap::new());
    let report = verified(&registry, &with_bytes()).await;
    assert_eq!(counts(&report), BTreeMap::from([("wrong-bytes", 1)]));
    assert!(place.exists(), "without repair nothing is moved");
    let damaged = registry.metadata().read_blocking(|tx| rows::damaged(tx, 10)).unwrap();
    assert_eq!(damaged[0].sha256, layer.digest);

    let options = Options {
        repair: Repair::Yes,
        ..with_bytes()
    };
    verified(&registry, &options).await;
    let aside = registry.root().join("wharf/quarantine").join(layer.digest.hex());
    assert_eq!(fs::read(aside).unwrap(), spoiled);
    let target = format!("/v2/a/blobs/{}", layer.digest);
    registry.head(&target).send().await.expect(404);
    registry.push("a", "v1", &one).await;
    registry.expect_whole("a", "v1", &one).await;
    let report = verified(&registry, &Options::default()).await;
    assert_eq!(counts(&report), BTreeMap::new());
    let damaged = registry.metadata().read_blocking(|tx| rows::damaged(tx, 10)).unwrap();
    assert_eq!(damaged, []);
}

#[tokio::test]
async fn rows_whose_bytes_are_gone_go_only_when_that_is_asked_for() {
    let (registry, one, two) = filled().await;
    fs::remove_file(bytes_of(&registry, &two.blobs[2].digest)).unwrap();
    fs::remove_file(bytes_of(&registry, &one.digest())).unwrap();
    let report = verified(&registry, &repairing()).await;
    assert_eq!(counts(&report), BTreeMap::from([("missing-blob", 2)]));
    let again = verified(&registry, &repairing()).await;
    assert_eq!(counts(&again), BTreeMap::from([("missing-blob", 2)]));
    assert_eq!(registry.tags("a").await, ["v1", "v2"]);
    let options = Options {
        forget_missing: true,
        ..repairing()
    };
    verified(&registry, &options).await;
    // the manifest took its tags along; the layer's manifest stays, and says what is missing
    assert_eq!(registry.tags("a").await, ["v2"]);
    assert!(registry.tags("b/c").await.is_empty());
    assert_eq!(counts(&verified(&registry, &with_bytes()).await), BTreeMap::new());
    assert_eq!(registry.tag_link("b/c", "v1"), None);
}

/// Somebody who pushes an image again as soon as one of its blobs is found damaged.
struct Healer {
    registry: Registry,
    image: Image,
    has_pushed: Mutex<bool>,
}

impl Observer for Healer {
    fn finding(&self, _finding: &Finding) {
        if std::mem::replace(&mut *self.has_pushed.lock().unwrap(), true) {
            return;
        }
        let (registry, image) = (self.registry.clone(), self.image.clone());
        let push = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(registry.push("a", "v1", &image));
        };
        std::thread::spawn(push).join().unwrap();
    }

    fn action(&self, _action: &str) {}

    fn progress(&self, _done: u64, _total: Option<u64>, _what: &str) {}

    fn goes_on(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_while_its_damage_is_reported_is_neither_forgotten_nor_put_aside() {
    let forgetting = Options {
        forget_missing: true,
        ..repairing()
    };
    for is_missing in [true, false] {
        let (registry, image, _) = filled().await;
        let place = bytes_of(&registry, &image.blobs[2].digest);
        match is_missing {
            true => fs::remove_file(place).unwrap(),
            false => fs::write(place, "shorter").unwrap(),
        }
        let healer = Healer {
            registry: registry.clone(),
            image: image.clone(),
            has_pushed: Mutex::default(),
        };
        let report = registry.verification().run(&forgetting, &healer).await.unwrap();
        assert_eq!(report.faults(), 1);
        registry.expect_whole("a", "v1", &image).await;
        registry.expect_whole("b/c", "v1", &image).await;
    }
}

#[tokio::test]
async fn one_repository_is_verified_alone() {
    let (registry, ..) = filled().await;
    let tree = Tree::new(registry.root());
    tree.delete_tag("a", "v2");
    tree.delete_tag("b/c", "v1");
    let options = Options {
        repositories: vec!["b/c".parse().unwrap()],
        ..repairing()
    };
    let report = verified(&registry, &options).await;
    assert_eq!(counts(&report), BTreeMap::from([("unlinked-tag", 1)]));
    assert_eq!(registry.tag_link("a", "v2"), None);
    assert!(registry.tag_link("b/c", "v1").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_beside_writers_finds_nothing_wrong() {
    let registry = Registry::open().await;
    let images: Vec<_> = (0..3).map(|number| image(&number.to_string())).collect();
    let writing = async {
        for round in 0..60 {
            let (image, tag) = (&images[round % 3], format!("t{}", round % 4));
            registry.push("a", &tag, image).await;
            if round % 3 == 0 {
                let target = format!("/v2/a/manifests/{tag}");
                registry.delete(&target).send().await.expect(202);
            }
            if round % 7 == 0 {
                registry.mirror().flush().await.unwrap();
            }
        }
    };
    let heard = Heard::default();
    let verifying = async {
        for _ in 0..30 {
            let ran = registry.verification().run(&repairing(), &heard).await;
            ran.unwrap();
        }
    };
    tokio::join!(writing, verifying);
    let litter = |line: &&String| !line.starts_with("half-written");
    let heard = heard.findings.lock().unwrap();
    assert_eq!(heard.iter().filter(litter).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn nothing_is_verified_before_the_storage_was_looked_through() {
    let (registry, ..) = filled().await;
    let mut stopped = registry.stop().await;
    stopped.options().looks = Looks::WhenAsked;
    let registry = stopped.start().await;
    let heard = Heard::default();
    let options = Options::default();
    let verifying = registry.verification().run(&options, &heard);
    let (ran, verified) = tokio::join!(registry.adoption().run(), verifying);
    ran.unwrap();
    assert_eq!(verified.unwrap().faults(), 0);
}

#[test]
fn options_survive_the_payload_of_a_job_and_refuse_what_makes_no_sense() {
    let options = Options {
        repositories: vec!["a/b".parse().unwrap()],
        repair: Repair::DryRun,
        bytes_per_second: Some(1000),
        ..Options::default()
    };
    assert_eq!(Options::parse(&options.payload()), Ok(options));
    assert_eq!(Options::parse(&json!({})), Ok(Options::default()));
    for (payload, problem) in [
        (
            json!({"repair": "maybe"}),
            "repair is \"maybe\": it may be no, dry-run or yes",
        ),
        (json!({"forget_missing": true}), "forget_missing goes with repair only"),
        (
            json!({"repositories": ["a"], "bytes": true}),
            "bytes belong to all repositories: name none to look at them",
        ),
    ] {
        assert_eq!(Options::parse(&payload), Err(problem.to_owned()));
    }
    let refused = Options::parse(&json!({"repositories": ["A"]})).unwrap_err();
    assert!(refused.starts_with("\"A\" is no name of a repository: "), "{refused}");
}
