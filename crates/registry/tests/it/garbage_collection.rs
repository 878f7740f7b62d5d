//! What nothing holds goes, and nothing else (consistency rules 1, 2, 4, 5 and 16).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use wharf_metadata::blobs::{self, State};
use wharf_metadata::garbage_collection as queue;
use wharf_metadata::{Timestamp, adoption, links, repositories};
use wharf_oci::Digest;
use wharf_registry::garbage_collection::{End, PlannedKind, Policy, Request, Verdict};
use wharf_test_support::{
    Blob, Image, Looks, Options, Registry, Stopped, artifact, image, index, quick_folder, stored_blobs as stored,
};

use crate::tree::Tree;

const GRACE: Duration = Duration::from_secs(3_600);

/// A registry whose collector waits for nothing.
fn at_once() -> Options {
    let mut options = Options::default();
    options.collection.grace = Duration::ZERO;
    options
}

fn digests<'b>(blobs: impl IntoIterator<Item = &'b Blob>) -> BTreeSet<String> {
    blobs.into_iter().map(|blob| blob.digest.to_string()).collect()
}

/// All bytes that images consist of.
fn bytes_of(images: &[&Image]) -> BTreeSet<String> {
    let blobs = images.iter().flat_map(|image| image.blobs.iter());
    digests(blobs.chain(images.iter().map(|image| &image.manifest.blob)))
}

async fn delete(registry: &Registry, name: &str, digest: &Digest) {
    let target = format!("/v2/{name}/manifests/{digest}");
    registry.delete(&target).send().await.expect(202);
}

async fn has_blob(registry: &Registry, name: &str, blob: &Blob) -> bool {
    let head = registry.head(&format!("/v2/{name}/blobs/{}", blob.digest)).send().await;
    head.status.as_u16() == 200
}

