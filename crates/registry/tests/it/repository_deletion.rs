//! Deleting whole repositories.

use std::collections::BTreeMap;
use std::fs;

use wharf_access::{Identity, Principal};
use wharf_metadata::manifests::{self, NewManifest};
use wharf_metadata::repositories::{self, State};
use wharf_oci::Digest;
use wharf_registry::Error;
use wharf_registry::audit::Actor;
use wharf_registry::catalog::Catalog;
use wharf_registry::deletion::{Fate, Order};
use wharf_storage::{Cut, Fault};
use wharf_test_support::{Image, Options, Registry, image, quick_folder};

use crate::trash::{delete_repository, name, restore, selector, trashed};
use crate::tree::Tree;

const OPERATOR: Principal = Principal {
    identity: Identity::Operator,
    scopes: None,
};

fn order(fate: Fate) -> Order<'static> {
    Order::management(Actor::new(&OPERATOR), fate)
}

async fn catalog(registry: &Registry) -> Vec<String> {
    let answer = registry.get("/v2/_catalog").send().await.expect(200).json();
    let names = answer["repositories"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_deleted_repository_leaves_every_list_and_its_folder_goes() {
    let registry = Registry::with_trash().await;
    for repository in ["a", "a/nested", "b/only"] {
        registry.push(repository, "v1", &image(repository)).await;
    }
    let location = registry
        .post("/v2/a/blobs/uploads/")
        .send()
        .await
        .expect(202)
        .location();
    let patched = registry.patch(&location).body("partial").send().await;
    patched.expect(202);
    delete_repository(&registry, "a").await;
    delete_repository(&registry, "b/only").await;
    assert_eq!(catalog(&registry).await, ["a/nested"]);
    registry.get("/v2/a/tags/list").send().await.expect(404);
    registry.get("/v2/a/manifests/v1").send().await.expect(404);
    registry.patch(&location).body("more").send().await.expect(404);
    // registry:2 looks for these folders
    for mark in ["_manifests", "_layers", "_uploads"] {
        assert!(!registry.repository("a").join(mark).exists(), "{mark}");
    }
    assert!(!registry.repository("b").exists());
    registry.expect_whole("a/nested", "v1", &image("a/nested")).await;
    let unknown = registry
        .lifecycle()
        .deletions
        .repository(order(Fate::Trash), &name("a"))
        .await;
    assert!(matches!(unknown, Err(Error::NameUnknown(_))), "{unknown:?}");

    // nothing brings it back: neither a start nor a lost index
    let registry = registry.restart().await;
    assert_eq!(catalog(&registry).await, ["a/nested"]);
    let registry = registry.stop().await.without_index().start().await;
    assert_eq!(catalog(&registry).await, ["a/nested"]);
    assert_eq!(trashed(&registry).await.len(), 2);

    // but its manifests can be restored one by one, and its name pushed again
    registry.push("a", "new", &image("new")).await;
    restore(&registry, &selector("a:v1")).await.unwrap();
    assert_eq!(registry.tags("a").await, ["new", "v1"]);
    registry.expect_whole("a", "v1", &image("a")).await;
}

#[tokio::test]
async fn purging_a_repository_leaves_nothing_in_the_trash() {
    let registry = Registry::with_trash().await;
    registry.push("a", "v1", &image("a")).await;
    registry.push("a", "v2", &image("b")).await;
    registry.delete("/v2/a/manifests/v2").send().await.expect(202);
    let deleted = registry
        .lifecycle()
        .deletions
        .repository(order(Fate::Purge), &name("a"))
        .await
        .unwrap();
    assert_eq!((deleted.manifests, deleted.expires_at), (2, None));
    assert_eq!(trashed(&registry).await, []);
    // the same bytes are pushed as new
    registry.push("a", "v1", &image("a")).await;
    registry.expect_whole("a", "v1", &image("a")).await;
}

#[tokio::test]
async fn a_repository_that_has_more_than_one_batch_goes_whole() {
    let registry = Registry::with_trash().await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    for number in 0..450 {
        let text = String::from_utf8(image.manifest.blob.bytes.to_vec()).unwrap();
        let spaced = format!("{text}{}", " ".repeat(number + 1));
        let manifest = wharf_test_support::Manifest::typed(&image.manifest.media_type, spaced);
        registry.push_manifest("a", &format!("t{number}"), &manifest).await;
    }
    let deletions = &registry.lifecycle().deletions;
    let deleted = deletions.repository(order(Fate::Trash), &name("a")).await.unwrap();
    assert_eq!(deleted.manifests, 451);
    assert!(!registry.repository("a").exists());
    let all = wharf_metadata::trash::Filter::default();
    let trash = &registry.lifecycle().trash;
    let back = trash.restore_all(Actor::new(&OPERATOR), all, false).await.unwrap();
    assert_eq!((back.manifests, back.tags, back.failed), (451, 451, 0));
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn an_acknowledged_deletion_holds_whatever_step_it_ends_at() {
    let image = image("a");
    for steps in 0.. {
        let registry = Registry::with(Options {
            keep: wharf_test_support::WEEK,
            recorded: true,
            ..Options::default()
        })
        .await;
        registry.push("a", "v1", &image).await;
        registry.push("a/b", "v1", &image).await;
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::ReadOnly);
        let deletions = &registry.lifecycle().deletions;
        let outcome = deletions.repository(order(Fate::Trash), &name("a")).await;
        if let Err(error) = &outcome {
            // it is deleted all the same, and a push is not mixed with what is left
            assert!(matches!(error, Error::Unavailable { .. }), "{steps}: {error}");
            assert_eq!(catalog(&registry).await, ["a/b"], "{steps}");
        }
        let has_failed = registry.recorder().has_failed();
        let registry = registry.kill().start().await;
        assert_eq!(catalog(&registry).await, ["a/b"], "{steps}");
        assert!(!registry.repository("a").join("_manifests").exists(), "{steps}");
        let registry = registry.stop().await.without_index().start().await;
        assert_eq!(catalog(&registry).await, ["a/b"], "{steps}");
        assert_eq!(trashed(&registry).await.len(), 1, "{steps}");
        restore(&registry, &selector("a:v1")).await.unwrap();
        registry.expect_whole("a", "v1", &image).await;
        registry.expect_whole("a/b", "v1", &image).await;
        if !has_failed {
            assert!(outcome.is_ok() && steps > 5, "{steps}");
            return;
        }
    }
}

#[tokio::test]
async fn repeating_an_unfinished_deletion_finishes_it() {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        recorded: true,
        ..Options::default()
    })
    .await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    let deletions = &registry.lifecycle().deletions;
    let first = deletions.repository(order(Fate::Trash), &name("a")).await;
    assert!(matches!(first, Err(Error::Unavailable { .. })), "{first:?}");
    registry.recorder().recover();
    deletions.repository(order(Fate::Trash), &name("a")).await.unwrap();
    assert!(!registry.repository("a").exists());
    registry.push("a", "v1", &image).await;
    registry.expect_whole("a", "v1", &image).await;
}

