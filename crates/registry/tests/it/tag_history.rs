//! Where tags have been, and setting them back.

use wharf_access::{Identity, Principal};
use wharf_metadata::tags::Action;
use wharf_oci::Digest;
use wharf_registry::Error;
use wharf_registry::audit::Actor;
use wharf_registry::tag_history::{ManifestState, Reverted, TagHistory, Target};
use wharf_test_support::{Auth, Image, Options, Registry, image};

use crate::trash::{name, restore};
use crate::tree::Tree;

const OPERATOR: Principal = Principal {
    identity: Identity::Operator,
    scopes: None,
};
const ACTOR: Actor<'static> = Actor::new(&OPERATOR);

async fn history(registry: &Registry, tag: &str) -> TagHistory {
    let histories = &registry.lifecycle().tag_histories;
    let tag = tag.parse().unwrap();
    histories.history(ACTOR, &name("a"), &tag, None, 100).await.unwrap()
}

async fn revert(registry: &Registry, tag: &str, target: Target) -> Result<Reverted, Error> {
    let histories = &registry.lifecycle().tag_histories;
    histories.revert(ACTOR, &name("a"), &tag.parse().unwrap(), target).await
}

/// Action, digest and whether the manifest is present, the newest first.
fn facts(history: &TagHistory) -> Vec<(Action, Digest, bool)> {
    let fact = |change: &wharf_registry::tag_history::TagChange| {
        let is_present = change.state == ManifestState::Present;
        (change.action, change.digest, is_present)
    };
    history.changes.iter().map(fact).collect()
}

fn images() -> [Image; 3] {
    ["one", "two", "three"].map(image)
}

#[tokio::test]
async fn every_digest_is_told_with_who_and_when_and_what_is_left_of_it() {
    let registry = Registry::with(Options {
        keep: wharf_test_support::WEEK,
        auth: Auth::Htpasswd,
        ..Options::default()
    })
    .await;
    let [one, two, three] = images();
    for image in [&one, &two, &three] {
        registry.push("a", "v1", image).await;
    }
    let target = format!("/v2/a/manifests/{}", two.digest());
    registry.delete(&target).basic("bob", "secret").send().await.expect(202);
    registry
        .delete("/v2/a/manifests/v1")
        .basic("bob", "secret")
        .send()
        .await
        .expect(202);
    let told = history(&registry, "v1").await;
    assert_eq!(told.current, None);
    let expected = [
        (Action::Deleted, three.digest(), true),
        (Action::Pushed, three.digest(), true),
        (Action::Pushed, two.digest(), false),
        (Action::Pushed, one.digest(), true),
    ];
    assert_eq!(facts(&told), expected);
    assert!(matches!(told.changes[2].state, ManifestState::Trashed { .. }));
    assert_eq!(told.changes[0].by, "bob");
    assert_eq!(told.changes[3].by, "alice");
    assert_eq!(told.found, []);
    // pages
    let histories = &registry.lifecycle().tag_histories;
    let tag = "v1".parse().unwrap();
    let first = histories.history(ACTOR, &name("a"), &tag, None, 3).await.unwrap();
    assert!(first.has_more);
    let before = first.changes.last().map(|change| change.id);
    let second = histories.history(ACTOR, &name("a"), &tag, before, 3).await.unwrap();
    assert_eq!(second.changes.len(), 1);
    assert!(!second.has_more);
    let unknown = histories
        .history(ACTOR, &name("a"), &"v9".parse().unwrap(), None, 3)
        .await;
    assert!(matches!(unknown, Err(Error::ManifestUnknown { .. })), "{unknown:?}");
}