fn state(registry: &Registry, digest: Digest) -> Option<State> {
    let found = registry.metadata().read_blocking(|tx| blobs::find(tx, &digest));
    let found: Option<blobs::Blob> = found.unwrap();
    found.map(|blob| blob.state)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn the_bytes_of_a_deleted_image_go_when_they_were_left_alone_long_enough() {
    let registry = Registry::open().await;
    let (gone, kept) = (image("gone"), image("kept"));
    registry.push("a", "gone", &gone).await;
    registry.push("a", "kept", &kept).await;
    registry.clock().advance(2 * GRACE);
    assert!(registry.collect().await.counts.is_empty(), "everything is needed");
    delete(&registry, "a", &gone.digest()).await;
    assert!(registry.collect().await.counts.is_empty(), "too early");
    registry.clock().advance(GRACE);
    let first = registry.collect().await.counts;
    assert_eq!((first.links, first.condemned, first.blobs), (3, 4, 0));
    registry.mirror().flush().await.unwrap();
    let layer = gone.blobs[0].digest.hex();
    assert!(!registry.repository("a").join("_layers/sha256").join(layer).exists());
    assert_eq!(stored(registry.root()), bytes_of(&[&gone, &kept]));
    registry.clock().advance(GRACE);
    let second = registry.collect().await.counts;
    let size: usize = gone
        .blobs
        .iter()
        .chain([&gone.manifest.blob])
        .map(|blob| blob.bytes.len())
        .sum();
    assert_eq!((second.blobs, second.bytes), (4, size as u64));
    assert_eq!(stored(registry.root()), bytes_of(&[&kept]));
    registry.expect_whole("a", "kept", &kept).await;
    registry.clock().advance(2 * GRACE);
    assert!(registry.collect().await.counts.is_empty());
    let runs = registry.metadata().read_blocking(|tx| queue::latest_runs(tx, None, 10));
    let runs: Vec<queue::Run> = runs.unwrap();
    assert_eq!(runs.iter().map(|run| run.counts).collect::<Vec<_>>(), [second, first]);
    assert!(runs.iter().all(|run| run.outcome == "done"));
}

#[tokio::test]
async fn an_image_that_shares_everything_with_a_deleted_one_stays_whole() {
    let registry = Registry::with(at_once()).await;
    let shared = image("shared");
    registry.push("a", "v1", &shared).await;
    registry.push("b", "v1", &shared).await;
    delete(&registry, "a", &shared.digest()).await;
    registry.collect_all().await;
    registry.expect_whole("b", "v1", &shared).await;
    assert!(!has_blob(&registry, "a", &shared.blobs[0]).await);
    delete(&registry, "b", &shared.digest()).await;
    registry.collect_all().await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

/// Between the commit that collects a link and the end of what follows it.
#[tokio::test]
async fn a_link_that_is_collected_is_not_promised_although_pulls_still_remember_it() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.clock().advance(2 * GRACE);
    registry.collect().await;
    assert!(has_blob(&registry, "a", &image.blobs[0]).await);
    registry.clock().advance(GRACE);
    let digest = image.blobs[0].digest;
    let unlinked = registry.metadata().write(move |tx| {
        let repository = repositories::find(tx, &"a".parse().unwrap())?.unwrap();
        links::unlink(tx, repository.id, &digest, Timestamp(1))
    });
    assert!(unlinked.await.unwrap().is_some());
    assert!(!has_blob(&registry, "a", &image.blobs[0]).await);
}

#[tokio::test]
async fn a_blob_that_no_manifest_came_for_goes_unless_somebody_asks_for_it() {
    let registry = Registry::open().await;
    let (asked, other) = (Blob::sized("asked", 1_000), Blob::sized("other", 1_000));
    registry.push_blob("a", &asked).await;
    registry.push_blob("a", &other).await;
    registry.clock().advance(GRACE - Duration::from_secs(1));
    assert!(has_blob(&registry, "a", &asked).await);
    registry.clock().advance(Duration::from_secs(1));
    assert_eq!(registry.collect().await.counts.links, 1);
    assert!(has_blob(&registry, "a", &asked).await);
    assert!(!has_blob(&registry, "a", &other).await);
    registry.clock().advance(GRACE);
    assert_eq!(registry.collect().await.counts.links, 1);
    assert_eq!(state(&registry, asked.digest), Some(State::Condemned));
    assert_eq!(state(&registry, other.digest), None);
}

#[tokio::test]
async fn what_a_push_was_told_is_there_is_still_there_for_its_manifest() {
    let registry = Registry::open().await;
    let image = image("a");
    for blob in &image.blobs {
        registry.push_blob("a", blob).await;
    }
    registry.clock().advance(GRACE - Duration::from_secs(1));
    for blob in &image.blobs {
        assert!(has_blob(&registry, "a", blob).await);
    }
    registry.clock().advance(GRACE - Duration::from_secs(1));
    registry.collect().await;
    registry.push_manifest("a", "v1", &image.manifest).await;
    registry.clock().advance(2 * GRACE);
    registry.collect().await;
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn questions_for_blobs_that_are_needed_are_written_down_rarely() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    // the reviews that the uploads queued
    registry.clock().advance(GRACE);
    registry.collect().await;
    let digest = image.blobs[0].digest;
    let touched = || {
        let found = registry.metadata().read_blocking(|tx| blobs::find(tx, &digest));
        let found: Option<blobs::Blob> = found.unwrap();
        found.unwrap().touched_at
    };
    let before = touched();
    assert!(has_blob(&registry, "a", &image.blobs[0]).await);
    assert_eq!(touched(), before, "in a batch, later");
    registry.collect().await;
    let first = touched();
    assert!(first > before);
    registry.clock().advance(GRACE / 4 - Duration::from_secs(1));
    assert!(has_blob(&registry, "a", &image.blobs[0]).await);
    registry.collect().await;
    assert_eq!(touched(), first, "once in a quarter of the grace period");
    registry.clock().advance(Duration::from_secs(1));
    assert!(has_blob(&registry, "a", &image.blobs[0]).await);
    registry.collect().await;
    assert!(touched() > first);
}

#[tokio::test]
async fn a_mount_saves_a_condemned_blob() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.push_blob("b", &image.blobs[0]).await;
    delete(&registry, "a", &image.digest()).await;
    registry.clock().advance(GRACE);
    registry.collect().await;
    assert_eq!(state(&registry, image.blobs[1].digest), Some(State::Condemned));
    // an upload of what is condemned
    registry.push_blob("c", &image.blobs[1]).await;
    assert_eq!(state(&registry, image.blobs[1].digest), Some(State::Present));
    for blob in &image.blobs {
        registry.push_blob("c", blob).await;
    }
    let mount = format!("/v2/d/blobs/uploads/?mount={}&from=c", image.blobs[2].digest);
    registry.post(&mount).send().await.expect(201);
    registry.push_manifest("c", "v1", &image.manifest).await;
    registry.clock().advance(3 * GRACE);
    registry.collect().await;
    registry.expect_whole("c", "v1", &image).await;
}

