//! How the storage of another registry is read: before, while and after it is indexed (consistency
//! rules 1, 7 and 8).

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use wharf_metadata::{adoption as rows, bulk, manifests, repositories, tags};
use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_registry::adoption::Phase;
use wharf_registry::finding::FindingKind;
use wharf_test_support::{Auth, Blob, Looks, Options, Registry, Stopped, artifact, image};

use crate::tree::Tree;

fn when_asked() -> Options {
    Options {
        looks: Looks::WhenAsked,
        ..Options::default()
    }
}

fn prepared(options: Options, fill: impl FnOnce(&Tree)) -> Stopped {
    let stopped = Stopped::new(options);
    fill(&Tree::new(stopped.root()));
    stopped
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[tokio::test]
async fn pulls_are_answered_from_the_folder_before_the_repository_is_read() {
    let (one, blob) = (image("one"), Blob::sized("x", 5000));
    let registry = prepared(when_asked(), |tree| {
        tree.push("a/b", "v1", &one);
        tree.blob(&blob);
        tree.layer("a/b", &blob.sha512(), &blob.digest);
    });
    let registry = registry.start().await;
    registry.expect_whole("a/b", "v1", &one).await;
    registry.expect_whole("a/b", &one.digest().to_string(), &one).await;
    let target = format!("/v2/a/b/blobs/{}", blob.sha512());
    assert!(registry.get(&target).send().await.expect(200).body == blob.bytes);
    assert!(!registry.adoption().knows(&name("a/b")));
    // what is not there is looked for in a whole index
    let missing = registry.get("/v2/a/b/manifests/v2").send().await;
    missing.expect_error(404, "MANIFEST_UNKNOWN");
    assert!(registry.adoption().knows(&name("a/b")));
    registry.expect_whole("a/b", "v1", &one).await;
}

#[tokio::test]
async fn reading_through_keeps_to_the_rights() {
    let options = Options {
        auth: Auth::BuiltIn,
        ..Options::default()
    };
    let (old, new) = (image("old"), image("new"));
    let registry = prepared(options, |tree| tree.push("team/old", "v1", &old))
        .start()
        .await;
    registry.publish("team").await;
    let mut stopped = registry.stop().await;
    let tree = Tree::new(stopped.root());
    tree.push("team/new", "v1", &new);
    tree.push("other/new", "v1", &new);
    stopped.options().looks = Looks::WhenAsked;
    let registry = stopped.start().await;
    // the project is public already: so is what is found in it
    registry.get("/v2/team/new/manifests/v1").send().await.expect(200);
    let hidden = registry.get("/v2/other/new/manifests/v1").send().await;
    hidden.expect_error(401, "UNAUTHORIZED");
    let absent = registry.get("/v2/other/absent/manifests/v1").send().await;
    absent.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn what_is_wrong_in_the_tree_is_counted_with_examples() {
    let (good, absent, noise) = (
        image("good"),
        Blob::new("never stored"),
        Blob::new("no manifest at all"),
    );
    let registry = prepared(Options::default(), |tree| {
        tree.push("a", "good", &good);
        tree.blob(&noise);
        tree.revision("a", &noise.digest, &noise.digest);
        tree.revision("a", &absent.digest, &absent.digest);
        tree.layer("a", &absent.digest, &absent.digest);
        tree.tag("a", "dangling", &absent.digest);
        tree.write("repositories/a/_manifests/tags/broken/current/link", "no digest");
        tree.write("repositories/a/_manifests/tags/halfway/index/x", "");
        tree.write("repositories/a/_layers/sha256/zz/link", "x");
        tree.write("repositories/.DS_Store", "x");
        tree.blob(&Blob::new("nobody names these bytes"));
    });
    let registry = registry.start().await;
    let status = registry.adoption().progress().snapshot();
    let count = |kind| status.findings.get(&kind).map_or(0, |tally| tally.count);
    for (kind, expected) in [
        (FindingKind::UnreadableManifest, 1),
        (FindingKind::DanglingManifest, 1),
        (FindingKind::DanglingLayer, 1),
        (FindingKind::DanglingTag, 1),
        (FindingKind::BrokenLink, 1),
        (FindingKind::HalfWritten, 1),
        (FindingKind::Foreign, 2),
        // the bytes that are no manifest are nobody's either, like those that are left over
        (FindingKind::OrphanBlob, 2),
    ] {
        assert_eq!(count(kind), expected, "{}", kind.as_str());
    }
    let broken = &status.findings[&FindingKind::BrokenLink].examples[0];
    assert_eq!(broken, "a tag/broken: it does not hold a digest");
    assert_eq!(status.phase, Phase::Complete);
    assert_eq!((status.repositories, status.total), (1, 1));
    registry.expect_whole("a", "good", &good).await;
}

#[tokio::test]
async fn bytes_that_nobody_names_have_a_row_after_the_first_pass() {
    let orphan = Blob::new("left by an upload that was never linked");
    let registry = prepared(Options::default(), |tree| {
        tree.push("a", "v1", &image("a"));
        tree.blob(&orphan);
    });
    let registry = registry.start().await;
    let digest = orphan.digest;
    let rows = registry
        .metadata()
        .read_blocking(|tx| bulk::blob_ids(tx, &[digest]))
        .unwrap();
    assert!(rows.contains_key(&digest));
    // they are served from no repository all the same
    registry
        .get(&format!("/v2/a/blobs/{digest}"))
        .send()
        .await
        .expect_error(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn a_repository_of_many_transactions_is_whole() {
    let images: Vec<_> = (0..7).map(|number| image(&number.to_string())).collect();
    let spare: Vec<Blob> = (0..2_300).map(|number| Blob::new(format!("spare {number}"))).collect();
    let stopped = prepared(Options::default(), |tree| {
        for (number, image) in images.iter().enumerate() {
            tree.push("a", &format!("v{number}"), image);
            let note = artifact(&image.manifest, "x/note", &number.to_string());
            tree.push("a", "note", &note);
        }
        for number in 0..2_100 {
            tree.tag("a", &format!("t{number:04}"), &images[number % 7].digest());
        }
        for blob in &spare {
            tree.blob(blob);
            tree.layer("a", &blob.digest, &blob.digest);
        }
    });
    let registry = stopped.start().await;
    let status = registry.adoption().progress().snapshot();
    // seven images of three blobs, the one of all notes, and the spare ones
    assert_eq!((status.tags, status.manifests, status.layers), (2_108, 14, 2_322));
    let count = registry.metadata().read_blocking(|tx| {
        let repository = repositories::find(tx, &name("a"))?.unwrap();
        tags::count(tx, repository.id)
    });
    assert_eq!(count.unwrap(), 2_108);
    for (number, image) in images.iter().enumerate() {
        registry.expect_whole("a", &format!("t{number:04}"), image).await;
        let referrers = registry
            .get(&format!("/v2/a/referrers/{}", image.digest()))
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
    }
    for blob in spare.iter().step_by(100) {
        let target = format!("/v2/a/blobs/{}", blob.digest);
        registry.head(&target).send().await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_a_crash_cut_off_is_finished_by_the_next_start() {
    let one = image("one");
    let stopped = prepared(when_asked(), |tree| {
        for number in 0..60 {
            for tag in ["v1", "v2"] {
                tree.push(&format!("r{number:02}"), tag, &one);
            }
        }
    });
    let registry = stopped.start().await;
    let progress = registry.adoption().progress();
    let some = async {
        while progress.repositories() < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ran = registry.adoption().run() => ran.unwrap(),
        () = some => {}
    }
    let registry = registry.kill().start().await;
    let complete = registry.metadata().read_blocking(rows::completeness).unwrap();
    assert!(
        !complete.is_complete,
        "nothing may be collected before the pass is through"
    );
    registry.adoption().run().await.unwrap();
    let names = registry.get("/v2/_catalog?n=100").send().await.expect(200).json();
    assert_eq!(names["repositories"].as_array().unwrap().len(), 60);
    for number in 0..60 {
        assert_eq!(registry.tags(&format!("r{number:02}")).await, ["v1", "v2"]);
    }
    let complete = registry.metadata().read_blocking(rows::completeness).unwrap();
    assert!(complete.is_complete);
}

/// Makes the folder of a repository's layers look as if something had come or gone so long ago.
fn age_layers(stopped: &Stopped, name: &str, seconds: i64) {
    let folder = File::open(stopped.repository(name).join("_layers/sha256")).unwrap();
    let changed = stopped.clock().now().as_second() - seconds;
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.unsigned_abs());
    folder.set_modified(changed).unwrap();
}

#[tokio::test]
async fn unchanged_folders_of_layers_are_not_read_again() {
    let (one, two) = (image("one"), image("two"));
    let mut stopped = prepared(Options::default(), |tree| tree.push("a", "v1", &one));
    age_layers(&stopped, "a", 60);
    for (layers, what) in [(3, "new"), (0, "unchanged"), (0, "still unchanged")] {
        let registry = stopped.start().await;
        assert_eq!(registry.adoption().progress().snapshot().layers, layers, "{what}");
        registry.expect_whole("a", "v1", &one).await;
        stopped = registry.stop().await;
    }
    Tree::new(stopped.root()).push("a", "v2", &two);
    let registry = stopped.start().await;
    assert_eq!(registry.adoption().progress().snapshot().layers, 6);
    registry.expect_whole("a", "v2", &two).await;
}

#[tokio::test]
async fn what_changed_right_before_it_was_read_is_read_once_more() {
    let stopped = prepared(Options::default(), |tree| tree.push("a", "v1", &image("one")));
    age_layers(&stopped, "a", 1);
    let registry = stopped.start().await.restart().await;
    // the file system's clock may not have moved on since the folder was read
    assert_eq!(registry.adoption().progress().snapshot().layers, 3);
}

#[tokio::test]
async fn one_unreadable_repository_holds_up_lists_but_not_the_others() {
    let one = image("one");
    let stopped = prepared(when_asked(), |tree| {
        tree.push("good", "v1", &one);
        tree.push("bad", "v1", &one);
    });
    let folder = stopped.repository("bad").join("_layers/sha256");
    let aside = stopped.repository("bad").join("aside");
    fs::rename(&folder, &aside).unwrap();
    std::os::unix::fs::symlink(&folder, &folder).unwrap();
    let registry = stopped.start().await;
    let progress = registry.adoption().progress();
    let meanwhile = async {
        while progress.snapshot().failed == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(progress.snapshot().findings.contains_key(&FindingKind::Unreadable));
        registry.expect_whole("good", "v1", &one).await;
        assert_eq!(registry.tags("good").await, ["v1"]);
        assert!(!registry.adoption().is_settled());
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
    };
    let (ran, ()) = tokio::join!(registry.adoption().run(), meanwhile);
    ran.unwrap();
    assert!(registry.adoption().is_settled());
    registry.expect_whole("bad", "v1", &one).await;
}

#[tokio::test]
async fn a_rebuild_brings_back_what_the_index_lost_and_keeps_what_storage_cannot_tell() {
    let (one, two) = (image("one"), image("two"));
    let note = artifact(&one.manifest, "x/note", "hello");
    let registry = Registry::with(Options {
        auth: Auth::Htpasswd,
        ..Options::default()
    })
    .await;
    let put = async |tag: &str, pushed: &wharf_test_support::Image| {
        for blob in &pushed.blobs {
            let target = format!("/v2/a/b/blobs/uploads/?digest={}", blob.digest);
            let sent = registry.post(&target).basic("alice", "secret").body(blob.bytes.clone());
            sent.send().await.expect(201);
        }
        let sent = registry
            .manifest_put("a/b", tag, &pushed.manifest)
            .basic("alice", "secret");
        sent.send().await.expect(201);
    };
    put("v1", &one).await;
    put("v2", &two).await;
    put("note", &note).await;
    registry.publish("a").await;
    registry.mirror().flush().await.unwrap();
    let pushed_by = {
        let digest = one.digest();
        registry
            .metadata()
            .read_blocking(|tx| manifest_row(tx, &digest))
            .unwrap()
            .unwrap()
            .pushed_by
    };
    assert_eq!(pushed_by, "alice");
    spoil(&registry, &one.digest(), &two.digest()).await;
    registry.adoption().rebuild().await.unwrap();
    let read = async |tag: &str| {
        let got = registry
            .get(&format!("/v2/a/b/manifests/{tag}"))
            .basic("alice", "secret");
        got.send().await
    };
    read("v1").await.expect(200).expect_digest(&one.digest());
    read("v2").await.expect(200).expect_digest(&two.digest());
    read("invented").await.expect_error(404, "MANIFEST_UNKNOWN");
    let row = registry
        .metadata()
        .read_blocking(|tx| {
            let digest = one.digest();
            let row = manifest_row(tx, &digest)?.unwrap();
            Ok::<_, wharf_metadata::Error>((manifests::references(tx, row.id)?.len(), row.pushed_by))
        })
        .unwrap();
    assert_eq!(row, (3, "alice".to_owned()));
    assert_eq!(registry.visibility("a/b"), Some(wharf_access::Visibility::Public));
    let complete = registry.metadata().read_blocking(rows::completeness).unwrap();
    assert!(complete.is_complete);
    let status = registry.adoption().progress().snapshot();
    assert!(status.is_full && status.phase == Phase::Complete, "{status:?}");
}

fn manifest_row(
    tx: &mut wharf_metadata::Tx<'_>,
    digest: &Digest,
) -> Result<Option<manifests::Manifest>, wharf_metadata::Error> {
    let repository = repositories::find(tx, &name("a/b"))?.unwrap();
    manifests::find(tx, repository.id, digest)
}

/// Loses a manifest and the references of another, points one tag elsewhere, invents another.
async fn spoil(registry: &Registry, one: &Digest, two: &Digest) {
    let (one, two, now) = (*one, *two, registry.clock().now().into());
    let spoiled = registry.metadata().write(move |tx| {
        let repository = repositories::find(tx, &name("a/b"))?.unwrap();
        manifests::delete(tx, repository.id, &two, "", now)?;
        let row = manifests::find(tx, repository.id, &one)?.unwrap();
        let annotations = manifests::annotations(tx, row.id)?;
        let bare = manifests::NewManifest {
            sha256: row.sha256,
            sha512: None,
            media_type: &row.media_type,
            size: row.size,
            artifact_type: row.artifact_type.as_deref(),
            config_media_type: row.config_media_type.as_deref(),
            subject: None,
            annotations: &annotations,
            references: &[],
            pushed_at: now,
            pushed_by: "",
        };
        assert!(manifests::correct(tx, repository.id, &bare)?);
        for tag in ["note", "invented"] {
            let tag: Tag = tag.parse().unwrap();
            let change = tags::Change {
                repository_id: repository.id,
                tag: &tag,
                action: tags::Action::Pushed,
                by: "",
                at: now,
            };
            tags::put(tx, &change, row.id, &one)?;
        }
        Ok::<_, wharf_metadata::Error>(())
    });
    spoiled.await.unwrap();
}
