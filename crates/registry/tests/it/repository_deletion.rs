//! Deleting whole repositories.

use wharf_access::{Identity, Principal};
use wharf_registry::Error;
use wharf_registry::audit::Actor;
use wharf_registry::deletion::{Fate, Order};
use wharf_storage::{Cut, Fault};
use wharf_test_support::{Options, Registry, image, quick_folder};

use crate::trash::{delete_repository, name, restore, selector, trashed};

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