#[tokio::test]
async fn a_shared_layer_whose_other_user_is_not_indexed_yet_survives() {
    let shared = image("shared");
    let stopped = Stopped::new(Options {
        looks: Looks::WhenAsked,
        ..at_once()
    });
    let tree = Tree::new(stopped.root());
    tree.push("a", "v1", &shared);
    tree.push("b", "v1", &shared);
    let registry = stopped.start().await;
    // only what is asked for is read
    delete(&registry, "a", &shared.digest()).await;
    let report = registry.collect().await;
    assert_eq!(report.end, End::Incomplete);
    assert!(report.counts.is_empty());
    registry.adoption().run().await.unwrap();
    registry.collect_all().await;
    registry.expect_whole("b", "v1", &shared).await;
    assert!(!has_blob(&registry, "a", &shared.blobs[0]).await);
}

#[tokio::test]
async fn what_another_registry_used_while_wharf_was_away_survives() {
    let registry = Registry::open().await;
    let (condemned, deleting) = (image("condemned"), image("deleting"));
    for image in [&condemned, &deleting] {
        registry.push("a", "v1", image).await;
        delete(&registry, "a", &image.digest()).await;
    }
    registry.clock().advance(GRACE);
    registry.collect().await;
    // the process dies between the row and the bytes
    let now: Timestamp = registry.clock().now().into();
    let begun = registry.metadata().write(move |tx| {
        let pass = queue::Pass {
            owner: "died".to_owned(),
            epoch: adoption::completeness(tx)?.epoch,
            now,
            grace: 0,
            untagged_after: None,
            deadline: now,
        };
        queue::review_blobs(tx, &pass, 4)
    });
    let begun: Option<queue::Blobs> = begun.await.unwrap();
    assert_eq!(begun.unwrap().deleting.len(), 4);
    let stopped = registry.kill();
    let tree = Tree::new(stopped.root());
    tree.push("b", "v1", &condemned);
    tree.push("b", "v2", &deleting);
    let registry = stopped.start().await;
    for _ in 0..3 {
        registry.clock().advance(GRACE);
        registry.collect().await;
    }
    registry.expect_whole("b", "v1", &condemned).await;
    registry.expect_whole("b", "v2", &deleting).await;
    registry.collect_all().await;
    registry.expect_whole("b", "v1", &condemned).await;
    registry.expect_whole("b", "v2", &deleting).await;
}