#[tokio::test]
async fn a_tag_goes_back_by_steps_and_by_digest_and_the_link_follows() {
    let registry = Registry::with_trash().await;
    let [one, two, three] = images();
    for image in [&one, &two, &three] {
        registry.push("a", "v1", image).await;
    }
    let back = revert(&registry, "v1", Target::Back(1)).await.unwrap();
    assert_eq!((back.from, back.to), (Some(three.digest()), two.digest()));
    assert_eq!(registry.tag("a", "v1").await, Some(two.digest()));
    assert_eq!(registry.tag_link("a", "v1"), Some(two.digest().to_string()));
    revert(&registry, "v1", Target::Digest(one.digest())).await.unwrap();
    assert_eq!(registry.tag("a", "v1").await, Some(one.digest()));
    let told = history(&registry, "v1").await;
    assert_eq!(facts(&told)[0], (Action::Reverted, one.digest(), true));
    let refused = revert(&registry, "v1", Target::Back(9)).await.unwrap_err();
    assert!(refused.to_string().contains("does not reach back"), "{refused}");
    // a deleted tag goes back to what it was
    registry.delete("/v2/a/manifests/v1").send().await.expect(202);
    let back = revert(&registry, "v1", Target::Back(1)).await.unwrap();
    assert_eq!((back.from, back.to), (None, one.digest()));
    let registry = registry.restart().await;
    registry.expect_whole("a", "v1", &one).await;
    let lines = registry
        .metadata()
        .read_blocking(|tx| wharf_metadata::audit_log::page(tx, None, 10))
        .unwrap();
    assert_eq!(lines[0].action, "tag.revert");
    assert_eq!(lines[0].subject, "a:v1");
}

#[tokio::test]
async fn reverting_to_a_manifest_that_is_gone_is_refused_and_says_where_it_lies() {
    let registry = Registry::with_trash().await;
    let [one, two, _] = images();
    registry.push("a", "v1", &one).await;
    registry.push("a", "v1", &two).await;
    let target = format!("/v2/a/manifests/{}", one.digest());
    registry.delete(&target).send().await.expect(202);
    let refused = revert(&registry, "v1", Target::Back(1)).await.unwrap_err();
    assert!(matches!(refused, Error::ManifestGone { .. }), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("in the trash until") && text.contains("wharf trash restore"),
        "{text}"
    );
    let id = crate::trash::trashed(&registry).await[0].id;
    restore(&registry, &wharf_registry::trash::Selector::Id(id))
        .await
        .unwrap();
    revert(&registry, "v1", Target::Back(1)).await.unwrap();
    registry.expect_whole("a", "v1", &one).await;

    registry.delete(&target).send().await.expect(202);
    let all = wharf_metadata::trash::Filter::default();
    registry.lifecycle().trash.empty(ACTOR, all).await.unwrap();
    let refused = revert(&registry, "v1", Target::Digest(one.digest())).await.unwrap_err();
    assert!(refused.to_string().contains("push it again"), "{refused}");
}

#[tokio::test]
async fn what_only_storage_remembers_is_told_as_a_set_without_an_order() {
    let registry = Registry::with_trash().await;
    let [one, two, three] = images();
    for image in [&one, &two, &three] {
        registry.push("a", "v1", image).await;
    }
    let registry = registry.stop().await.without_index().start().await;
    let told = history(&registry, "v1").await;
    assert_eq!(facts(&told), [(Action::Found, three.digest(), true)]);
    let mut expected = [one.digest(), two.digest()];
    expected.sort_unstable();
    let found: Vec<Digest> = told.found.iter().map(|found| found.digest).collect();
    assert_eq!(found, expected);
    assert!(told.found.iter().all(|found| found.state == ManifestState::Present));
    // and a tag can be set back to it
    revert(&registry, "v1", Target::Digest(one.digest())).await.unwrap();
    registry.expect_whole("a", "v1", &one).await;
}

#[tokio::test]
async fn a_tag_that_another_registry_moved_has_a_history_too() {
    let registry = Registry::with_trash().await;
    let [one, two, _] = images();
    registry.push("a", "v1", &one).await;
    let stopped = registry.stop().await;
    Tree::new(stopped.root()).push("a", "v1", &two);
    let registry = stopped.start().await;
    let told = history(&registry, "v1").await;
    let expected = [
        (Action::Found, two.digest(), true),
        (Action::Pushed, one.digest(), true),
    ];
    assert_eq!(facts(&told), expected);
}

#[tokio::test]
async fn the_history_in_storage_forgets_a_manifest_that_is_deleted() {
    let registry = Registry::with_trash().await;
    let [one, two, _] = images();
    registry.push("a", "v1", &one).await;
    registry.push("a", "v1", &two).await;
    let tags = registry.repository("a").join("_manifests/tags/v1");
    let link = |image: &Image| tags.join("index/sha256").join(image.digest().hex()).join("link");
    assert!(link(&one).exists() && link(&two).exists());
    let target = format!("/v2/a/manifests/{}", one.digest());
    registry.delete(&target).send().await.expect(202);
    assert!(!link(&one).exists());
    assert!(link(&two).exists() && tags.join("current/link").exists());
}
