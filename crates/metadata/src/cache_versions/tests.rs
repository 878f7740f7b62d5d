use super::{BYTES, NAMES, SHARDS, Shards, Tracker, shard_of, table};

#[test]
fn a_repository_belongs_to_one_shard_of_its_own_kind() {
    for id in [0, 1, 63, 64, 65, i64::MAX, -1] {
        assert!(shard_of(id) < NAMES, "{id}");
    }
    assert_ne!(shard_of(1), shard_of(2));
}

#[test]
fn a_statement_names_the_table_that_it_changes() {
    assert_eq!(table("insert into tags (a) values (?)"), Some("tags"));
    assert_eq!(table("insert ignore into manifests(a) values (?)"), Some("manifests"));
    assert_eq!(table("update repositories set state = ?"), Some("repositories"));
    assert_eq!(
        table("delete from repository_blobs where a = ?"),
        Some("repository_blobs")
    );
    assert_eq!(table("select 1 from tags"), None);
}

#[test]
fn who_changes_something_and_does_not_say_what_raises_everything() {
    let mut tracker = Tracker::default();
    tracker.note("select 1 from tags");
    tracker.note("insert into tag_history (a) values (?)");
    assert!(tracker.shards().is_empty());
    tracker.note("delete from tags where name = ?");
    assert_eq!(tracker.shards(), Shards::ALL);
    assert!((0..SHARDS).all(|shard| tracker.shards().has(shard)));
    tracker.change(3);
    assert!(tracker.shards().has(3) && !tracker.shards().has(4) && !tracker.shards().has(BYTES));
}

#[test]
fn what_nobody_remembers_raises_nothing() {
    let mut tracker = Tracker::default();
    tracker.note("update tags set link_size = ?");
    tracker.change_nothing();
    assert!(tracker.shards().is_empty());
}