#[tokio::test]
async fn a_restored_old_index_collects_nothing_that_the_storage_needs() {
    let registry = Registry::with(at_once()).await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest()).await;
    // the index as it is now, in which nothing holds the image
    let backup = registry.fork(quick_folder());
    let registry = registry.restart().await;
    registry.push("b", "v1", &image).await;
    registry.mirror().flush().await.unwrap();
    let folder = quick_folder();
    copy(registry.root(), folder.path());
    drop(registry.stop().await);

    let mut restored = backup.with_root(folder);
    restored.options().looks = Looks::WhenAsked;
    let restored = restored.start().await;
    // nobody compares: it trusts the index, as with `foreign_writers: never`
    restored.adoption().trust();
    let report = restored.collect().await;
    assert_eq!(report.end, End::Incomplete);
    assert!(stored(restored.root()).is_superset(&bytes_of(&[&image])));
    // and when it does compare, what is there is found
    let mut stopped = restored.stop().await;
    stopped.options().looks = Looks::First;
    let compared = stopped.start().await;
    compared.collect_all().await;
    compared.expect_whole("b", "v1", &image).await;
}

#[tokio::test]
async fn a_manifest_without_a_tag_is_pulled_by_its_digest_for_ever() {
    let registry = Registry::with(at_once()).await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "latest", &old).await;
    registry.push("a", "latest", &new).await;
    registry.push("a", "gone", &old).await;
    registry.delete("/v2/a/manifests/gone").send().await.expect(202);
    registry.clock().advance(100 * GRACE);
    registry.collect_all().await;
    registry.expect_whole("a", &old.digest().to_string(), &old).await;
}

#[tokio::test]
async fn manifests_without_a_tag_go_after_the_time_that_is_set() {
    let mut options = Options::default();
    options.collection.untagged_after = Some(10 * GRACE);
    let registry = Registry::with(options).await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "latest", &old).await;
    registry.clock().advance(20 * GRACE);
    registry.collect().await;
    registry.push("a", "latest", &new).await;
    registry.clock().advance(9 * GRACE);
    registry.collect().await;
    registry.expect_whole("a", &old.digest().to_string(), &old).await;
    registry.clock().advance(GRACE);
    assert_eq!(registry.collect().await.counts.manifests, 1);
    let target = format!("/v2/a/manifests/{}", old.digest());
    registry.get(&target).send().await.expect(404);
    registry.expect_whole("a", "latest", &new).await;
    let audit = registry
        .metadata()
        .read_blocking(|tx| wharf_metadata::audit_log::page(tx, None, 1));
    let line = audit
        .unwrap_or_else(|error: wharf_metadata::Error| panic!("{error}"))
        .remove(0);
    assert_eq!(
        (line.actor.as_str(), line.action.as_str()),
        ("garbage-collection", "manifest.delete")
    );
    assert_eq!(line.subject, format!("a@{}", old.digest()));
}

#[tokio::test]
async fn a_setting_that_is_switched_on_counts_for_what_is_there_already() {
    let registry = Registry::open().await;
    let (old, new) = (image("old"), image("new"));
    registry.push("a", "latest", &old).await;
    registry.push("a", "latest", &new).await;
    registry.collect().await;
    let mut stopped = registry.stop().await;
    stopped.options().collection.untagged_after = Some(GRACE);
    let registry = stopped.start().await;
    registry.clock().advance(GRACE);
    assert_eq!(registry.collect().await.counts.manifests, 1);
    registry.expect_whole("a", "latest", &new).await;
}

/// `registry garbage-collect -m`
async fn collect_untagged(registry: &Registry) {
    let request = Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: true,
    };
    assert_eq!(registry.collect_as(&request).await.end, End::Done);
}