/// A registry whose repository `a` is marked deleted while its folder could not go.
async fn unfinished(image: &Image, others: &[&str]) -> Registry {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        recorded: true,
        ..Options::default()
    })
    .await;
    for repository in [&["a"], others].concat() {
        registry.push(repository, "v1", image).await;
    }
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    let deletions = &registry.lifecycle().deletions;
    let first = deletions.repository(order(Fate::Trash), &name("a")).await;
    assert!(matches!(first, Err(Error::Unavailable { .. })), "{first:?}");
    registry
}

#[tokio::test]
async fn a_repeated_deletion_leaves_alone_what_was_pushed_after_the_first_one() {
    let image = image("a");
    let registry = unfinished(&image, &[]).await;
    registry.recorder().recover();
    let (deletions, a) = (&registry.lifecycle().deletions, name("a"));
    let first = async {
        deletions.repository(order(Fate::Trash), &a).await.unwrap();
        registry.push("a", "v1", &image).await;
    };
    let repeated = deletions.repository(order(Fate::Trash), &a);
    let ((), repeated) = tokio::join!(first, repeated);
    repeated.unwrap();
    let registry = registry.stop().await.without_index().start().await;
    registry.expect_whole("a", "v1", &image).await;
}

#[tokio::test]
async fn deleting_a_repository_leaves_the_one_in_library_that_its_name_could_mean() {
    // a push would not make both: the folder was filled by registry:2
    let (one, other) = (image("one"), image("other"));
    let mut stopped = Registry::with_trash().await.stop().await;
    stopped.options().recorded = true;
    let tree = Tree::new(stopped.root());
    tree.push("x", "v1", &one);
    tree.push("library/x", "v1", &other);
    let registry = stopped.start().await;
    registry.expect_whole("x", "v1", &one).await;
    registry.expect_whole("library/x", "v1", &other).await;
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    let deletions = &registry.lifecycle().deletions;
    let first = deletions.repository(order(Fate::Trash), &name("x")).await;
    assert!(matches!(first, Err(Error::Unavailable { .. })), "{first:?}");
    registry.recorder().recover();

    // until it is gone, its name means nothing else
    let put = registry.manifest_put("x", "v2", &one.manifest).send().await;
    assert_eq!(put.status, 503, "{put:?}");
    registry.get("/v2/x/manifests/v1").send().await.expect(404);
    deletions.repository(order(Fate::Trash), &name("x")).await.unwrap();
    assert!(!registry.repository("x").exists());
    let again = deletions.repository(order(Fate::Trash), &name("x")).await;
    assert!(matches!(again, Err(Error::NameUnknown(_))), "{again:?}");
    registry.expect_whole("library/x", "v1", &other).await;
    assert_eq!(registry.tags("library/x").await, ["v1"]);
}

#[tokio::test]
async fn a_deletion_that_cannot_end_does_not_hold_up_the_others() {
    let image = image("a");
    let registry = unfinished(&image, &["b"]).await;
    let deletions = &registry.lifecycle().deletions;
    deletions.repository(order(Fate::Trash), &name("b")).await.unwrap_err();
    registry.recorder().recover();
    // what cannot be read cannot be removed
    let layers = registry.repository("a").join("_layers");
    fs::remove_dir_all(&layers).unwrap();
    std::os::unix::fs::symlink(&layers, &layers).unwrap();
    deletions.recover().await.unwrap_err();
    assert!(!registry.repository("b").exists());
    registry.push("b", "v1", &image).await;

    fs::remove_file(&layers).unwrap();
    deletions.recover().await.unwrap();
    assert!(!registry.repository("a").exists());
    registry.expect_whole("b", "v1", &image).await;
}

#[tokio::test]
async fn a_repository_that_is_being_deleted_does_not_cut_the_catalog_short() {
    let registry = unfinished(&image("a"), &[]).await;
    // more than are read at once, `a` the first of them, as when its deletion has only begun
    let now = registry.clock().now().into();
    let written = registry.metadata().write(move |tx| {
        let mut rows = vec![repositories::deletions(tx, 0, 1)?.remove(0).0.id];
        for number in 0..600 {
            let other = name(&format!("b{number:03}"));
            rows.push(repositories::find_or_create(tx, &other, State::Indexed(0), now)?.id);
        }
        for row in rows {
            let manifest = NewManifest {
                sha256: Digest::Sha256([1; 32]),
                sha512: None,
                media_type: "application/vnd.oci.image.manifest.v1+json",
                size: 1,
                artifact_type: None,
                config_media_type: None,
                subject: None,
                annotations: &BTreeMap::default(),
                references: &[],
                pushed_at: now,
                pushed_by: "",
            };
            manifests::insert(tx, row, &manifest)?;
        }
        Ok::<_, wharf_metadata::Error>(())
    });
    written.await.unwrap();
    let catalog = Catalog::new(registry.metadata().clone(), registry.adoption().clone());
    let page = catalog.list(&OPERATOR, None, 1000).await.unwrap();
    assert_eq!((page.names.len(), page.has_more), (600, false));
    assert_eq!(page.names[599], name("b599"));
}

#[tokio::test]
async fn a_push_into_a_repository_that_is_being_deleted_is_told_to_come_again() {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        recorded: true,
        ..Options::default()
    })
    .await;
    let image = image("a");
    registry.push("a", "v1", &image).await;
    registry.mirror().flush().await.unwrap();
    registry.recorder().fail_after(0, Fault::ReadOnly);
    let deletions = &registry.lifecycle().deletions;
    deletions.repository(order(Fate::Trash), &name("a")).await.unwrap_err();
    registry.recorder().recover();
    let put = registry.manifest_put("a", "v2", &image.manifest).send().await;
    assert_eq!(put.status, 503, "{put:?}");
    assert!(put.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(put.message().contains("being deleted"), "{put:?}");
    assert_eq!(deletions.recover().await.unwrap(), 1);
    registry.push("a", "v2", &image).await;
    assert_eq!(registry.tags("a").await, ["v2"]);
}

#[tokio::test]
async fn a_power_cut_at_any_step_leaves_a_repository_or_its_trash() {
    let image = image("a");
    for steps in 0.. {
        let registry = Registry::with(Options {
            keep: wharf_test_support::WEEK,
            recorded: true,
            ..Options::default()
        })
        .await;
        registry.push("a", "v1", &image).await;
        registry.mirror().flush().await.unwrap();
        registry.recorder().fail_after(steps, Fault::PowerOff);
        let deletions = &registry.lifecycle().deletions;
        let is_done = deletions.repository(order(Fate::Trash), &name("a")).await.is_ok();
        for cut in [Cut::Strict, Cut::NamesFirst] {
            let left = quick_folder();
            registry.recorder().materialise(cut, left.path()).unwrap();
            let mut stopped = registry.fork(left);
            stopped.options().recorded = false;
            let survivor = stopped.start().await;
            assert_eq!(catalog(&survivor).await, [""; 0], "{steps} {cut:?}");
            restore(&survivor, &selector("a:v1")).await.unwrap();
            survivor.expect_whole("a", "v1", &image).await;
        }
        if is_done {
            return;
        }
    }
}