#[tokio::test]
async fn children_of_an_index_stay_also_when_they_come_after_it() {
    let registry = Registry::with(at_once()).await;
    let (first, second) = (image("first"), image("second"));
    let list = index(&[&first.manifest, &second.manifest]);
    registry.push_manifest("a", "multi", &list).await;
    registry.push("a", &first.digest().to_string(), &first).await;
    collect_untagged(&registry).await;
    registry.expect_whole("a", &first.digest().to_string(), &first).await;
    delete(&registry, "a", &list.digest()).await;
    collect_untagged(&registry).await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_signature_lives_as_long_as_its_subject() {
    let registry = Registry::with(at_once()).await;
    let subject = image("subject");
    let signature = artifact(&subject.manifest, "x/signature", "signed");
    let second = artifact(&signature.manifest, "x/note", "about the signature");
    // before its subject
    registry.push("a", &signature.digest().to_string(), &signature).await;
    registry.push("a", &second.digest().to_string(), &second).await;
    collect_untagged(&registry).await;
    registry.push("a", "v1", &subject).await;
    collect_untagged(&registry).await;
    let target = format!("/v2/a/referrers/{}", subject.digest());
    let referrers = registry.get(&target).send().await.expect(200).json();
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
    registry
        .expect_whole("a", &signature.digest().to_string(), &signature)
        .await;
    // and it goes with it, without anybody asking for that
    delete(&registry, "a", &subject.digest()).await;
    registry.collect().await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn an_upload_that_meets_a_deletion_waits_for_its_end() {
    let registry = Registry::with(at_once()).await;
    let blob = Blob::sized("x", 100_000);
    let now: Timestamp = registry.clock().now().into();
    begin_deleting(&registry, &blob, now.plus(3_600_000_000)).await;
    let finish = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let digest = blob.digest;
        registry.storage().blobs().delete(&digest).await.unwrap();
        let finished = registry.metadata().write(move |tx| {
            let found = blobs::find(tx, &digest)?.unwrap();
            queue::finish_deleting(tx, &[found], "other")
        });
        let finished: usize = finished.await.unwrap();
        assert_eq!(finished, 1);
    };
    tokio::join!(registry.push_blob("a", &blob), finish);
    let target = format!("/v2/a/blobs/{}", blob.digest);
    assert!(registry.get(&target).send().await.expect(200).body == blob.bytes);
}

#[tokio::test]
async fn an_upload_goes_on_when_a_stalled_deletion_must_have_ended() {
    let registry = Registry::with(at_once()).await;
    let blob = Blob::sized("x", 100_000);
    let now: Timestamp = registry.clock().now().into();
    begin_deleting(&registry, &blob, now.plus(1_000_000)).await;
    registry.clock().advance(Duration::from_secs(62));
    registry.push_blob("a", &blob).await;
    assert_eq!(state(&registry, blob.digest), Some(State::Present));
    let target = format!("/v2/a/blobs/{}", blob.digest);
    assert!(registry.get(&target).send().await.expect(200).body == blob.bytes);
}

/// Leaves a blob in the state in which another process deletes it.
async fn begin_deleting(registry: &Registry, blob: &Blob, deadline: Timestamp) {
    let (digest, size) = (blob.digest, blob.bytes.len() as u64);
    registry
        .storage()
        .blobs()
        .put(&digest, blob.bytes.clone())
        .await
        .unwrap();
    let now: Timestamp = registry.clock().now().into();
    let begun = registry.metadata().write(move |tx| {
        let id = blobs::adopt(tx, (&digest, None), size, now)?;
        queue::queue_blob(tx, id, now)?;
        let pass = queue::Pass {
            owner: "other".to_owned(),
            epoch: adoption::completeness(tx)?.epoch,
            now,
            grace: 0,
            untagged_after: None,
            deadline,
        };
        queue::review_blobs(tx, &pass, 10)?;
        queue::review_blobs(tx, &pass, 10)
    });
    let begun: Option<queue::Blobs> = begun.await.unwrap();
    assert_eq!(begun.unwrap().deleting.len(), 1);
}

#[tokio::test]
async fn a_deletion_that_another_process_left_is_ended_after_its_deadline() {
    let registry = Registry::with(at_once()).await;
    let blob = Blob::sized("x", 1_000);
    let now: Timestamp = registry.clock().now().into();
    begin_deleting(&registry, &blob, now.plus(1_000_000)).await;
    assert!(registry.collect().await.counts.is_empty());
    assert_eq!(stored(registry.root()), digests([&blob]));
    registry.clock().advance(Duration::from_secs(62));
    assert_eq!(registry.collect().await.counts.blobs, 1);
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_loses_no_row() {
    let registry = Registry::with(at_once()).await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest()).await;
    std::fs::rename(registry.root().join("wharf"), registry.root().join("elsewhere")).unwrap();
    registry.collect().await;
    assert!(state(&registry, image.blobs[0].digest).is_some());
    std::fs::rename(registry.root().join("elsewhere"), registry.root().join("wharf")).unwrap();
    registry.clock().advance(Duration::from_secs(30));
    registry.collect_all().await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}

#[tokio::test]
async fn a_plan_names_all_that_goes_and_nothing_else() {
    let mut options = at_once();
    options.collection.untagged_after = Some(Duration::ZERO);
    let registry = Registry::with(options).await;
    let (gone, kept, child) = (image("gone"), image("kept"), image("child"));
    let list = index(&[&child.manifest]);
    let signature = artifact(&child.manifest, "x/signature", "signed");
    registry.push("a", "v1", &gone).await;
    registry.push("a", "v1", &kept).await;
    registry.push("b", "kept", &gone).await;
    registry.push("a", &child.digest().to_string(), &child).await;
    registry.push_manifest("a", "tmp", &list).await;
    registry.push("a", &signature.digest().to_string(), &signature).await;
    registry.push_blob("a", &Blob::sized("loose", 100)).await;
    registry.delete("/v2/a/manifests/tmp").send().await.expect(202);
    let request = Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: false,
    };
    let plan = registry.collector().plan(&request).await.unwrap();
    let planned = |kind: PlannedKind| -> BTreeSet<String> {
        let objects = plan.objects.iter().filter(|object| object.kind == kind);
        objects.map(|object| object.digest.to_string()).collect()
    };
    let manifests = [&gone.manifest, &list, &child.manifest, &signature.manifest];
    assert_eq!(
        planned(PlannedKind::Manifest),
        digests(manifests.map(|manifest| &manifest.blob))
    );
    let before = stored(registry.root());
    let report = registry.collect_as(&request).await;
    assert_eq!(report.counts.bytes, plan.bytes);
    let after = stored(registry.root());
    assert_eq!(planned(PlannedKind::Blob), before.difference(&after).cloned().collect());
    assert_eq!(after, bytes_of(&[&gone, &kept]));
    assert!(registry.collector().plan(&request).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn an_explanation_says_who_holds_a_blob_and_when_it_goes() {
    let registry = Registry::open().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.push_blob("b", &image.blobs[1]).await;
    let now: Timestamp = registry.clock().now().into();
    let grace = 3_600_000_000;
    let explain = async |digest: &Digest| registry.collector().explain(digest).await.unwrap();
    let told = explain(&image.blobs[1].digest).await;
    assert_eq!(told.verdict, Verdict::Held);
    let names: Vec<&str> = told.holds.iter().map(|hold| hold.repository.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        told.holds[0].referenced_by,
        [(image.digest(), vec!["v1".parse().unwrap()])]
    );
    assert_eq!(told.holds[0].link_goes_at, None);
    assert_eq!(told.holds[1].link_goes_at, Some(now.plus(grace)));
    let manifest = explain(&image.digest()).await;
    assert_eq!(manifest.verdict, Verdict::Held);
    assert_eq!(
        manifest.holds[0].manifest.as_ref().unwrap().tags,
        ["v1".parse().unwrap()]
    );

    delete(&registry, "a", &image.digest()).await;
    assert_eq!(
        explain(&image.blobs[1].digest).await.verdict,
        Verdict::Unneeded(now.plus(2 * grace))
    );
    assert_eq!(
        explain(&image.digest()).await.verdict,
        Verdict::Unheld(now.plus(2 * grace))
    );
    registry.clock().advance(GRACE);
    registry.collect().await;
    assert_eq!(
        explain(&image.digest()).await.verdict,
        Verdict::Condemned(now.plus(2 * grace))
    );
    registry.clock().advance(GRACE);
    registry.collect().await;
    assert_eq!(explain(&image.digest()).await.verdict, Verdict::Unknown);
}

#[tokio::test]
async fn a_run_can_be_stopped_between_any_two_batches_and_goes_on_later() {
    let registry = Registry::with(Options {
        collection: Policy {
            objects_per_second: Some(1_000_000),
            ..at_once().collection
        },
        ..at_once()
    })
    .await;
    let (gone, kept) = (image("gone"), image("kept"));
    registry.push("a", "kept", &kept).await;
    let request = Request {
        cause: "test".to_owned(),
        grace: None,
        is_full: true,
        with_untagged: false,
    };
    for batches in 0.. {
        registry.push("a", "gone", &gone).await;
        delete(&registry, "a", &gone.digest()).await;
        let mut left = batches;
        let report = registry.collector().run(&request, |_| {
            left -= 1;
            left >= 0
        });
        let report = report.await.unwrap();
        registry.expect_whole("a", "kept", &kept).await;
        if report.end == End::Done {
            assert!(batches > 5, "{batches}");
            break;
        }
        assert_eq!(report.end, End::Stopped);
    }
    registry.collect_all().await;
    assert_eq!(stored(registry.root()), bytes_of(&[&kept]));
}

#[tokio::test]
async fn a_slow_pace_is_kept() {
    let mut options = at_once();
    options.collection.objects_per_second = Some(20);
    let registry = Registry::with(options).await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    delete(&registry, "a", &image.digest()).await;
    let before = std::time::Instant::now();
    registry.collect_all().await;
    // three links and four blobs
    assert!(before.elapsed() >= Duration::from_millis(350), "{:?}", before.elapsed());
}

#[tokio::test]
async fn the_type_that_was_kept_for_a_manifest_goes_with_its_bytes() {
    let registry = Registry::with(at_once()).await;
    let odd = wharf_test_support::Manifest::typed("application/x-odd+json", r#"{"odd": true}"#);
    registry.push_manifest("a", "v1", &odd).await;
    let kept = registry.root().join("wharf/types").join(odd.digest().hex());
    assert!(kept.exists());
    delete(&registry, "a", &odd.digest()).await;
    registry.collect_all().await;
    assert!(!kept.exists());
}

#[tokio::test]
async fn the_next_due_time_is_that_of_what_was_left_alone_longest() {
    let registry = Registry::open().await;
    assert_eq!(registry.collector().next_due().await.unwrap(), None);
    let now: Timestamp = registry.clock().now().into();
    registry.push_blob("a", &Blob::sized("x", 10)).await;
    assert_eq!(
        registry.collector().next_due().await.unwrap(),
        Some(now.plus(3_600_000_000))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_that_come_while_the_same_bytes_go_are_whole_when_they_were_promised() {
    let registry = Registry::with(at_once()).await;
    let images: Vec<Image> = (0..2).map(|number| image(&number.to_string())).collect();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let collect = async {
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            registry.collect().await;
            tokio::task::yield_now().await;
        }
    };
    let pushes = async {
        let clients = (0..6).map(|number| client(&registry, number, &images));
        futures_util::future::join_all(clients).await;
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(collect, pushes);
    registry.mirror().flush().await.unwrap();
    // what refused pushes have left half-way
    registry.clock().advance(Duration::from_secs(120));
    registry.collect_all().await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
    let rows = registry.metadata().read_blocking(adoption::counts);
    let rows: adoption::Counts = rows.unwrap();
    assert_eq!((rows.blobs, rows.manifests), (0, 0));
}

/// Pushes, pulls and deletes; each in a repository of its own, with bytes that all have.
async fn client(registry: &Registry, number: usize, images: &[Image]) {
    let name = format!("client-{number}");
    let mut acknowledged = 0;
    for round in 0..12 {
        let image = &images[(number + round) % images.len()];
        if !push_as_clients_do(registry, &name, number + round, image).await {
            continue;
        }
        acknowledged += 1;
        for _ in 0..2 {
            registry.expect_whole(&name, "v1", image).await;
            tokio::task::yield_now().await;
        }
        delete(registry, &name, &image.digest()).await;
    }
    assert!(acknowledged > 0, "{name} could push nothing");
}

/// HEAD, mount, upload, manifest; whether it was accepted. Refusals with which a client comes again
/// are none: it tries once more.
async fn push_as_clients_do(registry: &Registry, name: &str, turn: usize, image: &Image) -> bool {
    for blob in &image.blobs {
        if has_blob(registry, name, blob).await {
            continue;
        }
        let from = if turn.is_multiple_of(2) {
            format!("&from=client-{}", turn % 6)
        } else {
            String::new()
        };
        let post = format!("/v2/{name}/blobs/uploads/?mount={}{from}", blob.digest);
        let started = registry.post(&post).send().await;
        if started.status.as_u16() == 201 {
            continue;
        }
        let put = registry.put(&format!("{}?digest={}", started.expect(202).location(), blob.digest));
        let status = put.body(blob.bytes.clone()).send().await.status.as_u16();
        if status != 201 {
            assert_eq!(status, 503, "only a deletion of the same bytes is in the way");
            return false;
        }
    }
    let put = registry.manifest_put(name, "v1", &image.manifest).send().await;
    match put.status.as_u16() {
        201 => true,
        503 => false,
        _ => {
            assert_eq!(put.code(), "MANIFEST_BLOB_UNKNOWN", "{put:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_power_cut_at_every_step_of_a_collection_breaks_nothing_and_leaves_nothing() {
    use wharf_storage::{Cut, Fault};
    let (gone, kept) = (image("gone"), image("kept"));
    for steps in 0.. {
        let registry = Registry::with(Options {
            recorded: true,
            ..at_once()
        })
        .await;
        registry.push("a", "gone", &gone).await;
        registry.push("a", "kept", &kept).await;
        registry.push("b", "kept", &kept).await;
        delete(&registry, "a", &gone.digest()).await;
        delete(&registry, "a", &kept.digest()).await;
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::PowerOff);
        let request = Request {
            cause: "test".to_owned(),
            grace: None,
            is_full: true,
            with_untagged: false,
        };
        // it may fail as the disk does
        let _outcome = registry.collector().run(&request, |_| true).await;
        let is_whole = registry.mirror().flush().await.is_ok() && !registry.recorder().has_failed();
        for cut in [Cut::Strict, Cut::NamesFirst] {
            let left = quick_folder();
            registry.recorder().materialise(cut, left.path()).unwrap();
            let mut stopped = registry.fork(left);
            stopped.options().recorded = false;
            let survivor = stopped.start().await;
            survivor.expect_whole("b", "kept", &kept).await;
            // what could not be deleted is left alone for a while
            survivor.clock().advance(Duration::from_secs(30));
            survivor.collect_all().await;
            survivor.expect_whole("b", "kept", &kept).await;
            assert_eq!(stored(survivor.root()), bytes_of(&[&kept]), "{steps} {cut:?}");
        }
        if is_whole {
            assert!(steps > 5, "{steps} steps only: is the disk watched?");
            return;
        }
    }
}

#[tokio::test]
async fn a_disk_that_refuses_to_delete_keeps_the_rows() {
    use wharf_storage::Fault;
    let registry = Registry::with(Options {
        recorded: true,
        ..at_once()
    })
    .await;
    let gone = image("gone");
    registry.push("a", "gone", &gone).await;
    delete(&registry, "a", &gone.digest()).await;
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    let report = registry.collect().await;
    assert_eq!((report.counts.blobs, report.end), (0, End::Done));
    assert_eq!(state(&registry, gone.blobs[0].digest), Some(State::Present));
    assert_eq!(stored(registry.root()), bytes_of(&[&gone]));
    let registry = registry.kill().start().await;
    registry.clock().advance(Duration::from_secs(30));
    registry.collect_all().await;
    assert_eq!(stored(registry.root()), BTreeSet::new());
}
